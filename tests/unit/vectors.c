/* SPDX-License-Identifier: MIT */
/* A reader of lines: a tab means bytes, a word means structure. */
#include "vectors.h"

#include <dirent.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
	const char *path;
	unsigned int line;
	struct vectors *v;
	size_t repeat; /* of the record that follows */
};

static void *grow(void *array, size_t n, size_t size)
{
	void *p = reallocarray(array, n + 1, size);

	if (!p)
		err(1, "reallocarray");
	memset((char *)p + n * size, 0, size);
	return p;
}

__attribute__((noreturn)) static void fail(const struct reader *r, const char *what)
{
	errx(1, "%s:%u: %s", r->path, r->line, what);
}

static struct vector *current(const struct reader *r)
{
	if (r->v->n == 0)
		fail(r, "no vector yet");
	return &r->v->all[r->v->n - 1];
}

static void copy_word(const struct reader *r, char *to, size_t size, const char *word)
{
	if (*word == '\0' || strlen(word) >= size)
		fail(r, "the word is missing or too long");
	strcpy(to, word);
}

/* What was read once so far stands as often as its group says. */
static void end_group(struct vector *v)
{
	struct vector_group *g = v->n_groups ? &v->groups[v->n_groups - 1] : NULL;

	if (!g || g->size || v->size == g->offset)
		return;
	g->size = v->size - g->offset;
	v->size = g->offset + g->size * g->repeat;
	v->packet = realloc(v->packet, v->size);
	if (!v->packet)
		err(1, "realloc");
	for (size_t i = 1; i < g->repeat; i++)
		memcpy(v->packet + g->offset + g->size * i, v->packet + g->offset, g->size);
}

static void begin_group(struct reader *r, const char *check)
{
	struct vector *v = current(r);
	struct vector_group *g;

	end_group(v);
	v->groups = grow(v->groups, v->n_groups, sizeof(*v->groups));
	g = &v->groups[v->n_groups++];
	copy_word(r, g->check, sizeof(g->check), check);
	g->offset = v->size;
	g->repeat = r->repeat;
	g->first_field = v->n_fields;
	r->repeat = 1;
}

static void read_text(const struct reader *r, struct vector_field *f, const char *s)
{
	size_t n = 0;

	for (s++; *s != '"'; n++) {
		unsigned int byte;

		if (*s == '\0' || n == sizeof(f->bytes))
			fail(r, "a text without end");
		if (*s != '\\') {
			f->bytes[n] = (uint8_t)*s++;
			continue;
		}
		if (sscanf(s, "\\x%2x", &byte) != 1)
			fail(r, "a backslash that is no \\xNN");
		f->bytes[n] = (uint8_t)byte;
		s += 4;
	}
	f->text = true;
}

static void read_meaning(const struct reader *r, struct vector *v, const char *s)
{
	struct vector_field *f;
	const char *value = strstr(s, " = ");
	char *end;

	if (!value || v->n_groups == 0)
		fail(r, "a meaning is \"field = value\", in a header or record");
	v->fields = grow(v->fields, v->n_fields, sizeof(*v->fields));
	f = &v->fields[v->n_fields++];
	v->groups[v->n_groups - 1].n_fields++;
	if ((size_t)(value - s) >= sizeof(f->name))
		fail(r, "a field's name is too long");
	memcpy(f->name, s, (size_t)(value - s));
	f->offset = v->size;
	value += 3;
	if (*value == '"') {
		read_text(r, f, value);
		return;
	}
	f->number = strtoull(value, &end, 0);
	if (*value == '-')
		f->number = (uint64_t)strtoll(value, &end, 0);
	if (end == value || *end)
		fail(r, "no number");
}

static void read_bytes(const struct reader *r, char *line)
{
	struct vector *v = current(r);
	char *meaning = strchr(line, '\t');

	if (meaning) {
		*meaning++ = '\0';
		read_meaning(r, v, meaning);
	}
	for (const char *s = line; *s; s += *s == ' ') {
		unsigned int byte;
		int n = 0;

		if (sscanf(s, "%2x%n", &byte, &n) != 1 || n != 2)
			fail(r, "no pair of hexadecimal digits");
		v->packet = realloc(v->packet, v->size + 1);
		if (!v->packet)
			err(1, "realloc");
		v->packet[v->size++] = (uint8_t)byte;
		if (v->n_fields && v->groups[v->n_groups - 1].n_fields)
			v->fields[v->n_fields - 1].width++;
		s += 2;
	}
}

static void read_line(struct reader *r, char *line)
{
	char *rest = strchr(line, ' ');

	line[strcspn(line, "\n")] = '\0';
	if (*line == '\0' || *line == '#')
		return;
	if (*line == '\t') {
		read_bytes(r, line + 1);
		return;
	}
	if (rest)
		*rest++ = '\0';
	else
		rest = line + strlen(line);

	if (strcmp(line, "vector") == 0) {
		if (r->v->n)
			end_group(current(r));
		r->v->all = grow(r->v->all, r->v->n++, sizeof(*r->v->all));
		copy_word(r, current(r)->name, sizeof(current(r)->name), rest);
	} else if (strcmp(line, "from") == 0) {
		current(r)->from_daemon = strcmp(rest, "daemon") == 0;
		if (!current(r)->from_daemon && strcmp(rest, "client") != 0)
			fail(r, "from neither side");
	} else if (strcmp(line, "verdict") == 0) {
		copy_word(r, current(r)->verdict, sizeof(current(r)->verdict), rest);
	} else if (strcmp(line, "repeat") == 0) {
		r->repeat = strtoul(rest, NULL, 10);
	} else if (strcmp(line, "header") == 0 || strcmp(line, "bytes") == 0) {
		begin_group(r, "ok");
	} else if (strcmp(line, "record") == 0) {
		begin_group(r, rest);
	} else {
		fail(r, "unknown word");
	}
}

static void read_file(struct vectors *v, const char *path)
{
	struct reader r = {.path = path, .v = v, .repeat = 1};
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;

	if (!f)
		err(1, "%s", path);
	while (getline(&line, &size, f) >= 0) {
		r.line++;
		read_line(&r, line);
	}
	if (v->n)
		end_group(&v->all[v->n - 1]);
	free(line);
	fclose(f);
}

struct vectors vectors_read(const char *directory)
{
	struct vectors v = {0};
	struct dirent **names;
	int n = scandir(directory, &names, NULL, alphasort);

	if (n < 0)
		err(1, "%s", directory);
	for (int i = 0; i < n; i++) {
		size_t length = strlen(names[i]->d_name);
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s", directory, names[i]->d_name);
		if (length > 4 && strcmp(names[i]->d_name + length - 4, ".txt") == 0)
			read_file(&v, path);
		free(names[i]);
	}
	free(names);
	if (v.n == 0)
		errx(1, "%s: no golden packets", directory);
	return v;
}

void vectors_free(struct vectors *v)
{
	for (size_t i = 0; i < v->n; i++) {
		free(v->all[i].packet);
		free(v->all[i].fields);
		free(v->all[i].groups);
	}
	free(v->all);
	*v = (struct vectors){0};
}
