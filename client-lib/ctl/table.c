/* SPDX-License-Identifier: MIT */
/*
 * See table.h. One table has timers of all clocks. To make their dues comparable, DUE shows what
 * the wall clock will show at the due, whatever the clock of the timer.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "table.h"
#include "when.h"
#include "width.h"

#define SECOND UINT64_C(1000000)
#define MINUTE (60 * SECOND)

#define HOUR (60 * MINUTE)
#define DAY  (24 * HOUR)
#define YEAR (365 * DAY)

/* The longest cell, in bytes, with its 0. */
#define TABLE_TEXT_MAX 256

enum table_column {
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

static const struct column table_columns[COLUMNS] = {
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

/* What the text of a cell depends on, besides its timer. */
struct table_format {
	uint64_t now;  /* the wall clock, in microseconds */
	bool is_short; /* step 1 of table_print() */
	struct table_user user;
};

int table_parse_columns(struct ctl *ctl, const char *names, struct columns *ret)
{
	return columns_parse(ctl, table_columns, COLUMNS, names, ret);
}

void table_default_columns(struct columns *ret, bool with_user)
{
	static const unsigned char columns[] = {COLUMN_ID, COLUMN_DUE, COLUMN_LEFT, COLUMN_EVERY,
		COLUMN_CLOCK, COLUMN_LABEL, COLUMN_USER, COLUMN_PID, COLUMN_COMM};

	*ret = (struct columns){.is_default = true};
	for (size_t i = 0; i < sizeof(columns); i++)
		if (columns[i] != COLUMN_USER || with_user)
			ret->index[ret->n++] = columns[i];
}

const char *table_user_name(struct table_user *user, uint32_t uid)
{
	const struct passwd *found;

	if (user->known && user->uid == uid)
		return user->name;
	found = getpwuid(uid);
	if (found)
		snprintf(user->name, sizeof(user->name), "%s", found->pw_name);
	else
		snprintf(user->name, sizeof(user->name), "%u", uid);
	user->uid = uid;
	user->known = true;
	return user->name;
}

/* The smallest unit of a time left: a reader needs no milliseconds of an hour. */
static uint64_t table_left_accuracy(uint64_t span, bool is_short)
{
	if (span < MINUTE)
		return 1000;
	if (!is_short || span < HOUR)
		return SECOND;
	if (span < DAY)
		return MINUTE;
	return span < YEAR ? HOUR : DAY;
}

static void table_format_left(char *buffer, size_t size, int64_t left, bool is_short)
{
	uint64_t span = left < 0 ? -(uint64_t)left : (uint64_t)left;
	char text[WHEN_SPAN_MAX];

	when_format_span(text, sizeof(text), span, table_left_accuracy(span, is_short));
	snprintf(buffer, size, left < 0 ? "%s ago" : "%s", text);
}

/* The columns with spans and instants. */
static void table_format_time(char *buffer, size_t size, const toytimer_listed *l,
	enum table_column column, const struct table_format *format)
{
	uint64_t wall = l->clock == TOYTIMER_REALTIME ? l->due : clock_after(format->now, l->left);

	if (column == COLUMN_DUE)
		when_format_timestamp(
			buffer, size, wall, format->is_short ? WHEN_SHORT : WHEN_LOCAL);
	else if (column == COLUMN_LEFT)
		table_format_left(buffer, size, l->left, format->is_short);
	else if (column == COLUMN_SLACK)
		when_format_span(buffer, size, l->slack, 0);
	else if (l->every != 0)
		when_format_span(buffer, size, l->every, 0);
	else
		snprintf(buffer, size, "-");
}

uint32_t table_wake_count(const toytimer_listed *l)
{
	return l->count == 0 && l->every == 0 ? 1 : l->count;
}

static void table_format_count(char *buffer, size_t size, const toytimer_listed *l)
{
	uint32_t count = table_wake_count(l);

	if (count == 0)
		snprintf(buffer, size, "-");
	else
		snprintf(buffer, size, "%u", count);
}

static void table_format_cell(char *buffer, size_t size, const toytimer_listed *l,
	enum table_column column, struct table_format *format)
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
		table_format_time(buffer, size, l, column, format);
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
		snprintf(buffer, size, "%s", table_user_name(&format->user, l->uid));
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

/* The width of each column. SIZE_MAX: no limit. */
struct table_widths {
	size_t columns[COLUMNS_MAX];
};

/* Measures each column with its heading. Returns the width of the widest line. */
static size_t table_measure(const toytimer_listed *timers, size_t n, const struct columns *columns,
	struct table_format *format, struct table_widths *ret)
{
	size_t sum = columns->n - 1;
	char text[TABLE_TEXT_MAX];

	for (size_t i = 0; i < columns->n; i++) {
		ret->columns[i] = strlen(table_columns[columns->index[i]].name);
		for (size_t k = 0; k < n; k++) {
			size_t width;

			table_format_cell(
				text, sizeof(text), &timers[k], columns->index[i], format);
			width = width_of(text);
			if (width > ret->columns[i])
				ret->columns[i] = width;
		}
		sum += ret->columns[i];
	}
	return sum;
}

/* The widest column that may be cut; columns->n if none may. */
static size_t table_widest(const struct columns *columns, const struct table_widths *widths)
{
	size_t widest = columns->n;

	for (size_t i = 0; i < columns->n; i++) {
		unsigned char c = columns->index[i];

		if (table_columns[c].flags == SCOLS_FL_TRUNC &&
			widths->columns[i] > strlen(table_columns[c].name) &&
			(widest == columns->n || widths->columns[i] > widths->columns[widest]))
			widest = i;
	}
	return widest;
}

static void table_remove_column(struct columns *columns, enum table_column column)
{
	size_t kept = 0;

	for (size_t i = 0; i < columns->n; i++)
		if (columns->index[i] != column)
			columns->index[kept++] = columns->index[i];
	columns->n = kept;
}

/* Steps 1 and 2 of table_print(). terminal: its width; 0: no limit. May change columns and format.
 */
static struct table_widths table_fit(const toytimer_listed *timers, size_t n,
	struct columns *columns, struct table_format *format, size_t terminal)
{
	struct table_widths widths, limits;
	size_t sum;

	for (size_t i = 0; i < COLUMNS_MAX; i++)
		limits.columns[i] = SIZE_MAX;
	if (terminal == 0)
		return limits;
	sum = table_measure(timers, n, columns, format, &widths);
	if (sum > terminal) {
		format->is_short = true;
		if (columns->is_default)
			table_remove_column(columns, COLUMN_CLOCK);
		sum = table_measure(timers, n, columns, format, &widths);
	}
	for (; sum > terminal; sum--) {
		size_t widest = table_widest(columns, &widths);

		if (widest == columns->n)
			break;
		limits.columns[widest] = --widths.columns[widest];
	}
	return limits;
}

static int table_add_line(struct libscols_table *table, const toytimer_listed *l,
	const struct columns *columns, const struct table_widths *limits,
	struct table_format *format)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	char text[TABLE_TEXT_MAX + WIDTH_ELLIPSIS_MAX];

	if (!line)
		return -ENOMEM;
	for (size_t i = 0; i < columns->n; i++) {
		table_format_cell(text, TABLE_TEXT_MAX, l, columns->index[i], format);
		width_truncate(text, limits->columns[i]);
		if (scols_line_set_data(line, i, text) < 0)
			return -ENOMEM;
	}
	return 0;
}

int table_print(FILE *out, const toytimer_listed *timers, size_t n, const struct columns *wanted,
	bool headings, uint64_t now)
{
	struct columns columns = *wanted;
	_cleanup_(columns_unref) struct libscols_table *table = NULL;
	struct table_format format = {.now = now};
	struct table_widths limits = table_fit(timers, n, &columns, &format, width_of_terminal());

	table = columns_new_table(table_columns, &columns, headings);
	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (table_add_line(table, &timers[i], &columns, &limits, &format) < 0)
			return -ENOMEM;
	return columns_print(table, out);
}
