/* SPDX-License-Identifier: MIT */
/*
 * The table that `toytimerctl list` shows. libsmartcols lays it out and lets no character through
 * that would steer the terminal. No line is wider than the terminal: texts are cut, with an
 * ellipsis, see width.h. Nothing is cut for a pipe or a file.
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

/* Prints how many timers there are, below the table. Returns 0 or -ENOMEM. */
int table_print_sum(size_t n);

/* A user's name, remembered: most timers of a list have the same user. Zero it first. */
struct table_user {
	bool known;
	uint32_t uid;
	char name[256];
};

/* The name, valid until the next call with the same `user`, or the number if there is none. */
const char *table_user_name(struct table_user *user, uint32_t uid);

/* How many wakes were asked for; 0: there is no end. */
uint32_t table_count(const toytimer_listed *l);
