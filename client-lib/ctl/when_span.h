/* SPDX-License-Identifier: MIT */
/* Parses spans, for the when_*.c files only. */
#pragma once

#include <stdint.h>

#include "when_error.h"

/* when_parse_span() for a part of a text. */
int when_span_read(struct when_text text, uint64_t *ret_us, struct when_error *error);

/* The length of a unit, such as "hour". Return: 0; -EINVAL if the word is no unit; sets no error.
 */
int when_unit_read(struct when_text word, uint64_t *ret_us);
