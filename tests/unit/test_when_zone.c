/* SPDX-License-Identifier: MIT */
/*
 * Times in zones other than UTC (client-lib/ctl/when.h): what happens when summer time begins and
 * ends, zones named in the text, and that nothing of them stays behind; and what memory that lacks
 * and zones that nobody has do. "Now" is always Tue 2026-11-24 08:00:00.123456 UTC.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../client-lib/ctl/when.h"

#define NOW_S	 UINT64_C(1795507200)
#define NOW_US	 (S(NOW_S) + 123456)
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define S(n) ((uint64_t)(n)*1000000)
#define H(n) S((n)*UINT64_C(3600))

/* Calls of the code under test come here, see meson.build: the one after so many that went well
 * finds no memory. Below 0: none. */
static int strdups_left = -1, setenvs_left = -1;

char *__real_strdup(const char *s);
char *__wrap_strdup(const char *s);
int __real_setenv(const char *name, const char *value, int overwrite);
int __wrap_setenv(const char *name, const char *value, int overwrite);

char *__wrap_strdup(const char *s)
{
	return strdups_left-- ? __real_strdup(s) : NULL;
}

int __wrap_setenv(const char *name, const char *value, int overwrite)
{
	if (setenvs_left--)
		return __real_setenv(name, value, overwrite);
	errno = ENOMEM;
	return -1;
}

static void use_zone(const char *zone)
{
	if (zone)
		setenv("TZ", zone, 1);
	else
		unsetenv("TZ");
	tzset();
}

static int in_utc(void **state)
{
	(void)state;
	use_zone("UTC");
	return 0;
}

/* The zones' rules come from a package that a small machine may lack. */
static void need_zones(void)
{
	if (access("/usr/share/zoneinfo/Australia/Lord_Howe", R_OK) < 0)
		skip();
}

struct instant {
	const char *text;
	uint64_t us;
};

static void expect_instants(const struct instant *table, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct when_error error = {"?", 1};
		uint64_t us = 1;
		int r = when_parse_timestamp(table[i].text, NOW_US, &us, &error);

		if (r != 0 || us != table[i].us)
			fail_msg("\"%s\" gives %d (%.*s), %llu", table[i].text, r,
				(int)error.length, error.word, (unsigned long long)us);
	}
}

/* A name longer than any zone's. */
static void test_long_zones(void **state)
{
	char text[400] = "18:00 Europe/";
	struct when_error error;
	uint64_t us;
	(void)state;

	memset(text + strlen(text), 'x', sizeof(text) - strlen(text) - 1);
	assert_int_equal(when_parse_timestamp(text, NOW_US, &us, &error), -EINVAL);
	assert_ptr_equal(error.word, text + strlen("18:00 "));
	assert_int_equal(error.length, strlen(error.word));
}

/* What summer time skips, and what it gives twice; by half an hour on Lord Howe Island. */
static void test_summer_time(void **state)
{
	static const struct instant berlin[] = {
		{"2027-03-28 01:59:59", S(1806195599)},
		{"2027-03-28 02:30", S(1806197400)},
		{"2027-03-28 03:00", S(1806195600)},
		{"2026-10-25 01:59", S(1792886340)},
		{"2026-10-25 02:30", S(1792891800)},
		{"2026-10-25 02:30 CEST", S(1792888200)},
		{"2026-10-25 02:30 CET", S(1792891800)},
		{"2026-10-25 03:00", S(1792893600)},
		{"2027-07-01 09:00 cest", S(1814425200)},
		{"2027-01-01 09:00 CEST", S(1798786800)}, /* out of season */
		{"Thu 2027-07-01 23:30 CET", S(1814481000)},
		{"1970-07-01 12:00 CEST", S(15674400)}, /* ten years before there was any */
		{"today", S(NOW_S) - H(9)},
		{"today UTC", S(NOW_S) - H(8)},
		{"18:00 UTC", S(NOW_S) + H(10)},
		{"tomorrow Pacific/Auckland", S(1795518000)},
	};
	static const struct instant new_york[] = {
		{"2027-03-14 02:30", S(1805009400)},
		{"2026-11-01 01:30", S(1793511000)},
		{"2026-11-01 01:30 EST", S(1793514600)},
		{"2026-11-01 01:30 EDT", S(1793511000)},
		{"1969-12-31 23:00", H(4)},
	};
	static const struct instant lord_howe[] = {
		{"2026-10-04 02:15", S(1791042300)},
		{"2027-04-04 01:45", S(1806765300)},
		{"2027-04-04 01:45 +11", S(1806763500)},
		{"2027-04-04 01:45 +1030", S(1806765300)},
	};
	static const struct instant always[] = {
		{"18:00", S(NOW_S) + H(9)},
		{"18:00 XDT", S(NOW_S) + H(9)},
		{"18:00 XST", S(NOW_S) + H(10)},
	};
	(void)state;

	need_zones();
	use_zone(":Europe/Berlin");
	expect_instants(berlin, COUNT(berlin));
	use_zone(":America/New_York");
	expect_instants(new_york, COUNT(new_york));
	use_zone(":Australia/Lord_Howe");
	expect_instants(lord_howe, COUNT(lord_howe));
	/* Always summer time; the other one is not in use, but has a name. */
	use_zone("XST0XDT,0/0,J365/25");
	expect_instants(always, COUNT(always));
}

/* A day is not always of 24 hours, nor does "tomorrow" ask. */
static void test_days_across_a_change(void **state)
{
	const uint64_t noon_before = S(1806145200); /* Sat 2027-03-27 12:00 CET */
	uint64_t us;
	(void)state;

	need_zones();
	use_zone("Europe/Berlin");
	assert_int_equal(when_parse_timestamp("tomorrow 12:00", noon_before, &us, NULL), 0);
	assert_int_equal(us, noon_before + H(23));
	assert_int_equal(when_parse_timestamp("yesterday 12:00", noon_before, &us, NULL), 0);
	assert_int_equal(us, noon_before - H(24));
}

/* A zone by name is right, and gone afterwards. */
static void test_named_zones(void **state)
{
	static const struct instant table[] = {
		{"2027-01-01 09:00 Europe/Berlin", S(1798790400)},
		{"2027-07-01 09:00 Europe/Berlin", S(1814425200)},
		{"2027-01-01 Asia/Tokyo", S(1798729200)},
		{"2027-01-01 09:00 Etc/GMT+5", S(1798812000)},
		{"2027-03-28 02:30 Europe/Berlin", S(1806197400)},
		{"Wed 2027-01-06 18:00 America/Argentina/Buenos_Aires", S(1799269200)},
		/* skipped, and not by summer time */
		{"2018-05-04 23:45 Asia/Pyongyang", S(1525445100)},
	};
	uint64_t us;
	(void)state;

	need_zones();
	expect_instants(table, COUNT(table));
	assert_string_equal(getenv("TZ"), "UTC");
	assert_int_equal(when_parse_timestamp("25:00 Asia/Tokyo", NOW_US, &us, NULL), -EINVAL);
	assert_string_equal(getenv("TZ"), "UTC");

	use_zone(NULL);
	assert_int_equal(when_parse_timestamp("18:00 Asia/Tokyo", NOW_US, &us, NULL), 0);
	assert_null(getenv("TZ"));
	assert_int_equal(us, S(NOW_S) + H(1));
}

/* Without memory a zone by name is no zone; and $TZ is what it was, or, at worst, is not there. */
static void test_no_memory(void **state)
{
	uint64_t us = 77;
	(void)state;

	need_zones();
	strdups_left = 0;
	assert_int_equal(when_parse_timestamp("18:00 Asia/Tokyo", NOW_US, &us, NULL), -ENOMEM);
	setenvs_left = 0;
	assert_int_equal(when_parse_timestamp("18:00 Asia/Tokyo", NOW_US, &us, NULL), -ENOMEM);
	assert_int_equal(us, 77);
	assert_string_equal(getenv("TZ"), "UTC");
	setenvs_left = 1;
	assert_int_equal(when_parse_timestamp("18:00 Asia/Tokyo", NOW_US, &us, NULL), 0);
	assert_int_equal(us, S(NOW_S) + H(1));
	assert_null(getenv("TZ"));
}

/* A kind of time, in use from an instant on. */
struct season {
	uint32_t from;
	uint32_t offset;
	uint8_t is_dst;
};

static void put_32(FILE *file, uint32_t number)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		fputc((int)(number >> shift & 0xff), file);
}

/* Writes a zone of our own (RFC 8536, version 1) and uses it. Its seasons all have that name. */
static void use_own_zone(const struct season *seasons, uint32_t count, const char *name)
{
	char path[] = "/tmp/test_when_zone.XXXXXX", zone[sizeof(path) + 1];
	FILE *file = fdopen(mkstemp(path), "w");

	assert_non_null(file);
	fwrite("TZif\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 1, 32, file);
	put_32(file, count);
	put_32(file, count);
	put_32(file, (uint32_t)strlen(name) + 1);
	for (uint32_t i = 0; i < count; i++)
		put_32(file, seasons[i].from);
	for (uint32_t i = 0; i < count; i++)
		fputc((int)i, file);
	for (uint32_t i = 0; i < count; i++) {
		put_32(file, seasons[i].offset);
		fputc(seasons[i].is_dst, file);
		fputc(0, file);
	}
	fwrite(name, 1, strlen(name) + 1, file);
	assert_int_equal(fclose(file), 0);
	snprintf(zone, sizeof(zone), ":%s", path);
	use_zone(zone);
	unlink(path);
}

/* A blank at the end is no name, in a zone without one as in others; nor is one written. */
static void test_a_zone_without_a_name(void **state)
{
	static const struct season season = {0, 2 * 3600, 0};
	char buffer[WHEN_TIMESTAMP_MAX];
	uint64_t us = 77;
	(void)state;

	assert_int_equal(when_parse_timestamp("18:00 ", NOW_US, &us, NULL), -EINVAL);
	use_own_zone(&season, 1, "");
	when_format_timestamp(buffer, sizeof(buffer), NOW_US, WHEN_LOCAL);
	assert_string_equal(buffer, "Tue 2026-11-24 10:00:00");
	assert_int_equal(when_parse_timestamp("18:00 ", NOW_US, &us, NULL), -EINVAL);
	assert_int_equal(us, 77);
	assert_int_equal(when_parse_timestamp("18:00", NOW_US, &us, NULL), 0);
	assert_int_equal(us, S(NOW_S) + H(8));
}

/* Offsets that lead from one to the next in a circle: there is an answer all the same, by one of
 * them. 08:00 of that day is skipped, as the clocks went from 06:30 to 08:30, and back to 07:30
 * later. */
static void test_a_zone_that_leads_in_circles(void **state)
{
	static const uint32_t eight = 1800000000;
	static const struct season seasons[] = {
		{0, 0, 0},
		{eight - 5400, 7200, 0},
		{eight - 1800, 3600, 0},
	};
	uint64_t us = 77;
	(void)state;

	use_own_zone(seasons, COUNT(seasons), "OWN");
	assert_int_equal(when_parse_timestamp("2027-01-15 08:00", NOW_US, &us, NULL), 0);
	assert_true(us == S(eight) || us == S(eight - 3600) || us == S(eight - 7200));
	assert_int_equal(when_parse_timestamp("2027-01-15 06:29", NOW_US, &us, NULL), 0);
	assert_int_equal(us, S(eight - 5460));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_long_zones, in_utc),
		cmocka_unit_test_setup(test_summer_time, in_utc),
		cmocka_unit_test_setup(test_days_across_a_change, in_utc),
		cmocka_unit_test_setup(test_named_zones, in_utc),
		cmocka_unit_test_setup(test_no_memory, in_utc),
		cmocka_unit_test_setup(test_a_zone_without_a_name, in_utc),
		cmocka_unit_test_setup(test_a_zone_that_leads_in_circles, in_utc),
	};

	return cmocka_run_group_tests_name("when_zone", tests, NULL, NULL);
}
