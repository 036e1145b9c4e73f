/* SPDX-License-Identifier: MIT */
/* Tables of what timerqd lists, as texts. table.h has the table of timerd's timers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "columns.h"

struct queue_table {
	const struct column *columns;
	size_t n;     /* columns */
	char **cells; /* n for each row; owned */
	size_t rows, room;
};

/* Appends a row of n cells, which it copies. Returns 0 or -ENOMEM. */
int queue_table_add(struct queue_table *table, const char *const *cells);

/* Drops all rows. */
void queue_table_free(struct queue_table *table);

/*
 * Prints a table.
 *   chosen: the columns to show; none: all
 *   legend: whether to print headings, and below the table the number of rows, as so many `thing`s
 * Returns CTL_DONE, or prints an error and returns another exit status.
 */
int queue_table_print(FILE *out, const struct queue_table *table, const struct columns *chosen,
	bool legend, const char *thing);
