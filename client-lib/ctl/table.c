/* SPDX-License-Identifier: MIT */
/*
 * See table.h. One table has timers of all clocks. To make their dues comparable, DUE shows what
 * the wall clock will show at the due, whatever the clock of the timer.
 */
#include <errno.h>
#include <libsmartcols.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "ctl.h"
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

/* What the text of a cell depends on, besides its timer. */
struct table_format {
	uint64_t now;  /* the wall clock, in microseconds */
	bool is_short; /* step 1 of table_print() */
	struct table_user user;
};

void table_default_columns(struct table_columns *ret, bool with_user)
{
	static const unsigned char columns[] = {COLUMN_ID, COLUMN_DUE, COLUMN_LEFT, COLUMN_EVERY,
		COLUMN_CLOCK, COLUMN_LABEL, COLUMN_USER, COLUMN_PID, COLUMN_COMM};

	*ret = (struct table_columns){.is_default = true};
	for (size_t i = 0; i < sizeof(columns); i++)
		if (columns[i] != COLUMN_USER || with_user)
			ret->columns[ret->n++] = columns[i];
}

/* Compares ASCII letters in every locale: with a Turkish locale strcasecmp() does not find "id". */
static bool table_is_name(const char *name, const char *text, size_t length)
{
	if (strlen(name) != length)
		return false;
	for (size_t i = 0; i < length; i++) {
		char c = text[i];

		if (c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		if (c != name[i])
			return false;
	}
	return true;
}

/* Returns COLUMNS if no column has that name. */
static unsigned char table_find_column(const char *name, size_t length)
{
	unsigned char i;

	for (i = 0; i < COLUMNS; i++)
		if (table_is_name(table_columns[i].name, name, length))
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
	enum column column, const struct table_format *format)
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
	enum column column, struct table_format *format)
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
	size_t columns[TABLE_COLUMNS_MAX];
};

/* Measures each column with its heading. Returns the width of the widest line. */
static size_t table_measure(const toytimer_listed *timers, size_t n,
	const struct table_columns *columns, struct table_format *format, struct table_widths *ret)
{
	size_t sum = columns->n - 1;
	char text[TABLE_TEXT_MAX];

	for (size_t i = 0; i < columns->n; i++) {
		ret->columns[i] = strlen(table_columns[columns->columns[i]].name);
		for (size_t k = 0; k < n; k++) {
			size_t width;

			table_format_cell(
				text, sizeof(text), &timers[k], columns->columns[i], format);
			width = width_of(text);
			if (width > ret->columns[i])
				ret->columns[i] = width;
		}
		sum += ret->columns[i];
	}
	return sum;
}

/* The widest column that may be cut; columns->n if none may. */
static size_t table_widest(const struct table_columns *columns, const struct table_widths *widths)
{
	size_t widest = columns->n;

	for (size_t i = 0; i < columns->n; i++) {
		unsigned char c = columns->columns[i];

		if (table_columns[c].flags == SCOLS_FL_TRUNC &&
			widths->columns[i] > strlen(table_columns[c].name) &&
			(widest == columns->n || widths->columns[i] > widths->columns[widest]))
			widest = i;
	}
	return widest;
}

static void table_remove_column(struct table_columns *columns, enum column column)
{
	size_t kept = 0;

	for (size_t i = 0; i < columns->n; i++)
		if (columns->columns[i] != column)
			columns->columns[kept++] = columns->columns[i];
	columns->n = kept;
}

/* Steps 1 and 2 of table_print(). terminal: its width; 0: no limit. May change columns and format.
 */
static struct table_widths table_fit(const toytimer_listed *timers, size_t n,
	struct table_columns *columns, struct table_format *format, size_t terminal)
{
	struct table_widths widths, limits;
	size_t sum;

	for (size_t i = 0; i < TABLE_COLUMNS_MAX; i++)
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

static void table_unref(struct libscols_table **table)
{
	scols_unref_table(*table);
}

static void table_free(char **text)
{
	free(*text);
}

static int table_add_line(struct libscols_table *table, const toytimer_listed *l,
	const struct table_columns *columns, const struct table_widths *limits,
	struct table_format *format)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	char text[TABLE_TEXT_MAX + WIDTH_ELLIPSIS_MAX];

	if (!line)
		return -ENOMEM;
	for (size_t i = 0; i < columns->n; i++) {
		table_format_cell(text, TABLE_TEXT_MAX, l, columns->columns[i], format);
		width_truncate(text, limits->columns[i]);
		if (scols_line_set_data(line, i, text) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Writes the lines of a text without trailing blanks, each cut to the width of the terminal (0: not
 * cut). Returns 0 or -ENOMEM. */
static int table_write(FILE *out, const char *text, size_t terminal)
{
	while (*text) {
		size_t length = strcspn(text, "\n"), kept = length;
		_cleanup_(table_free) char *line = NULL;

		while (kept > 0 && text[kept - 1] == ' ')
			kept--;
		line = malloc(kept + 1 + WIDTH_ELLIPSIS_MAX);
		if (!line)
			return -ENOMEM;
		memcpy(line, text, kept);
		line[kept] = '\0';
		if (terminal > 0)
			width_truncate(line, terminal);
		fprintf(out, "%s\n", line);
		text += length + (text[length] == '\n');
	}
	return 0;
}

int table_print(FILE *out, const toytimer_listed *timers, size_t n,
	const struct table_columns *wanted, bool headings, uint64_t now)
{
	struct table_columns columns = *wanted;
	_cleanup_(table_unref) struct libscols_table *table = scols_new_table();
	_cleanup_(table_free) char *text = NULL;
	size_t terminal = width_of_terminal();
	struct table_format format = {.now = now};
	struct table_widths limits;

	if (!table)
		return -ENOMEM;
	scols_table_enable_noheadings(table, !headings);
	scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER);
	limits = table_fit(timers, n, &columns, &format, terminal);
	for (size_t i = 0; i < columns.n; i++) {
		unsigned char c = columns.columns[i];

		if (!scols_table_new_column(table, table_columns[c].name, 0,
			    table_columns[c].flags & ~SCOLS_FL_TRUNC))
			return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++)
		if (table_add_line(table, &timers[i], &columns, &limits, &format) < 0)
			return -ENOMEM;
	if (scols_print_table_to_string(table, &text) < 0 || !text)
		return -ENOMEM;
	return table_write(out, text, terminal);
}

int table_print_sum(FILE *out, size_t n)
{
	char line[64];

	snprintf(line, sizeof(line), "%s%zu timer%s listed.\n", n > 0 ? "\n" : "", n,
		n == 1 ? "" : "s");
	return table_write(out, line, width_of_terminal());
}
