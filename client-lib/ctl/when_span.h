/* SPDX-License-Identifier: MIT */
/* Spans, for the when_*.c files only. */
#pragma once

#include <stdint.h>

#include "when_error.h"

/* when_parse_span() of a piece of text. */
int when_span_read(struct when_text text, uint64_t *ret_us, struct when_error *error);

/* A unit alone ("hour"): how long it is. Return: 0; -EINVAL if the word is none, with no error
 * written. */
int when_unit_read(struct when_text word, uint64_t *ret_us);
