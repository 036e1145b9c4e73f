/* SPDX-License-Identifier: MIT */
/* See queue_table.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "queue_table.h"

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
	table->cells = NULL;
	table->rows = table->room = 0;
}

static int print_rows(
	FILE *f, const struct queue_table *table, const struct columns *shown, bool headings)
{
	_cleanup_(columns_unref) struct libscols_table *out = columns_new_table(
		table->columns, shown, headings);

	if (!out)
		return -ENOMEM;
	for (size_t row = 0; row < table->rows; row++) {
		struct libscols_line *line = scols_table_new_line(out, NULL);

		for (size_t i = 0; line && i < shown->n; i++)
			if (scols_line_set_data(
				    line, i, table->cells[row * table->n + shown->index[i]]) < 0)
				line = NULL;
		if (!line)
			return -ENOMEM;
	}
	return columns_print(out, f);
}

int queue_table_print(FILE *out, const struct queue_table *table, const struct columns *chosen,
	bool legend, const char *thing)
{
	struct columns shown = *chosen;

	for (size_t i = 0; chosen->n == 0 && i < table->n; i++)
		shown.index[shown.n++] = (unsigned char)i;
	/* An empty table has no headings. */
	if (table->rows > 0 && print_rows(out, table, &shown, legend) < 0)
		return ctl_no_memory();
	if (legend && columns_print_sum(out, table->rows, thing) < 0)
		return ctl_no_memory();
	return output_flush(out) < 0 ? CTL_FAILED : CTL_DONE;
}
