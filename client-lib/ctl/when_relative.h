/* SPDX-License-Identifier: MIT */
/* What counts from an instant that is known, for the when_*.c files only: it needs no calendar. */
#pragma once

#include "when_error.h"

/*
 * Reads "now", "@1800000000", "+5s", "5s left", "5s from now", "in 5 minutes", "every 5 minutes",
 * "-5s" and "5s ago". A span alone is not read here.
 * @text: no blank at either end, and not empty.
 * Return: 1 if it is none of these; else as when_parse().
 */
int when_relative_read(
	struct when_text text, uint64_t now_us, struct when *ret, struct when_error *error);
