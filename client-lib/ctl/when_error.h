/* SPDX-License-Identifier: MIT */
/* Error messages of the parsers, for the when_*.c files only. */
#pragma once

#include "when_text.h"
#include "when_values.h"

/*
 * Sets an error about a word.
 * @error: NULL: the caller needs no message. @word: the wrong word. @code: a negative errno.
 * @format: as for printf(). The message continues a sentence that begins with the word ("is not a
 * unit; ..."). It is cut off at WHEN_ADVICE_MAX.
 * Return: @code.
 */
__attribute__((format(printf, 4, 5))) int when_error_set(
	struct when_error *error, struct when_text word, int code, const char *format, ...);
