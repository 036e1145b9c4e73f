/* SPDX-License-Identifier: MIT */
/* How the when_*.c files say what is wrong with a text. */
#pragma once

#include "when.h"
#include "when_text.h"

/*
 * Blames a word of the text.
 * @error: what to fill; NULL: nobody wants to know. @word: what is wrong. @code: a negative errno.
 * @format: the advice, as for printf(): a sentence without its subject, which is the word ("is not
 * a unit; ..."). It is cut off at WHEN_ADVICE_MAX.
 * Return: @code.
 */
__attribute__((format(printf, 4, 5))) int when_error_set(
	struct when_error *error, struct when_text word, int code, const char *format, ...);
