/* SPDX-License-Identifier: MIT */
/* Offsets from now and from the epoch, which need no calendar. For the when_*.c files only. */
#pragma once

#include "when_error.h"

/*
 * Parses "now", "@1800000000", "+5s", "5s left", "5s from now", "in 5 minutes", "every 5 minutes",
 * "-5s" and "5s ago", but not a span alone.
 * @text: not empty, no blank at either end.
 * Return: as when_parse(); 1 if the text is none of these.
 */
int when_relative_read(
	struct when_text text, uint64_t now_us, struct when *ret, struct when_error *error);
