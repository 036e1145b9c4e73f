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
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "ctl.h"
#include "table.h"
#include "when.h"
#include "width.h"

#define SECOND UINT64_C(1000000)
#define MINUTE (60 * SECOND)

/* Bytes of the longest cell. */
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

/* What cells are made with, besides their timer. */
struct view {
	uint64_t now; /* the wall clock */
	struct table_user user;
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

/* Names of columns are ASCII in every locale: in a Turkish one strcasecmp() does not find "id". */
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

/* COLUMNS if there is none of that name. */
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

uint32_t table_count(const toytimer_listed *l)
{
	return l->count == 0 && l->every == 0 ? 1 : l->count;
}

static void table_format_count(char *buffer, size_t size, const toytimer_listed *l)
{
	uint32_t count = table_count(l);

	if (count == 0)
		snprintf(buffer, size, "-");
	else
		snprintf(buffer, size, "%u", count);
}

static void table_format(
	char *buffer, size_t size, const toytimer_listed *l, enum column column, struct view *view)
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
		table_format_time(buffer, size, l, column, view->now);
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
		snprintf(buffer, size, "%s", table_user_name(&view->user, l->uid));
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

/* How wide each column may be; SIZE_MAX: as wide as its texts are. */
struct limits {
	size_t columns[TABLE_COLUMNS_MAX];
};

/*
 * Where a line is wider than the terminal, the widest texts are shortened first: a label that is
 * cut tells more than a process that is missing. A heading is always whole.
 */
static struct limits table_fit(const toytimer_listed *timers, size_t n,
	const struct table_columns *columns, struct view *view, size_t terminal)
{
	struct limits limits;
	size_t widths[TABLE_COLUMNS_MAX], sum = columns->n - 1;
	char text[TABLE_TEXT_MAX];

	for (size_t i = 0; i < columns->n; i++)
		limits.columns[i] = SIZE_MAX;
	if (terminal == 0)
		return limits;

	for (size_t i = 0; i < columns->n; i++) {
		widths[i] = strlen(table_columns[columns->columns[i]].name);
		for (size_t k = 0; k < n; k++) {
			size_t width;

			table_format(text, sizeof(text), &timers[k], columns->columns[i], view);
			width = width_of(text);
			widths[i] = width > widths[i] ? width : widths[i];
		}
		sum += widths[i];
	}
	while (sum > terminal) {
		size_t widest = columns->n;

		for (size_t i = 0; i < columns->n; i++) {
			unsigned char c = columns->columns[i];

			if (table_columns[c].flags == SCOLS_FL_TRUNC &&
				widths[i] > strlen(table_columns[c].name) &&
				(widest == columns->n || widths[i] > widths[widest]))
				widest = i;
		}
		if (widest == columns->n)
			break;
		limits.columns[widest] = --widths[widest];
		sum--;
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
	const struct table_columns *columns, const struct limits *limits, struct view *view)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	char text[TABLE_TEXT_MAX + WIDTH_ELLIPSIS_MAX];

	if (!line)
		return -ENOMEM;
	for (size_t i = 0; i < columns->n; i++) {
		table_format(text, TABLE_TEXT_MAX, l, columns->columns[i], view);
		width_cut(text, limits->columns[i]);
		if (scols_line_set_data(line, i, text) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Writes the lines of a text, without blanks at their ends, each cut to the terminal. */
static int table_write(const char *text, size_t terminal)
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
			width_cut(line, terminal);
		puts(line);
		text += length + (text[length] == '\n');
	}
	return 0;
}

int table_print(const toytimer_listed *timers, size_t n, const struct table_columns *columns,
	bool headings, uint64_t now)
{
	_cleanup_(table_unref) struct libscols_table *table = scols_new_table();
	_cleanup_(table_free) char *text = NULL;
	size_t terminal = width_of_terminal();
	struct view view = {.now = now};
	struct limits limits;

	if (!table)
		return -ENOMEM;
	scols_table_enable_noheadings(table, !headings);
	scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER);
	for (size_t i = 0; i < columns->n; i++) {
		unsigned char c = columns->columns[i];

		if (!scols_table_new_column(table, table_columns[c].name, 0,
			    table_columns[c].flags & ~SCOLS_FL_TRUNC))
			return -ENOMEM;
	}
	limits = table_fit(timers, n, columns, &view, terminal);
	for (size_t i = 0; i < n; i++)
		if (table_add_line(table, &timers[i], columns, &limits, &view) < 0)
			return -ENOMEM;
	if (scols_print_table_to_string(table, &text) < 0 || !text)
		return -ENOMEM;
	return table_write(text, terminal);
}

int table_print_sum(size_t n)
{
	char line[64];

	snprintf(line, sizeof(line), "%s%zu timer%s listed.\n", n > 0 ? "\n" : "", n,
		n == 1 ? "" : "s");
	return table_write(line, width_of_terminal());
}
