/* SPDX-License-Identifier: MIT */
/* What the tables of timerd's timers and of timerqd's queues share. libsmartcols lays them out. */
#pragma once

#include <libsmartcols.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "ctl.h"

/* More than any table has, since a user may name a column twice. */
#define COLUMNS_MAX 32

struct column {
	const char *name; /* in capital letters */
	int flags;	  /* SCOLS_FL_RIGHT; SCOLS_FL_TRUNC: may be cut on a narrow terminal */
};

/* The columns to show: indexes of an array of struct column. */
struct columns {
	size_t n;
	bool is_default; /* the user did not choose them */
	unsigned char index[COLUMNS_MAX];
};

/*
 * Parses the argument of -o: names of columns, separated by commas, in upper or lower case.
 *   all, n: the columns that there are
 * Returns 0, or CTL_STOP: ret is untouched.
 */
int columns_parse(struct ctl *ctl, const struct column *all, size_t n, const char *names,
	struct columns *ret);

/* A table without lines; NULL: out of memory. For _cleanup_ with columns_unref(). */
struct libscols_table *columns_new_table(
	const struct column *all, const struct columns *shown, bool headings);
void columns_unref(struct libscols_table **table);

/* Prints a table without trailing blanks. If standard output is a terminal, each line is cut to its
 * width. An ellipsis marks what is cut. Returns 0 or -ENOMEM. */
int columns_print(struct libscols_table *table, FILE *out);

/* Prints after a table how many things it lists: "2 timers listed." Returns 0 or -ENOMEM. */
int columns_print_sum(FILE *out, size_t n, const char *thing);
