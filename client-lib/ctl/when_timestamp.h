/* SPDX-License-Identifier: MIT */
/* Instants by calendar and clock, for the when_*.c files only. */
#pragma once

#include "when_error.h"

/*
 * Reads a day, a time of day, or both, in either order, with a zone at the end.
 * @text: no blank at either end, and not empty. The rest as when_parse().
 * Return: as when_parse(); and -ENOENT, not -EINVAL, if the word that is blamed looks like no part
 * of a timestamp, so that the text may be meant as something else.
 */
int when_timestamp_read(
	struct when_text text, uint64_t now_us, struct when *ret, struct when_error *error);
