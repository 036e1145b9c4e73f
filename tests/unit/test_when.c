/* SPDX-License-Identifier: MIT */
/*
 * Tests of client-lib/ctl/when.h with tables: texts that are accepted and their values, texts that
 * are refused and the word in the error, and formatting. A formatted value must parse to the same
 * value. compare_when compares thousands of texts with systemd; these tests do not need systemd.
 * test_when_words.c and test_when_spans.c test English words, test_when_zone.c time zones.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "when_expect.h"

static void test_spans_have_these_values(void **state)
{
	static const struct {
		const char *text;
		uint64_t us;
	} table[] = {
		{"0", 0},
		{"5", S(5)},
		{" 5 ", S(5)},
		{"5us", 5},
		{"5usec", 5},
		{"5\xc2\xb5s", 5},
		{"5\xce\xbcs", 5},
		{"250ms", 250000},
		{"250msec", 250000},
		{"5s", S(5)},
		{"5sec", S(5)},
		{"5secs", S(5)},
		{"5 mins", MIN(5)},
		{"5hrs", H(5)},
		{"5second", S(5)},
		{"5seconds", S(5)},
		{"5m", MIN(5)},
		{"5min", MIN(5)},
		{"5minute", MIN(5)},
		{"5minutes", MIN(5)},
		{"5h", H(5)},
		{"5hr", H(5)},
		{"5hour", H(5)},
		{"5hours", H(5)},
		{"5d", D(5)},
		{"5day", D(5)},
		{"5days", D(5)},
		{"5w", W(5)},
		{"5week", W(5)},
		{"5weeks", W(5)},
		{"5M", MONTH(5)},
		{"5month", MONTH(5)},
		{"5months", MONTH(5)},
		{"5y", Y(5)},
		{"5year", Y(5)},
		{"5years", Y(5)},
		{"1h 30min", MIN(90)},
		{"1h30min", MIN(90)},
		{"1h 30", H(1) + S(30)},
		{"5day4hours", D(5) + H(4)},
		{"2 h", H(2)},
		{"1y 12month", Y(1) + MONTH(12)},
		{"55s500ms", US(55500000)},
		{"300ms20s 5day", US(300000) + S(20) + D(5)},
		{"5\t\n\rs", S(5)},
		{"5 5", S(10)},
		{"1.5h", MIN(90)},
		{".25s", 250000},
		{"1s.5", US(1500000)},
		{"0.0000009s", 0},
		{"1.9us", 1},
		{"0.3333333333333333h",
			US(1199999997)}, /* rounds down each digit, as systemd does */
		{"+5s", S(5)},
		{"1h +5s", H(1) + S(5)},
		{"infinity", WHEN_INFINITY},
		{" infinity\n", WHEN_INFINITY},
		{"9223372036854775807us", INT64_MAX},
		{"584541y", Y(584541)},
		{"9223372036854775807us 9223372036854775807us", WHEN_INFINITY - 1},
	};
	(void)state;

	for (size_t i = 0; i < COUNT(table); i++) {
		uint64_t us = 1;
		struct when when = {.kind = WHEN_INSTANT, .us = 1};

		if (when_parse_span(table[i].text, &us, NULL) != 0 || us != table[i].us)
			fail_msg("\"%s\" is read as %llu", table[i].text, (unsigned long long)us);
		assert_int_equal(when_parse(table[i].text, NOW_US, &when, NULL), 0);
		assert_int_equal(when.kind, WHEN_SPAN);
		assert_int_equal(when.us, us);
		assert_int_equal(when.every_us, 0);
	}
}

static void test_invalid_spans_are_refused(void **state)
{
	static const struct {
		const char *text;
		int r;
		const char *word;
	} table[] = {
		{"", -EINVAL, ""},
		{" \t", -EINVAL, ""},
		{"s", -EINVAL, "s"},
		{"5 parsecs", -EINVAL, "parsecs"},
		{"1h 3x 5s", -EINVAL, "x"},
		{"5S", -EINVAL, "S"},
		{"5 Min", -EINVAL, "Min"},
		{"5ns", -EINVAL, "ns"},
		{"1h 5. 3s", -EINVAL, "5."},
		{"1h 1..5s", -EINVAL, "1..5s"},
		{"1.5.5", -EINVAL, "1.5.5"},
		{"1h 00+07", -EINVAL, "00+07"},
		{"1,5s", -EINVAL, "1,5s"},
		{"5s,", -EINVAL, ","},
		{"5s ,", -EINVAL, ","},
		{"++5", -EINVAL, "++5"},
		{"+ 5", -EINVAL, "+"},
		{"5{", -EINVAL, "5{"},
		{"5infinity", -EINVAL, "infinity"},
		{"Infinity", -EINVAL, "Infinity"},
		{"0x10", -EINVAL, "x"},
		{"\v5s", -EINVAL, "\v5s"},
		{"-5s", -ERANGE, "-5s"},
		{"1h -5s", -ERANGE, "-5s"},
		{"9223372036854775808us", -ERANGE, "9223372036854775808us"},
		{"99999999999999999999999999", -ERANGE, "99999999999999999999999999"},
		{"50000000000000000000us", -ERANGE, "50000000000000000000us"},
		{"18446744073709551616us", -ERANGE, "18446744073709551616us"},
		{"1s 9223372036854775807", -ERANGE, "9223372036854775807"},
		{"584541y 584540y", -ERANGE, "584540y"},
		{"584542y", -ERANGE, "584542y"},
		{"9223372036854775807us 9223372036854775807us 1us", -ERANGE, "1us"},
	};
	(void)state;

	for (size_t i = 0; i < COUNT(table); i++) {
		struct when_error error = {NULL, 99, ""};
		uint64_t us = 77;
		int r = when_parse_span(table[i].text, &us, &error);

		if (r != table[i].r)
			fail_msg("\"%s\" gives %d", table[i].text, r);
		assert_int_equal(us, 77);
		expect_error(table[i].text, table[i].word, &error);
		assert_int_equal(when_parse_span(table[i].text, &us, NULL), r);
	}
}

static void test_timestamps_have_these_values(void **state)
{
	static const struct instant table[] = {
		{"2027-01-01 09:00:30", S(1798794030)},
		{"27-1-1 9:0:30", S(1798794030)},
		{"2027-01-01 09:00", S(1798794000)},
		{"2027-01-01\t 09:00", S(1798794000)},
		{"2027-01-01", S(1798761600)},
		{" 2027-01- 1", S(1798761600)},
		{"Fri 2027-01-01", S(1798761600)},
		{"fRIDAY  2027-01-01 00:00", S(1798761600)},
		{"2027-01-01 09:00:30.25", S(1798794030) + 250000},
		{"2027-01-01 09:00:30.1234565", S(1798794030) + 123457},
		{"2027-01-01 09:00:30.12345649", S(1798794030) + 123456},
		{"2027-01-01 09:00:30.9999999", S(1798794031)},
		{"2028-12-31 23:59:60", S(1861920000)},
		{"18:00", S(NOW_S) + H(10)},
		{"Tue 2026-11-24 18:00:01", S(NOW_S) + H(10) + S(1)},
		{"now", NOW_US},
		{"today", S(NOW_S) - H(8)},
		{"yesterday", S(NOW_S) - H(32)},
		{"tomorrow", S(NOW_S) + H(16)},
		{"+3h30min", NOW_US + MIN(210)},
		{"+ 3h", NOW_US + H(3)},
		{"-5s", NOW_US - S(5)},
		{"11min ago", NOW_US - MIN(11)},
		{"11min left", NOW_US + MIN(11)},
		{"@1800000000", S(1800000000)},
		{"@1800000000.5", S(1800000000) + 500000},
		{"@1h", H(1)},
		{"@0", 0},
		{"@infinity", WHEN_INFINITY},
		{"@292277y", Y(292277)},
		{"2027-01-01 09:00:30 UTC", S(1798794030)},
		{"2027-01-01 09:00:30 utc", S(1798794030)},
		{"today UTC", S(NOW_S) - H(8)},
		/* leap days */
		{"2028-02-29", S(1835395200)},
		{"2000-02-29", S(951782400)},
		/* years */
		{"68-01-01", S(3092601600)},
		{"99-01-01", S(915148800)},
		{"70-01-01", 0},
		{"1970-01-01 00:00:00.000001", 1},
		{"9999-12-30 23:59:59", WHEN_TIMESTAMP_LAST},
		/* systemd 252 refuses these */
		{"tomorrow 09:00", S(NOW_S) + H(25)},
		{"yesterday 23:59:59.5", S(NOW_S) - H(8) - 500000},
		{"today 9:05 UTC", S(NOW_S) + MIN(65)},
		{"2027-01-01T09:00:30", S(1798794030)},
		{"2027-01-01T09:00:30.5Z", S(1798794030) + 500000},
		{"2027-01-01 09:00:30Z", S(1798794030)},
		{"2027-01-01T09:00 Z", S(1798794000)},
	};
	(void)state;

	expect_instants(table, COUNT(table));
}

static void test_invalid_timestamps_are_refused(void **state)
{
	static const struct refused table[] = {
		{"", -EINVAL, "", NULL},
		{" ", -EINVAL, "", NULL},
		{"2027-13-01 09:00", -EINVAL, "2027-13-01", NULL},
		{"2027-00-01", -EINVAL, "2027-00-01", NULL},
		{"2027-01-32", -EINVAL, "2027-01-32", NULL},
		{"2027-01", -EINVAL, "2027-01", NULL},
		{"2027-01/01", -EINVAL, "2027-01/01", NULL},
		{"2027-01-01x", -EINVAL, "2027-01-01x", NULL},
		{"2027-01-01 25:00", -EINVAL, "25:00", NULL},
		{"23:60", -EINVAL, "23:60", NULL},
		{"18:00:62", -EINVAL, "18:00:62", NULL},
		{"18:00:30.", -EINVAL, "18:00:30.", NULL},
		{"2027-01-01 09", -EINVAL, "09", NULL},
		{"2027-01-45:30", -EINVAL, "2027-01-45:30", NULL},
		{"2027-01-0109:30", -EINVAL, "2027-01-0109:30", NULL},
		{"2027-01-01T 09:30", -EINVAL, "2027-01-01T", NULL},
		{"10000-01-01", -EINVAL, "10000-01-01", NULL},
		{"Thu 2027-01-01", -EINVAL, "Thu", NULL},
		{"Frid 2027-01-01", -EINVAL, "Frid", NULL},
		{"Fri2027-01-01", -EINVAL, "Fri2027-01-01", NULL},
		{"tomorow 09:00", -EINVAL, "tomorow", NULL},
		{"tomorrow 9", -EINVAL, "9", NULL},
		{"tomorrow09:00", -EINVAL, "tomorrow09:00", NULL},
		{"tomorrowZ", -EINVAL, "tomorrowZ", NULL},
		{"now UTC", -EINVAL, "now", NULL},
		{"5x ago", -EINVAL, "x", NULL},
		{"+5 parsecs", -EINVAL, "parsecs", NULL},
		{"@", -EINVAL, "@", NULL},
		{"+ ", -EINVAL, "+", NULL},
		{"ago", -EINVAL, "ago", NULL},
		{"2027-01-01 09:00 Mars/Base", -EINVAL, "Mars/Base", NULL},
		{"2027-01-01 09:00 ../zoneinfo/UTC", -EINVAL, "../zoneinfo/UTC", NULL},
		{"2027-01-01 09:00 /etc/localtime", -EINVAL, "/etc/localtime", NULL},
		{"2027-01-01 09:00 Etc//UTC", -EINVAL, "Etc//UTC", NULL},
		{"2027-01-01 09:00 Etc", -EINVAL, "Etc", NULL},
		{"2027-01-01 09:00 leapseconds", -EINVAL, "leapseconds",
			NULL}, /* a file, no zone */
		{"2027-01-01 09:00 CEST", -EINVAL, "CEST", NULL},
		{"1969-12-31", -ERANGE, "1969-12-31", NULL},
		{"0027-01-01 09:00", -ERANGE, "0027-01-01 09:00", NULL},
		{"9999-12-31", -ERANGE, "9999-12-31", NULL},
		{"9999-12-30 23:59:59.5", -ERANGE, "9999-12-30 23:59:59.5", NULL},
		{"57y ago", -ERANGE, "57y ago", NULL},
		{"+infinity", -ERANGE, "+infinity", NULL},
		{"-infinity", -ERANGE, "-infinity", NULL},
		{"@-5", -ERANGE, "-5", NULL},
		{"2027-02-30", -EINVAL, "2027-02-30", "February 2027 has 28 days"},
		{"2027-02-29", -EINVAL, "2027-02-29", "28 days"},
		{"2100-02-29", -EINVAL, "2100-02-29", "28 days"},
		{"2028-02-30", -EINVAL, "2028-02-30", "February 2028 has 29 days"},
		{"2027-04-31 09:00", -EINVAL, "2027-04-31", "April 2027 has 30 days"},
		{"Sun 2027-02-29", -EINVAL, "2027-02-29", "28 days"},
		{"Thu 2027-01-01", -EINVAL, "Thu", "2027-01-01 is a Friday"},
		{"2027-01-01 Thu", -EINVAL, "Thu", "2027-01-01 is a Friday"},
		{"Wed today", -EINVAL, "Wed", "today is a Tuesday"},
		{"24:00", -EINVAL, "24:00", "next day"},
		{"24:00:00", -EINVAL, "24:00:00", "next day"},
		{"01/02/2027", -EINVAL, "01/02/2027", "2027-01-31"},
		{"31.12.2027", -EINVAL, "31.12.2027", "2027-01-31"},
		{"31.12.27", -EINVAL, "31.12.27", NULL},
		{"18:00 europe/berlin", -EINVAL, "europe/berlin", "Europe/Berlin"},
		{"UTC", -EINVAL, "UTC", NULL},
		{"18:00 UTC UTC", -EINVAL, "UTC", NULL},
		{"18:00 19:00", -EINVAL, "19:00", "second time"},
		{"2027-01-01 2027-01-02", -EINVAL, "2027-01-02", "second day"},
		{"today tomorrow", -EINVAL, "tomorrow", "second day"},
		{"Fri Sat 18:00", -EINVAL, "Sat", "second day of the week"},
	};
	(void)state;

	expect_refused(table, COUNT(table));
}

static void test_spans_and_instants_are_told_apart(void **state)
{
	static const struct {
		const char *text;
		enum when_kind kind;
		uint64_t us;
	} table[] = {
		{"5", WHEN_SPAN, S(5)},
		{"+5s", WHEN_SPAN, S(5)},
		{"+ 1h 30min", WHEN_SPAN, MIN(90)},
		{"5s left", WHEN_SPAN, S(5)},
		{"9000y", WHEN_SPAN, Y(9000)},
		{"infinity", WHEN_SPAN, WHEN_INFINITY},
		{"5s ago", WHEN_INSTANT, NOW_US - S(5)},
		{"-5s", WHEN_INSTANT, NOW_US - S(5)},
		{"now", WHEN_INSTANT, NOW_US},
		{"18:00", WHEN_INSTANT, S(NOW_S) + H(10)},
		{"tomorrow 09:00", WHEN_INSTANT, S(NOW_S) + H(25)},
		{"2027-01-01", WHEN_INSTANT, S(1798761600)},
		{"@5", WHEN_INSTANT, S(5)},
	};
	static const struct refused bad[] = {
		{"", -EINVAL, "", NULL},
		{"5 parsecs", -EINVAL, "parsecs", NULL},
		{"+5 parsecs", -EINVAL, "parsecs", NULL},
		{".5 parsecs", -EINVAL, "parsecs", NULL},
		{"1h -5s", -ERANGE, "-5s", NULL},
		{"1.5.5h", -EINVAL, "1.5.5h", NULL},
		{"5/6", -EINVAL, "5/6", NULL},
		{"soon", -EINVAL, "soon", NULL},
		{".", -EINVAL, ".", "a number with a unit"},
		{"2027-1-1 9", -EINVAL, "9", NULL},
		{"25:00", -EINVAL, "25:00", NULL},
		{"584542y", -ERANGE, "584542y", NULL},
		{"+infinity", -ERANGE, "+infinity", NULL},
		{"57y ago", -ERANGE, "57y ago", NULL},
	};
	(void)state;

	for (size_t i = 0; i < COUNT(table); i++) {
		struct when when = {.us = 1};

		if (when_parse(table[i].text, NOW_US, &when, NULL) != 0 ||
			when.kind != table[i].kind || when.us != table[i].us)
			fail_msg("\"%s\" is read as %d %llu", table[i].text, (int)when.kind,
				(unsigned long long)when.us);
	}
	expect_refused(bad, COUNT(bad));
}

static void test_format_spans(void **state)
{
	static const struct {
		uint64_t us, accuracy_us;
		const char *text;
	} table[] = {
		{0, 1, "0"},
		{1, 1, "1us"},
		{999, 1000, "999us"},
		{1001, 1, "1.001ms"},
		{1500, 1, "1.500ms"},
		{1500, 2, "1.50ms"},
		{1500, 1000, "1ms"},
		{250000, 1, "250ms"},
		{5005000, 0, "5.005000s"},
		{5005000, 1000, "5.005s"},
		{5005000, 5000, "5.00s"},
		{5005000, 100000, "5.0s"},
		{5005000, 1000000, "5s"},
		{59999999, 60000000, "59s"},
		{60000001, 1, "1min 1us"},
		{60000001, 2, "1min"},
		{61500000, 1, "1min 1.500000s"},
		{61500000, 1000000, "1min 1s"},
		{US(5400000000), 1, "1h 30min"},
		{US(90061000001), 1, "1d 1h 1min 1.000001s"},
		{US(90061000001), US(3600000000), "1d 1h"},
		{US(2592000000000), 1, "4w 2d"},
		{MONTH(5), 1, "5month"},
		{Y(1), 1, "1y"},
		{INT64_MAX, 1, "292271y 1w 1d 10h 54.775807s"},
		{WHEN_INFINITY - 1, 1, "584542y 2w 2d 20h 1min 49.551614s"},
		{WHEN_INFINITY - 1, S(60), "584542y 2w 2d 20h 1min"},
		{WHEN_INFINITY, S(1), "infinity"},
		{1, WHEN_INFINITY, "1us"},
	};
	char buffer[WHEN_SPAN_MAX], small[5], tiny[1] = {'x'};
	(void)state;

	for (size_t i = 0; i < COUNT(table); i++) {
		assert_ptr_equal(
			when_format_span(buffer, sizeof(buffer), table[i].us, table[i].accuracy_us),
			buffer);
		assert_string_equal(buffer, table[i].text);
	}
	assert_string_equal(when_format_span(small, sizeof(small), US(5400000000), 1), "1h 3");
	assert_string_equal(when_format_span(tiny, sizeof(tiny), 5, 1), "");
}

static void test_format_timestamps(void **state)
{
	char buffer[WHEN_TIMESTAMP_MAX], small[8];
	const uint64_t us = S(1798794030) + 250000;
	(void)state;

#define FORMAT(us, style) when_format_timestamp(buffer, sizeof(buffer), us, style)
	assert_string_equal(FORMAT(us, WHEN_LOCAL), "Fri 2027-01-01 09:00:30 UTC");
	assert_string_equal(
		FORMAT(us, WHEN_MICROSECONDS | WHEN_UTC), "Fri 2027-01-01 09:00:30.250000 UTC");
	assert_string_equal(FORMAT(0, WHEN_LOCAL), "Thu 1970-01-01 00:00:00 UTC");
	assert_string_equal(FORMAT(WHEN_TIMESTAMP_LAST, 0), "Thu 9999-12-30 23:59:59 UTC");
	assert_string_equal(FORMAT(WHEN_TIMESTAMP_LAST + 1, 0), "--- XXXX-XX-XX XX:XX:XX");
	assert_string_equal(FORMAT(WHEN_INFINITY - 1, 0), "--- XXXX-XX-XX XX:XX:XX");
	assert_string_equal(FORMAT(WHEN_INFINITY, 0), "-");
	assert_string_equal(when_format_timestamp(small, sizeof(small), us, WHEN_LOCAL), "Fri 202");

	/* POSIX rules, which need no database. The name of the second does not fit into the
	 * buffer. */
	use_zone("ABC-3:30");
	assert_string_equal(FORMAT(us, WHEN_LOCAL), "Fri 2027-01-01 12:30:30 ABC");
	assert_string_equal(FORMAT(us, WHEN_UTC), "Fri 2027-01-01 09:00:30 UTC");
	use_zone("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZ5");
	/* musl shortens the name. */
	if (strlen(tzname[0]) > 6)
		assert_string_equal(FORMAT(us, WHEN_LOCAL), "Fri 2027-01-01 04:00:30");
#undef FORMAT
}

static void test_formatted_values_parse_again(void **state)
{
	static const char *const zones[] = {"UTC", ":Europe/Berlin", ":America/New_York"};
	char buffer[WHEN_TIMESTAMP_MAX];
	uint64_t seed = 1, again;
	(void)state;

	need_zones();
	for (size_t zone = 0; zone < COUNT(zones); zone++) {
		use_zone(zones[zone]);
		for (int i = 0; i < 3000; i++) {
			uint64_t us = next_number(&seed);

			when_format_span(buffer, sizeof(buffer), us / 2, 1);
			assert_int_equal(when_parse_span(buffer, &again, NULL), 0);
			assert_int_equal(again, us / 2);

			us %= WHEN_TIMESTAMP_LAST + 1;
			when_format_timestamp(buffer, sizeof(buffer), us, WHEN_MICROSECONDS);
			expect_instants(&(struct instant){buffer, us}, 1);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_spans_have_these_values, in_utc),
		cmocka_unit_test_setup(test_invalid_spans_are_refused, in_utc),
		cmocka_unit_test_setup(test_timestamps_have_these_values, in_utc),
		cmocka_unit_test_setup(test_invalid_timestamps_are_refused, in_utc),
		cmocka_unit_test_setup(test_spans_and_instants_are_told_apart, in_utc),
		cmocka_unit_test_setup(test_format_spans, in_utc),
		cmocka_unit_test_setup(test_format_timestamps, in_utc),
		cmocka_unit_test_setup(test_formatted_values_parse_again, in_utc),
	};

	return cmocka_run_group_tests_name("when", tests, NULL, NULL);
}
