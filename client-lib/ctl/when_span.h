/* SPDX-License-Identifier: MIT */
/* Parses spans, for the when_*.c files only. */
#pragma once

#include <stdint.h>

#include "when_error.h"

/* when_parse_span() for a part of a text. */
int when_span_read(struct when_text text, uint64_t *ret_us, struct when_error *error);

/* when_doubt() of when.h. */
bool when_span_is_doubtful(struct when_text text, struct when_error *ret);

/* The length of a unit, such as "hour". Return: 0; -EINVAL if the word is no unit; sets no error.
 */
int when_unit_read(struct when_text word, uint64_t *ret_us);

/* The same for the letters at the start of the text, which it takes. */
int when_unit_take(struct when_text *text, uint64_t *ret_us);

/* A number with its unit. */
struct when_term {
	uint64_t us;
	uint64_t unit; /* 0: none was given, so the number is seconds */
};

/* Takes one term off the start of the text, which does not start with a blank. Return: as
 * when_parse_span(). */
int when_term_read(struct when_text *text, struct when_term *ret, struct when_error *error);
