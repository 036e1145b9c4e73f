/* SPDX-License-Identifier: MIT */
/*
 * The table that `toytimerctl list` shows. libsmartcols lays it out: it knows how wide the terminal
 * is and the characters are, and lets none through that would steer the terminal.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../toytimer.h"

/* More than there are columns: each may be asked for more than once, and no list is endless. */
#define TABLE_COLUMNS_MAX 32

struct table_columns {
	size_t n;
	unsigned char columns[TABLE_COLUMNS_MAX];
};

/* The columns that are shown unless others are asked for; users are told apart where there are
 * several. */
void table_default_columns(struct table_columns *ret, bool users);

/*
 * Reads names of columns, comma-separated, in any case.
 *   ret_word, ret_length: which name there is no column for; on failure only
 * Returns 0, -EINVAL, or -E2BIG if there are too many. ret is untouched on failure.
 */
int table_parse_columns(
	const char *names, struct table_columns *ret, const char **ret_word, size_t *ret_length);

/* Prints timers in their order. now: the wall clock when they were listed. Returns 0 or -ENOMEM. */
int table_print(const toytimer_listed *timers, size_t n, const struct table_columns *columns,
	bool headings, uint64_t now);
