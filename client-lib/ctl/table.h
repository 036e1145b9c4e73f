/* SPDX-License-Identifier: MIT */
/*
 * The table of `toytimerctl list`, for list.c only. libsmartcols lays it out and escapes control
 * characters. On a terminal no line is wider than the terminal; see table_print().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../toytimer.h"
#include "columns.h"

/* The columns without -o. with_user: also USER, for a list of several users. */
void table_default_columns(struct columns *ret, bool with_user);

/* Parses the argument of -o, as columns_parse(). */
int table_parse_columns(struct ctl *ctl, const char *names, struct columns *ret);

/*
 * Prints timers, in the order of the array.
 *   headings: whether to print the names of the columns
 *   now: the wall clock when the timers were listed, in microseconds since the epoch
 *
 * A table that is too wide for the terminal becomes narrower in three steps:
 *  1. DUE loses weekday, seconds and time zone, LEFT everything below its two largest units. The
 *     default columns lose CLOCK.
 *  2. The longest labels and names are cut, down to the width of their heading.
 *  3. The lines are cut.
 * An ellipsis marks what is cut. Nothing changes if out is no terminal.
 *
 * Returns 0 or -ENOMEM.
 */
int table_print(FILE *out, const toytimer_listed *timers, size_t n, const struct columns *wanted,
	bool headings, uint64_t now);

/* Remembers the last user name, since most timers of a list have the same user. Starts as zeros. */
struct table_user {
	bool known;
	uint32_t uid;
	char name[256];
};

/* The name of a user; the number if the user has no name. Valid until the next call with `user`. */
const char *table_user_name(struct table_user *user, uint32_t uid);

/* How many wakes the registration asks for; 0: no end. */
uint32_t table_wake_count(const toytimer_listed *l);
