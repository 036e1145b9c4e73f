/* SPDX-License-Identifier: MIT */
/* See when_expect.h. */
#include "when_expect.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void use_zone(const char *zone)
{
	if (zone)
		setenv("TZ", zone, 1);
	else
		unsetenv("TZ");
	tzset();
}

int in_utc(void **state)
{
	(void)state;
	unsetenv("TZDIR");
	use_zone("UTC");
	return 0;
}

void need_zones(void)
{
	if (access("/usr/share/zoneinfo/Australia/Lord_Howe", R_OK) == 0)
		return;
	print_message("skipped: /usr/share/zoneinfo has no time zones (package tzdata)\n");
	skip();
}

void expect_instants(const struct instant *table, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct when_error error = {"", 0, ""};
		struct when when = {.us = 1};
		int r = when_parse(table[i].text, NOW_US, &when, &error);
		uint64_t us = when.kind == WHEN_SPAN ? NOW_US + when.us : when.us;

		if (r != 0 || us != table[i].us)
			fail_msg("\"%s\" gives %d (\"%.*s\" %s), %llu, not %llu", table[i].text, r,
				(int)error.length, error.word, error.advice, (unsigned long long)us,
				(unsigned long long)table[i].us);
	}
}

void expect_error(const char *text, const char *word, const struct when_error *error)
{
	size_t length = strlen(error->advice);

	if (error->length != strlen(word) || memcmp(error->word, word, error->length) != 0)
		fail_msg("\"%s\": \"%.*s\" is wrong (%s), not \"%s\"", text, (int)error->length,
			error->word, error->advice, word);
	assert_true(error->word >= text && error->word + error->length <= text + strlen(text));
	/* The message is not empty and not cut off. */
	assert_in_range(length, 1, sizeof(error->advice) - 2);
	assert_null(strchr(error->advice, '\n'));
}

void expect_refused(const struct refused *table, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct when_error error = {NULL, 99, ""};
		struct when when = {.us = 77};
		int r = when_parse(table[i].text, NOW_US, &when, &error);

		if (r != table[i].r)
			fail_msg("\"%s\" gives %d", table[i].text, r);
		assert_int_equal(when.us, 77);
		expect_error(table[i].text, table[i].word, &error);
		if (table[i].advice && !strstr(error.advice, table[i].advice))
			fail_msg("\"%s\": %s", table[i].text, error.advice);
		assert_int_equal(when_parse(table[i].text, NOW_US, &when, NULL), r);
		assert_int_equal(when.us, 77);
	}
}

uint64_t next_number(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *seed >> (*seed >> 58);
}
