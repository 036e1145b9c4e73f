/* SPDX-License-Identifier: MIT */
/* Parses spans in words, for the when_*.c files only. */
#pragma once

#include <stdint.h>

#include "when_error.h"

/*
 * Parses a sum of terms: "1h 30min", "two days", "half an hour", "an hour and a half", "2 and a
 * half hours", with "and" or a comma between the terms. Each term needs a unit. @text: no blank at
 * either end. The rest as when_parse_span(), without "infinity".
 */
int when_phrase_read(struct when_text text, uint64_t *ret_us, struct when_error *error);

/* The same, and all that when_parse_span() accepts, where a number without a unit is seconds. */
int when_span_or_phrase_read(struct when_text text, uint64_t *ret_us, struct when_error *error);
