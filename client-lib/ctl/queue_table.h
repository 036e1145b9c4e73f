/* SPDX-License-Identifier: MIT */
/*
 * Tables of what timerqd lists: see table.h, whose tables are of timerd's timers alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "ctl.h"

struct queue_column {
	const char *name;
	bool right;
};

struct queue_table {
	const struct queue_column *columns;
	size_t n;     /* columns */
	char **cells; /* n a row; owned */
	size_t rows, room;
};

/* Appends a row. text: n cells; copied. Returns 0 or -ENOMEM. */
int queue_table_add(struct queue_table *table, const char *const *cells);

void queue_table_free(struct queue_table *table);

/* Checks a list of columns, comma-separated. Returns 0 or CTL_STOP. */
int queue_table_check(
	struct ctl *ctl, const struct queue_column *columns, size_t n, const char *names);

/*
 * Prints it.
 *   names: which columns; NULL: all
 *   legend: with headings, and with the sum, of things of that name
 * Returns an exit status, the reason having been told.
 */
int queue_table_print(FILE *out, const struct queue_table *table, const char *names, bool legend,
	const char *thing);
