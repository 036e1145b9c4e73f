/* SPDX-License-Identifier: MIT */
/*
 * Passes arbitrary bytes to the parsers of client-lib/ctl/when.h and checks what the header
 * promises: a parsed value, formatted and parsed again, is the same; when_parse() accepts every
 * span with the same length; the word in an error lies inside the text, and the message is one
 * line; the suggestion for tomorrow is later than now; no result depends on earlier calls. The
 * first byte selects the zone.
 *
 *     clang -fsanitize=fuzzer,address,undefined … && ./fuzz_when corpus/when
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../client-lib/ctl/when.h"

#define NOW_US UINT64_C(1795507200123456) /* 2026-11-24 08:00:00.123456 UTC */

/* A formatted span above this may not parse again, since its number of years, rounded up, is too
 * large. In microseconds. */
#define SPAN_READABLE (UINT64_C(584541) * 31557600 * 1000000)

/* Zones whose abbreviations have been unique since 1970. */
static const char *const zones[] = {"UTC", ":Europe/Berlin", ":America/New_York"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                \
	do {                                                                              \
		if (!(condition)) {                                                       \
			fprintf(stderr, "line %d: not true: %s\n", __LINE__, #condition); \
			abort();                                                          \
		}                                                                         \
	} while (0)

static void check_error(const char *text, int r, const struct when_error *error)
{
	size_t length = strlen(text);

	REQUIRE(r == -EINVAL || r == -ERANGE);
	REQUIRE(error->word >= text && error->word <= text + length);
	REQUIRE(error->length <= (size_t)(text + length - error->word));
	length = strnlen(error->advice, sizeof(error->advice));
	REQUIRE(length > 0 && length < sizeof(error->advice));
}

/* A smaller buffer has the start of the text and a terminating 0. */
static void check_cut(const char *whole, const char *cut, size_t size)
{
	REQUIRE(strlen(cut) < size);
	REQUIRE(strncmp(whole, cut, strlen(cut)) == 0);
}

static void check_span(const char *text, uint64_t us)
{
	char buffer[WHEN_SPAN_MAX], small[9];
	struct when_error error;
	struct when when;
	uint64_t again = 0;
	int r;

	REQUIRE(when_parse(text, NOW_US, &when, &error) == 0);
	REQUIRE(when.kind == WHEN_SPAN && when.us == us && when.every_us == 0);

	when_format_span(buffer, sizeof(buffer), us, 1);
	REQUIRE(strlen(buffer) < sizeof(buffer) - 1);
	check_cut(buffer, when_format_span(small, sizeof(small), us, 1), sizeof(small));
	r = when_parse_span(buffer, &again, &error);
	if (us > SPAN_READABLE && us != WHEN_INFINITY && r == -ERANGE)
		return;
	REQUIRE(r == 0 && again == us);

	/* With an accuracy of a second, the loss is less than a second. */
	if (us >= 1000000 && us != WHEN_INFINITY) {
		when_format_span(buffer, sizeof(buffer), us, 1000000);
		REQUIRE(when_parse_span(buffer, &again, &error) == 0);
		REQUIRE(again <= us && us - again < 1000000);
	}
}

static void check_read_again(const char *text, uint64_t us)
{
	struct when_error error;
	struct when again;

	REQUIRE(when_parse(text, NOW_US, &again, &error) == 0);
	REQUIRE(again.kind == WHEN_INSTANT && again.us == us);
}

static void check_instant(uint64_t us)
{
	char buffer[WHEN_TIMESTAMP_MAX], small[12];
	struct when_error error;
	struct when again;

	when_format_timestamp(buffer, sizeof(buffer), us, WHEN_UTC | WHEN_MICROSECONDS);
	REQUIRE(strlen(buffer) < sizeof(buffer) - 1);
	check_cut(buffer,
		when_format_timestamp(small, sizeof(small), us, WHEN_UTC | WHEN_MICROSECONDS),
		sizeof(small));
	if (us > WHEN_TIMESTAMP_LAST) {
		REQUIRE(when_parse(buffer, NOW_US, &again, &error) < 0);
		return;
	}
	check_read_again(buffer, us);
	when_format_timestamp(buffer, sizeof(buffer), us, WHEN_LOCAL | WHEN_MICROSECONDS);
	check_read_again(buffer, us);
}

static void check_when(const char *text)
{
	struct when when = {.us = 1}, again;
	struct when_error error;
	int r;

	r = when_parse(text, NOW_US, &when, &error);
	if (r < 0) {
		REQUIRE(when.us == 1);
		check_error(text, r, &error);
		return;
	}
	REQUIRE(when.every_us == 0 || (when.kind == WHEN_SPAN && when.every_us == when.us));
	if (when.kind == WHEN_INSTANT)
		check_instant(when.us);
	if (when.suggestion[0] != '\0') {
		REQUIRE(when.kind == WHEN_INSTANT && when.us < NOW_US);
		REQUIRE(when_parse(when.suggestion, NOW_US, &again, &error) == 0);
		REQUIRE(again.us > NOW_US && again.suggestion[0] == '\0');
	}
	REQUIRE(when_parse(text, NOW_US, &again, NULL) == 0);
	REQUIRE(again.kind == when.kind && again.us == when.us);
}

static void check(const char *text)
{
	struct when_error error;
	uint64_t us = 1;
	int r;

	r = when_parse_span(text, &us, &error);
	if (r < 0) {
		REQUIRE(us == 1);
		check_error(text, r, &error);
	} else {
		check_span(text, us);
	}
	check_when(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *zone;
	char *text;

	if (size == 0)
		return 0;
	zone = zones[data[0] % (sizeof(zones) / sizeof(zones[0]))];
	setenv("TZ", zone, 1);
	tzset();

	/* A block of the exact length, so that the address sanitizer detects an overrun. */
	text = malloc(size);
	REQUIRE(text);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	check(text);
	REQUIRE(strcmp(getenv("TZ"), zone) == 0);
	free(text);
	return 0;
}
