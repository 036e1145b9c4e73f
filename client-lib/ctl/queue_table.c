/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "queue_table.h"
#include "width.h"

int queue_table_add(struct queue_table *table, const char *const *cells)
{
	char **more = reallocarray(table->cells, (table->rows + 1) * table->n, sizeof(*more));

	if (!more)
		return -ENOMEM;
	table->cells = more;
	for (size_t i = 0; i < table->n; i++) {
		more[table->rows * table->n + i] = strdup(cells[i]);
		if (more[table->rows * table->n + i])
			continue;
		while (i--)
			free(more[table->rows * table->n + i]);
		return -ENOMEM;
	}
	table->rows++;
	return 0;
}

void queue_table_free(struct queue_table *table)
{
	for (size_t i = 0; i < table->rows * table->n; i++)
		free(table->cells[i]);
	free(table->cells);
}

/* Names are ASCII in every locale. Returns the column's number; n: there is none. */
static size_t find_column(
	const struct queue_column *columns, size_t n, const char *name, size_t length)
{
	size_t i, at;

	for (i = 0; i < n; i++) {
		for (at = 0; at < length; at++) {
			char c = name[at];

			if (c >= 'a' && c <= 'z')
				c = (char)(c - 'a' + 'A');
			if (c != columns[i].name[at])
				break;
		}
		if (at == length && !columns[i].name[at])
			return i;
	}
	return n;
}

int queue_table_check(
	struct ctl *ctl, const struct queue_column *columns, size_t n, const char *names)
{
	for (;;) {
		size_t length = strcspn(names, ",");

		if (find_column(columns, n, names, length) == n)
			return ctl_usage(ctl, "-o %.*s: no such column", (int)length, names);
		if (!names[length])
			return 0;
		names += length + 1;
	}
}

/* All columns, or those of the names, which were checked. */
static int add_columns(
	const struct queue_table *table, const char *names, size_t *order, size_t *ret_n)
{
	size_t n = 0;

	for (size_t i = 0; !names && i < table->n; i++)
		order[n++] = i;
	while (names && n < table->n) {
		size_t length = strcspn(names, ",");

		order[n++] = find_column(table->columns, table->n, names, length);
		names = names[length] ? names + length + 1 : NULL;
	}
	*ret_n = n;
	return names ? -E2BIG : 0;
}

static void unref(struct libscols_table **table)
{
	scols_unref_table(*table);
}

static void free_text(char **text)
{
	free(*text);
}

/* Without blanks at their ends, cut to the terminal. */
static int write_lines(FILE *out, const char *text, size_t terminal)
{
	while (*text) {
		size_t length = strcspn(text, "\n"), kept = length;
		_cleanup_(free_text) char *line = malloc(length + 1 + WIDTH_ELLIPSIS_MAX);

		if (!line)
			return -ENOMEM;
		while (kept > 0 && text[kept - 1] == ' ')
			kept--;
		memcpy(line, text, kept);
		line[kept] = '\0';
		if (terminal > 0)
			width_truncate(line, terminal);
		fprintf(out, "%s\n", line);
		text += length + (text[length] == '\n');
	}
	return 0;
}

static int print_rows(
	FILE *f, const struct queue_table *table, const size_t *order, size_t n, bool headings)
{
	_cleanup_(unref) struct libscols_table *out = scols_new_table();
	_cleanup_(free_text) char *text = NULL;

	if (!out)
		return -ENOMEM;
	scols_table_enable_noheadings(out, !headings);
	scols_table_set_termforce(out, SCOLS_TERMFORCE_NEVER);
	for (size_t i = 0; i < n; i++) {
		const struct queue_column *column = &table->columns[order[i]];

		if (!scols_table_new_column(
			    out, column->name, 0, column->right ? SCOLS_FL_RIGHT : 0))
			return -ENOMEM;
	}
	for (size_t row = 0; row < table->rows; row++) {
		struct libscols_line *line = scols_table_new_line(out, NULL);

		for (size_t i = 0; line && i < n; i++)
			if (scols_line_set_data(line, i, table->cells[row * table->n + order[i]]) <
				0)
				line = NULL;
		if (!line)
			return -ENOMEM;
	}
	if (scols_print_table_to_string(out, &text) < 0 || !text)
		return -ENOMEM;
	return write_lines(f, text, width_of_terminal());
}

int queue_table_print(FILE *out, const struct queue_table *table, const char *names, bool legend,
	const char *thing)
{
	size_t order[32], n;

	if (table->n > sizeof(order) / sizeof(order[0]) ||
		add_columns(table, names, order, &n) < 0) {
		output_error("-o %s: more than %zu columns", names ? names : "", table->n);
		return CTL_USAGE;
	}
	/* Headings of nothing are noise. */
	if (table->rows > 0 && print_rows(out, table, order, n, legend) < 0)
		return ctl_no_memory();
	if (legend)
		fprintf(out, "%s%zu %s%s listed.\n", table->rows > 0 ? "\n" : "", table->rows,
			thing, table->rows == 1 ? "" : "s");
	return output_flush(out) < 0 ? CTL_FAILED : CTL_DONE;
}
