/* SPDX-License-Identifier: MIT */
/*
 * See table.h. Timers of all clocks stand in one table, so a due is shown as what the wall clock
 * will show then: numbers of different clocks side by side could not be compared. CLOCK tells which
 * one it follows, and JSON has the number itself.
 */
#include <errno.h>
#include <libsmartcols.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "ctl.h"
#include "table.h"
#include "when.h"

#define SECOND UINT64_C(1000000)
#define MINUTE (60 * SECOND)

enum column {
	COLUMN_ID,
	COLUMN_LABEL,
	COLUMN_CLOCK,
	COLUMN_DUE,
	COLUMN_LEFT,
	COLUMN_SLACK,
	COLUMN_EVERY,
	COLUMN_COUNT,
	COLUMN_FIRED,
	COLUMN_WAKE,
	COLUMN_UID,
	COLUMN_USER,
	COLUMN_PID,
	COLUMN_COMM,
	COLUMNS,
};

static const struct {
	const char *name;
	int flags;
} table_columns[COLUMNS] = {
	[COLUMN_ID] = {"ID", SCOLS_FL_RIGHT},
	[COLUMN_LABEL] = {"LABEL", SCOLS_FL_TRUNC},
	[COLUMN_CLOCK] = {"CLOCK", 0},
	[COLUMN_DUE] = {"DUE", 0},
	[COLUMN_LEFT] = {"LEFT", SCOLS_FL_RIGHT},
	[COLUMN_SLACK] = {"SLACK", SCOLS_FL_RIGHT},
	[COLUMN_EVERY] = {"EVERY", SCOLS_FL_RIGHT},
	[COLUMN_COUNT] = {"COUNT", SCOLS_FL_RIGHT},
	[COLUMN_FIRED] = {"FIRED", SCOLS_FL_RIGHT},
	[COLUMN_WAKE] = {"WAKE", 0},
	[COLUMN_UID] = {"UID", SCOLS_FL_RIGHT},
	[COLUMN_USER] = {"USER", SCOLS_FL_TRUNC},
	[COLUMN_PID] = {"PID", SCOLS_FL_RIGHT},
	[COLUMN_COMM] = {"COMM", SCOLS_FL_TRUNC},
};

void table_default_columns(struct table_columns *ret, bool users)
{
	static const unsigned char columns[] = {COLUMN_ID, COLUMN_DUE, COLUMN_LEFT, COLUMN_EVERY,
		COLUMN_CLOCK, COLUMN_LABEL, COLUMN_USER, COLUMN_PID, COLUMN_COMM};

	ret->n = 0;
	for (size_t i = 0; i < sizeof(columns); i++)
		if (columns[i] != COLUMN_USER || users)
			ret->columns[ret->n++] = columns[i];
}

/* COLUMNS if there is none of that name. */
static unsigned char table_find_column(const char *name, size_t length)
{
	unsigned char i;

	for (i = 0; i < COLUMNS; i++)
		if (strlen(table_columns[i].name) == length &&
			strncasecmp(table_columns[i].name, name, length) == 0)
			break;
	return i;
}

int table_parse_columns(
	const char *names, struct table_columns *ret, const char **ret_word, size_t *ret_length)
{
	struct table_columns columns = {0};

	for (;;) {
		size_t length = strcspn(names, ",");
		unsigned char column = table_find_column(names, length);

		if (column == COLUMNS || columns.n == TABLE_COLUMNS_MAX) {
			*ret_word = names;
			*ret_length = length;
			return column == COLUMNS ? -EINVAL : -E2BIG;
		}
		columns.columns[columns.n++] = column;
		if (!names[length])
			break;
		names += length + 1;
	}
	*ret = columns;
	return 0;
}

static void table_format_user(char *buffer, size_t size, uint32_t uid)
{
	const struct passwd *user = getpwuid(uid);

	if (user)
		snprintf(buffer, size, "%s", user->pw_name);
	else
		snprintf(buffer, size, "%u", uid);
}

/* Nobody reads the milliseconds of an hour; JSON has them. */
static void table_format_left(char *buffer, size_t size, int64_t left)
{
	uint64_t span = left < 0 ? -(uint64_t)left : (uint64_t)left;
	char text[WHEN_SPAN_MAX];

	when_format_span(text, sizeof(text), span, span < MINUTE ? 1000 : SECOND);
	snprintf(buffer, size, left < 0 ? "%s ago" : "%s", text);
}

/* The columns that are spans and instants. */
static void table_format_time(
	char *buffer, size_t size, const toytimer_listed *l, enum column column, uint64_t now)
{
	uint64_t wall = l->clock == TOYTIMER_REALTIME ? l->due : clock_after(now, l->left);

	if (column == COLUMN_DUE)
		when_format_timestamp(buffer, size, wall, WHEN_LOCAL);
	else if (column == COLUMN_LEFT)
		table_format_left(buffer, size, l->left);
	else if (column == COLUMN_SLACK)
		when_format_span(buffer, size, l->slack, 0);
	else if (l->every != 0)
		when_format_span(buffer, size, l->every, 0);
	else
		snprintf(buffer, size, "-");
}

/* 0 stands for one wake, or for no end. */
static void table_format_count(char *buffer, size_t size, const toytimer_listed *l)
{
	if (l->count == 0 && l->every != 0)
		snprintf(buffer, size, "-");
	else
		snprintf(buffer, size, "%u", l->count == 0 ? 1 : l->count);
}

static void table_format(
	char *buffer, size_t size, const toytimer_listed *l, enum column column, uint64_t now)
{
	const char *wakes = l->flags & TOYTIMER_WAKE_SYSTEM ? "system" : "process";

	switch (column) {
	case COLUMN_ID:
		snprintf(buffer, size, "%llu", (unsigned long long)l->id);
		break;
	case COLUMN_LABEL:
		snprintf(buffer, size, "%s", *l->label ? l->label : "-");
		break;
	case COLUMN_CLOCK:
		snprintf(buffer, size, "%s", clock_name(l->clock));
		break;
	case COLUMN_DUE:
	case COLUMN_LEFT:
	case COLUMN_SLACK:
	case COLUMN_EVERY:
		table_format_time(buffer, size, l, column, now);
		break;
	case COLUMN_COUNT:
		table_format_count(buffer, size, l);
		break;
	case COLUMN_FIRED:
		snprintf(buffer, size, "%u", l->fired);
		break;
	case COLUMN_WAKE:
		snprintf(buffer, size, "%s", wakes);
		break;
	case COLUMN_UID:
		snprintf(buffer, size, "%u", l->uid);
		break;
	case COLUMN_USER:
		table_format_user(buffer, size, l->uid);
		break;
	case COLUMN_PID:
		snprintf(buffer, size, "%u", l->pid);
		break;
	case COLUMN_COMM:
		snprintf(buffer, size, "%s", l->comm);
		break;
	case COLUMNS:
		break;
	}
}

static void table_unref(struct libscols_table **table)
{
	scols_unref_table(*table);
}

static int table_add_line(struct libscols_table *table, const toytimer_listed *l,
	const struct table_columns *columns, uint64_t now)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	char text[256];

	if (!line)
		return -ENOMEM;
	for (size_t i = 0; i < columns->n; i++) {
		table_format(text, sizeof(text), l, columns->columns[i], now);
		if (scols_line_set_data(line, i, text) < 0)
			return -ENOMEM;
	}
	return 0;
}

int table_print(const toytimer_listed *timers, size_t n, const struct table_columns *columns,
	bool headings, uint64_t now)
{
	_cleanup_(table_unref) struct libscols_table *table = scols_new_table();

	if (!table)
		return -ENOMEM;
	scols_table_set_stream(table, stdout);
	scols_table_enable_noheadings(table, !headings);
	for (size_t i = 0; i < columns->n; i++) {
		unsigned char c = columns->columns[i];

		if (!scols_table_new_column(
			    table, table_columns[c].name, 0, table_columns[c].flags))
			return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++)
		if (table_add_line(table, &timers[i], columns, now) < 0)
			return -ENOMEM;
	return scols_print_table(table) < 0 ? -ENOMEM : 0;
}
