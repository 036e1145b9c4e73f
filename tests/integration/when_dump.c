/* SPDX-License-Identifier: MIT */
/*
 * What client-lib/ctl/when.h makes of strings, as plain text for compare_when, which asks systemd
 * the same. One process for many strings, since the comparison is of thousands.
 *
 *     when_dump span|timestamp|when NOW_US < STRINGS
 *
 * Each string on standard input ends with a 0 byte. For each there is one line on standard output,
 * of three fields parted by tabs: 0 or the negative errno; the microseconds; the value as formatted
 * (for "when" with "span" or "instant" before it), or the word that is blamed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../client-lib/ctl/when.h"

static void print_error(int r, const struct when_error *error)
{
	printf("%d\t0\t%.*s\n", r, (int)error->length, error->word);
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

static void dump_timestamp(const char *text, uint64_t now_us)
{
	char buffer[WHEN_TIMESTAMP_MAX];
	struct when_error error;
	uint64_t us;
	int r;

	r = when_parse_timestamp(text, now_us, &us, &error);
	if (r < 0)
		print_error(r, &error);
	else
		printf("0\t%" PRIu64 "\t%s\n", us,
			when_format_timestamp(buffer, sizeof(buffer), us, WHEN_LOCAL));
}

static void dump_when(const char *text, uint64_t now_us)
{
	char buffer[WHEN_TIMESTAMP_MAX];
	struct when_error error;
	struct when when;
	int r;

	r = when_parse(text, now_us, &when, &error);
	if (r < 0)
		print_error(r, &error);
	else if (when.kind == WHEN_SPAN)
		printf("0\t%" PRIu64 "\tspan %s\n", when.us,
			when_format_span(buffer, sizeof(buffer), when.us, 1));
	else
		printf("0\t%" PRIu64 "\tinstant %s\n", when.us,
			when_format_timestamp(buffer, sizeof(buffer), when.us, WHEN_LOCAL));
}

int main(int argc, char **argv)
{
	char *line = NULL, *end;
	size_t size = 0;
	uint64_t now_us;

	if (argc != 3) {
		fprintf(stderr, "usage: when_dump span|timestamp|when NOW_US < STRINGS\n");
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
		else if (strcmp(argv[1], "timestamp") == 0)
			dump_timestamp(line, now_us);
		else
			dump_when(line, now_us);
	}
	free(line);
	return ferror(stdin) ? 1 : 0;
}
