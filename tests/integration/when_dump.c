/* SPDX-License-Identifier: MIT */
/*
 * What client-lib/ctl/when.h makes of strings, as plain text for compare_when, which asks systemd
 * the same. One process for many strings, since the comparison is of thousands.
 *
 *     when_dump span|timestamp NOW_US < STRINGS
 *
 * Each string on standard input ends with a 0 byte. For each there is one line on standard output,
 * of three fields parted by tabs: 0 or the negative errno; the microseconds; the value as
 * formatted, or the error.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../client-lib/ctl/when.h"

static void print_error(int r, const struct when_error *error)
{
	printf("%d\t0\t%.*s %s\n", r, (int)error->length, error->word, error->advice);
}

static void dump_span(const char *text)
{
	char buffer[WHEN_SPAN_MAX];
	struct when_error error;
	uint64_t us;
	int r;

	r = when_parse_span(text, &us, &error);
	if (r < 0)
		print_error(r, &error);
	else
		printf("0\t%" PRIu64 "\t%s\n", us, when_format_span(buffer, sizeof(buffer), us, 1));
}

/* systemd does not accept a span alone as a time; a span from now is an instant. */
static void dump_timestamp(const char *text, uint64_t now_us)
{
	char buffer[WHEN_TIMESTAMP_MAX];
	struct when_error error = {text, strlen(text), "is a span"};
	struct when when;
	uint64_t us;
	int r;

	r = when_parse(text, now_us, &when, &error);
	if (r == 0 && when.kind == WHEN_SPAN) {
		if (*text != '+' && when_parse_span(text, &us, NULL) == 0)
			r = -EINVAL;
		else if (__builtin_add_overflow(now_us, when.us, &when.us) ||
			when.us > WHEN_TIMESTAMP_LAST)
			r = -ERANGE;
	}
	if (r < 0)
		print_error(r, &error);
	else
		printf("0\t%" PRIu64 "\t%s\n", when.us,
			when_format_timestamp(buffer, sizeof(buffer), when.us, WHEN_LOCAL));
}

int main(int argc, char **argv)
{
	char *line = NULL, *end;
	size_t size = 0;
	uint64_t now_us;

	if (argc != 3) {
		fprintf(stderr, "usage: when_dump span|timestamp NOW_US < STRINGS\n");
		return 2;
	}
	errno = 0;
	now_us = strtoull(argv[2], &end, 10);
	if (errno != 0 || end == argv[2] || *end != '\0') {
		fprintf(stderr, "when_dump: not a number: %s\n", argv[2]);
		return 2;
	}
	while (getdelim(&line, &size, '\0', stdin) > 0) {
		if (strcmp(argv[1], "span") == 0)
			dump_span(line);
		else
			dump_timestamp(line, now_us);
	}
	free(line);
	return ferror(stdin) ? 1 : 0;
}
