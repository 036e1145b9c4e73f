/* SPDX-License-Identifier: MIT */
#include "columns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "width.h"

/* Compares ASCII letters in every locale: with a Turkish locale strcasecmp() does not find "id". */
static bool is_name(const char *name, const char *text, size_t length)
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

int columns_parse(
	struct ctl *ctl, const struct column *all, size_t n, const char *names, struct columns *ret)
{
	struct columns columns = {0};

	for (const char *name = names;; name++) {
		size_t length = strcspn(name, ","), i = 0;

		if (length == 0)
			return ctl_usage(ctl, "-o '%s': an empty column; see list --help", names);
		while (i < n && !is_name(all[i].name, name, length))
			i++;
		if (i == n)
			return ctl_usage(
				ctl, "-o %.*s: no such column; see list --help", (int)length, name);
		if (columns.n == COLUMNS_MAX)
			return ctl_usage(ctl, "-o %s: more than %d columns", names, COLUMNS_MAX);
		columns.index[columns.n++] = (unsigned char)i;
		name += length;
		if (!*name)
			break;
	}
	*ret = columns;
	return 0;
}

void columns_unref(struct libscols_table **table)
{
	scols_unref_table(*table);
}

struct libscols_table *columns_new_table(
	const struct column *all, const struct columns *shown, bool headings)
{
	struct libscols_table *table = scols_new_table();

	if (!table)
		return NULL;
	scols_table_enable_noheadings(table, !headings);
	scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER);
	for (size_t i = 0; i < shown->n; i++) {
		const struct column *column = &all[shown->index[i]];

		/* columns_print() cuts lines, so libsmartcols must not. */
		if (scols_table_new_column(table, column->name, 0, column->flags & ~SCOLS_FL_TRUNC))
			continue;
		scols_unref_table(table);
		return NULL;
	}
	return table;
}

static void free_text(char **text)
{
	free(*text);
}

/* terminal: the width; 0: nothing is cut. */
static int write_lines(FILE *out, const char *text, size_t terminal)
{
	while (*text) {
		size_t length = strcspn(text, "\n"), kept = length;
		_cleanup_(free_text) char *line = NULL;

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

int columns_print(struct libscols_table *table, FILE *out)
{
	_cleanup_(free_text) char *text = NULL;

	if (scols_print_table_to_string(table, &text) < 0 || !text)
		return -ENOMEM;
	return write_lines(out, text, width_of_terminal());
}

int columns_print_sum(FILE *out, size_t n, const char *thing)
{
	char line[64];

	snprintf(line, sizeof(line), "%s%zu %s%s listed.\n", n > 0 ? "\n" : "", n, thing,
		n == 1 ? "" : "s");
	return write_lines(out, line, width_of_terminal());
}
