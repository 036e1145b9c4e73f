/* SPDX-License-Identifier: MIT */
/*
 * Tests of client-lib/ctl/when.h in time zones other than UTC: the begin and end of summer time;
 * zones in the text, after which $TZ is as before; failing allocations; unusual zone files. "Now"
 * is always Tue 2026-11-24 08:00:00.123456 UTC.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "when_expect.h"

/* The linker redirects calls of the tested code to these wrappers (see meson.build). After this
 * many calls, one call fails without memory. Below 0: no call fails. */
static int strdups_until_failure = -1, setenvs_until_failure = -1;

char *__real_strdup(const char *s);
char *__wrap_strdup(const char *s);
int __real_setenv(const char *name, const char *value, int overwrite);
int __wrap_setenv(const char *name, const char *value, int overwrite);

char *__wrap_strdup(const char *s)
{
	return strdups_until_failure-- ? __real_strdup(s) : NULL;
}

int __wrap_setenv(const char *name, const char *value, int overwrite)
{
	if (setenvs_until_failure--)
		return __real_setenv(name, value, overwrite);
	errno = ENOMEM;
	return -1;
}

/* A name that is longer than that of any zone. */
static void test_too_long_zone_is_refused(void **state)
{
	char text[400] = "18:00 Europe/";
	(void)state;

	memset(text + strlen(text), 'x', sizeof(text) - strlen(text) - 1);
	expect_refused(
		&(struct refused){text, -EINVAL, text + strlen("18:00 "), "Europe/Berlin"}, 1);
}

/* Local times that summer time skips or repeats. On Lord Howe Island the gap is half an hour. */
static void test_begin_and_end_of_summer_time(void **state)
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
		{"1970-07-01 12:00 CEST", S(15674400)}, /* ten years before its first use */
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
	};
	(void)state;

	need_zones();
	use_zone(":Europe/Berlin");
	expect_instants(berlin, COUNT(berlin));
	use_zone(":America/New_York");
	expect_instants(new_york, COUNT(new_york));
	use_zone(":Australia/Lord_Howe");
	expect_instants(lord_howe, COUNT(lord_howe));
	/* Always summer time. */
	use_zone("XST0XDT,0/0,J365/25");
	expect_instants(always, COUNT(always));
}

/* A skipped time always moves forward, whatever the zone marks as summer time: Dublin marks winter
 * time as the exception, Samoa skipped a day, other zones changed their offset for good. */
static void test_skipped_time_moves_forward(void **state)
{
	static const struct {
		const char *zone;
		struct instant instant;
	} table[] = {
		{"Europe/Dublin", {"2027-03-28 01:30", S(1806197400)}},
		{"Europe/Dublin", {"2027-03-28 01:00", S(1806195600)}},
		{"Europe/Dublin", {"2027-03-28 00:59:59", S(1806195599)}},
		{"Europe/London", {"2027-03-28 01:30", S(1806197400)}},
		{"Africa/Casablanca", {"2027-03-14 02:30", S(1804991400)}},
		{"Africa/Windhoek", {"1994-09-04 02:30", S(778642200)}},
		{"Australia/Lord_Howe", {"2026-10-04 02:15", S(1791042300)}},
		{"Pacific/Apia", {"2011-12-30", S(1325239200)}},
		{"Pacific/Apia", {"2011-12-30 12:00", S(1325282400)}},
		{"Pacific/Apia", {"2011-12-30 23:59:59", S(1325325599)}},
		{"Pacific/Apia", {"2011-12-31", S(1325239200)}},
		{"Pacific/Kwajalein", {"1993-08-21 12:00", S(745977600)}},
		{"Asia/Pyongyang", {"2018-05-04 23:45", S(1525446900)}},
		{"America/Santiago", {"2027-09-05", S(1820116800)}}, /* no midnight */
	};
	(void)state;

	need_zones();
	for (size_t i = 0; i < COUNT(table); i++) {
		use_zone(table[i].zone);
		expect_instants(&table[i].instant, 1);
	}
}

static int64_t offset_at(int64_t s)
{
	time_t t = s;
	struct tm tm;

	localtime_r(&t, &tm);
	return tm.tm_gmtoff;
}

/* Parses a local time, which is given in seconds since 1970-01-01 00:00 of the local clock. */
static int64_t instant_of(int64_t local)
{
	time_t t = local;
	char text[64];
	struct when when;
	struct tm tm;

	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", gmtime_r(&t, &tm));
	assert_int_equal(when_parse(text, NOW_US, &when, NULL), 0);
	return (int64_t)(when.us / 1000000);
}

/* Checks local times around an instant at which the offset changes. */
static void check_change(const char *zone, int64_t change)
{
	int64_t before = offset_at(change - 1), after = offset_at(change);
	int64_t length = after > before ? after - before : before - after;
	int64_t first = change + (after > before ? before : after);

	assert_int_equal(instant_of(first - 1) + offset_at(instant_of(first - 1)), first - 1);
	for (int64_t at = 0; at < length; at += length / 2 - 1) {
		int64_t s = instant_of(first + at);

		if (after > before ? s != first + at - before
				   : s != first + at - before && s != first + at - after)
			fail_msg("%s: at %lld, %lld after its first: %lld", zone, (long long)change,
				(long long)at, (long long)s);
	}
	first += length;
	assert_int_equal(instant_of(first), first - after);
}

/* Every change of offset of every zone until 2038: a skipped local time moves forward by the gap, a
 * repeated one is one of the two instants. */
static void test_every_change_of_every_zone(void **state)
{
	FILE *list = fopen("/usr/share/zoneinfo/tzdata.zi", "r");
	char line[300], zone[100];
	int zones = 0, changes = 0;
	(void)state;

	if (!list) {
		print_message("skipped: there is no /usr/share/zoneinfo/tzdata.zi\n");
		skip();
	}
	while (fgets(line, sizeof(line), list)) {
		if (sscanf(line, "Z %99s", zone) != 1)
			continue;
		use_zone(zone);
		zones++;
		for (int64_t s = 6 * 86400; s < INT32_MAX; s += 6 * 86400) {
			int64_t low = s, high = s + 6 * 86400;

			if (offset_at(low) == offset_at(high))
				continue;
			while (high - low > 1) {
				int64_t middle = low + (high - low) / 2;

				if (offset_at(middle) == offset_at(low))
					low = middle;
				else
					high = middle;
			}
			check_change(zone, high);
			changes++;
		}
	}
	fclose(list);
	print_message("%d changes in %d zones\n", changes, zones);
	assert_true(zones > 300 && changes > 10000);
}

/* A day with a change has 23 or 25 hours; "tomorrow 12:00" is still 12:00. */
static void test_days_across_a_change(void **state)
{
	const uint64_t noon_before = S(1806145200); /* Sat 2027-03-27 12:00 CET */
	struct when when;
	(void)state;

	need_zones();
	use_zone("Europe/Berlin");
	assert_int_equal(when_parse("tomorrow 12:00", noon_before, &when, NULL), 0);
	assert_int_equal(when.us, noon_before + H(23));
	assert_int_equal(when_parse("yesterday 12:00", noon_before, &when, NULL), 0);
	assert_int_equal(when.us, noon_before - H(24));
	assert_int_equal(when_parse("sunday 02:30", noon_before, &when, NULL), 0);
	assert_int_equal(when.us, S(1806197400));
	assert_int_equal(when_parse("midnight", noon_before, &when, NULL), 0);
	assert_int_equal(when.us, noon_before + H(12));
}

/* A zone in the text applies to that text only. */
static void test_zone_in_the_text_applies_to_that_text(void **state)
{
	static const struct instant table[] = {
		{"2027-01-01 09:00 Europe/Berlin", S(1798790400)},
		{"2027-07-01 09:00 Europe/Berlin", S(1814425200)},
		{"2027-01-01 Asia/Tokyo", S(1798729200)},
		{"2027-01-01 09:00 Etc/GMT+5", S(1798812000)},
		{"2027-03-28 02:30 Europe/Berlin", S(1806197400)},
		{"Wed 2027-01-06 18:00 America/Argentina/Buenos_Aires", S(1799269200)},
		/* skipped for another reason than summer time */
		{"2018-05-04 23:45 Asia/Pyongyang", S(1525446900)},
	};
	(void)state;

	need_zones();
	expect_instants(table, COUNT(table));
	assert_string_equal(getenv("TZ"), "UTC");
	expect_refused(&(struct refused){"25:00 Asia/Tokyo", -EINVAL, "25:00", NULL}, 1);
	assert_string_equal(getenv("TZ"), "UTC");
	expect_refused(&(struct refused){"wed today Asia/Tokyo", -EINVAL, "wed", NULL}, 1);
	assert_string_equal(getenv("TZ"), "UTC");

	use_zone(NULL);
	expect_instants(&(struct instant){"18:00 Asia/Tokyo", S(NOW_S) + H(1)}, 1);
	assert_null(getenv("TZ"));
}

/* Without memory, a zone by name fails with -ENOMEM. $TZ is restored, or at worst unset. */
static void test_no_memory_restores_tz(void **state)
{
	static const struct refused refused = {"18:00 Asia/Tokyo", -ENOMEM, "Asia/Tokyo", "memory"};
	struct when_error error;
	struct when when = {.us = 77};
	(void)state;

	need_zones();
	strdups_until_failure = 0;
	assert_int_equal(when_parse(refused.text, NOW_US, &when, &error), -ENOMEM);
	expect_error(refused.text, refused.word, &error);
	setenvs_until_failure = 0;
	assert_int_equal(when_parse(refused.text, NOW_US, &when, &error), -ENOMEM);
	expect_error(refused.text, refused.word, &error);
	assert_int_equal(when.us, 77);
	assert_string_equal(getenv("TZ"), "UTC");
	setenvs_until_failure = 1;
	assert_int_equal(when_parse(refused.text, NOW_US, &when, NULL), 0);
	assert_int_equal(when.us, S(NOW_S) + H(1));
	assert_null(getenv("TZ"));
}

/* An offset, in use from an instant on. */
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

/* The header of a block: no leap seconds, no indicators, then three counts. */
static void put_head(FILE *file, uint32_t transitions, uint32_t types, uint32_t characters)
{
	fputs("TZif2", file);
	for (int i = 0; i < 15 + 3 * 4; i++)
		fputc(0, file);
	put_32(file, transitions);
	put_32(file, types);
	put_32(file, characters);
}

/* Writes a zone file (RFC 8536, version 2). All seasons have the same name. After the last season
 * no rule follows, and a C library may then use UTC. */
static void write_zone(FILE *file, const struct season *seasons, uint32_t count, const char *name)
{
	assert_non_null(file);
	/* The block of version 1, which readers skip: one type with an empty name. */
	put_head(file, 0, 1, 1);
	for (int i = 0; i < 6 + 1; i++)
		fputc(0, file);

	put_head(file, count, count, (uint32_t)strlen(name) + 1);
	for (uint32_t i = 0; i < count; i++) {
		put_32(file, 0);
		put_32(file, seasons[i].from);
	}
	for (uint32_t i = 0; i < count; i++)
		fputc((int)i, file);
	for (uint32_t i = 0; i < count; i++) {
		put_32(file, seasons[i].offset);
		fputc(seasons[i].is_dst, file);
		fputc(0, file);
	}
	fwrite(name, 1, strlen(name) + 1, file);
	fputs("\n\n", file);
	assert_int_equal(fclose(file), 0);
}

static void use_own_zone(const struct season *seasons, uint32_t count, const char *name)
{
	char path[] = "/tmp/test_when_zone.XXXXXX", zone[sizeof(path) + 1];

	write_zone(fdopen(mkstemp(path), "w"), seasons, count, name);
	snprintf(zone, sizeof(zone), ":%s", path);
	use_zone(zone);
	unlink(path);
}

/* A zone without a name: no word names it, and no name is printed. */
static void test_a_zone_without_a_name(void **state)
{
	static const struct season seasons[] = {{0, 2 * 3600, 0}, {INT32_MAX, 2 * 3600, 0}};
	char buffer[WHEN_TIMESTAMP_MAX];
	(void)state;

	use_own_zone(seasons, COUNT(seasons), "");
	when_format_timestamp(buffer, sizeof(buffer), NOW_US, WHEN_LOCAL);
	assert_string_equal(buffer, "Tue 2026-11-24 10:00:00");
	expect_instants(&(struct instant){"18:00 ", S(NOW_S) + H(8)}, 1);
	expect_refused(&(struct refused){"18:00 EET-", -EINVAL, "EET-", NULL}, 1);
}

/* Zones come from $TZDIR if it is set, as in the C library. */
static void test_zones_come_from_tzdir(void **state)
{
	static const struct season seasons[] = {{0, 2 * 3600, 0}, {INT32_MAX, 2 * 3600, 0}};
	static const struct instant here = {"18:00 Own/Here", S(NOW_S) + H(8)};
	static const struct refused not_here = {
		"18:00 Europe/Berlin", -EINVAL, "Europe/Berlin", "is not a time zone"};
	static const struct refused nowhere = {
		"18:00 Own/Here", -EINVAL, "Own/Here", "install tzdata or set TZDIR"};
	char folder[] = "/tmp/test_when_zone.XXXXXX", path[sizeof(folder) + 20];
	char *long_name = malloc(2 * PATH_MAX);
	(void)state;

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/Own", folder);
	assert_int_equal(mkdir(path, 0755), 0);
	strcat(path, "/Here");
	write_zone(fopen(path, "w"), seasons, COUNT(seasons), "OWN");

	setenv("TZDIR", folder, 1);
	expect_instants(&here, 1);
	expect_refused(&not_here, 1);
	assert_string_equal(getenv("TZ"), "UTC");
	expect_instants(&(struct instant){"18:00 UTC", S(NOW_S) + H(10)}, 1);

	/* A relative folder: the C library would prepend it twice. */
	assert_int_equal(chdir("/tmp"), 0);
	setenv("TZDIR", folder + strlen("/tmp/"), 1);
	expect_instants(&here, 1);

	setenv("TZDIR", "/nonexistent", 1);
	expect_refused(&nowhere, 1);
	expect_instants(&(struct instant){"18:00 +02:00", S(NOW_S) + H(8)}, 1);
	assert_non_null(long_name);
	memset(long_name, 'x', 2 * PATH_MAX - 1);
	long_name[2 * PATH_MAX - 1] = '\0';
	setenv("TZDIR", long_name, 1);
	expect_refused(&nowhere, 1);
	free(long_name);

	/* An empty $TZDIR counts as not set. */
	setenv("TZDIR", "", 1);
	expect_refused(&(struct refused){"18:00 Own/Here", -EINVAL, "Own/Here", NULL}, 1);

	/* A truncated file, and files that are no zones. */
	setenv("TZDIR", folder, 1);
	assert_int_equal(truncate(path, 3), 0);
	expect_refused(&(struct refused){"18:00 Own/Here", -EINVAL, "Own/Here", NULL}, 1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0644), 0);
	expect_refused(&(struct refused){"18:00 Own/Here", -EINVAL, "Own/Here", NULL}, 1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mknod(path, S_IFSOCK | 0644, 0), 0);
	expect_refused(&(struct refused){"18:00 Own/Here", -EINVAL, "Own/Here", NULL}, 1);

	unlink(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
	assert_int_equal(rmdir(folder), 0);
}

/* Offsets for which the search for an instant does not converge: the result must still use one of
 * them. 08:00 of that day is skipped: clocks went from 06:30 to 08:30, and later back to 07:30. */
static void test_search_that_does_not_converge_ends(void **state)
{
	static const uint32_t eight = 1800000000;
	static const struct season seasons[] = {
		{0, 0, 0},
		{eight - 5400, 7200, 0},
		{eight - 1800, 3600, 0},
	};
	struct when when;
	(void)state;

	use_own_zone(seasons, COUNT(seasons), "OWN");
	assert_int_equal(when_parse("2027-01-15 08:00", NOW_US, &when, NULL), 0);
	assert_true(when.us == S(eight) || when.us == S(eight - 3600));
	expect_instants(&(struct instant){"2027-01-15 06:29", S(eight - 5460)}, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_too_long_zone_is_refused, in_utc),
		cmocka_unit_test_setup(test_begin_and_end_of_summer_time, in_utc),
		cmocka_unit_test_setup(test_skipped_time_moves_forward, in_utc),
		cmocka_unit_test_setup(test_every_change_of_every_zone, in_utc),
		cmocka_unit_test_setup(test_days_across_a_change, in_utc),
		cmocka_unit_test_setup(test_zone_in_the_text_applies_to_that_text, in_utc),
		cmocka_unit_test_setup(test_zones_come_from_tzdir, in_utc),
		cmocka_unit_test_setup(test_no_memory_restores_tz, in_utc),
		cmocka_unit_test_setup(test_a_zone_without_a_name, in_utc),
		cmocka_unit_test_setup(test_search_that_does_not_converge_ends, in_utc),
	};

	return cmocka_run_group_tests_name("when_zone", tests, NULL, NULL);
}
