/* SPDX-License-Identifier: MIT */
/* Parses dates and times of day, for the when_*.c files only. */
#pragma once

#include "when_error.h"

/*
 * Parses a day, a time of day, or both in any order, and an optional zone at the end. @text: not
 * empty, no blank at either end. The rest as when_parse().
 * Return: as when_parse(); -ENOENT instead of -EINVAL if the wrong word does not look like a part
 * of a timestamp, so that the text may be meant as something else.
 */
int when_timestamp_read(
	struct when_text text, uint64_t now_us, struct when *ret, struct when_error *error);
