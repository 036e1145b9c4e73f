/* SPDX-License-Identifier: MIT */
/*
 * Tests of client-lib/ctl/when.h: English words, and the formats of other programs. A text with one
 * meaning is accepted; a text with two meanings is refused, and the error says what to type.
 */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "when_expect.h"

static void test_times_of_day_in_words(void **state)
{
	static const struct instant table[] = {
		{"noon", TODAY + H(12)},
		{"12 noon", TODAY + H(12)},
		{"tomorrow 12 noon", TODAY + H(36)},
		{"12  Midnight", TODAY + D(1)},
		{"NOON", TODAY + H(12)},
		{"midnight", TODAY + D(1)}, /* the next one */
		{"at midnight", TODAY + D(1)},
		{"midnight -05:00", TODAY + H(29)},
		{"5pm", TODAY + H(17)},
		{"5PM", TODAY + H(17)},
		{"5 pm", TODAY + H(17)},
		{"5 p.m.", TODAY + H(17)},
		{"5am", TODAY + H(5)},
		{"5 A.M.", TODAY + H(5)},
		{"05am", TODAY + H(5)},
		{"5:30pm", TODAY + MIN(1050)},
		{"5:30 pm", TODAY + MIN(1050)},
		{"5:30:15.5 pm", TODAY + MIN(1050) + US(15500000)},
		{"12am", TODAY},
		{"12:30am", TODAY + MIN(30)},
		{"12pm", TODAY + H(12)},
		{"12:30pm", TODAY + MIN(750)},
		{"11pm", TODAY + H(23)},
		{"at 5pm", TODAY + H(17)},
		{"5pm UTC", TODAY + H(17)},
		{"5pm +02:00", TODAY + H(15)},
	};
	static const struct refused bad[] = {
		{"13pm", -EINVAL, "13pm", NULL},
		{"0am", -EINVAL, "0am", NULL},
		{"123pm", -EINVAL, "123pm", NULL},
		{"17:00pm", -EINVAL, "17:00pm", "1 to 12"},
		{"0:30am", -EINVAL, "0:30am", "1 to 12"},
		{"5:60pm", -EINVAL, "5:60pm", NULL},
		{"5pm-6pm", -EINVAL, "pm", NULL},
		{"17:00 5pm", -EINVAL, "5pm", "second time"},
		{"noon midnight", -EINVAL, "midnight", "second time"},
		{"12:00 noon", -EINVAL, "noon", "second time"},
		{"9 o'clock", -EINVAL, "9 o'clock", "9am or 9pm"},
		{"tomorrow 9", -EINVAL, "9", "9am"},
		{"noonish", -EINVAL, "noonish", NULL},
		{"at", -EINVAL, "at", "at 9:00"},
		{"at friday", -EINVAL, "at", "at 9:00"},
		{"11 noon", -EINVAL, "noon", NULL},
		{"this evening", -EINVAL, "evening", "names no hour"},
		{"tonight", -EINVAL, "tonight", "today 20:00"},
		{"tomorrow morning", -EINVAL, "morning", "names no hour"},
		{"tomorrow midnight", -EINVAL, "midnight", "00:00"},
		{"midnight friday", -EINVAL, "midnight", "00:00"},
	};
	(void)state;

	expect_instants(table, COUNT(table));
	expect_refused(bad, COUNT(bad));
}

/* 2027-01-01, a Friday. */
#define MAIL_DAY S(UINT64_C(1798761600))

static void test_dates_of_mail(void **state)
{
	static const struct instant table[] = {
		{"Fri, 1 Jan 2027 09:00:00 +0100 (CET)", MAIL_DAY + H(8)},
		{"Fri, 1 Jan 2027 09:00:00 GMT (a comment)", MAIL_DAY + H(9)},
		{"1 Jan 2027 09:00 (UTC)", MAIL_DAY + H(9)},
		{"Fri,1 Jan 2027 09:00:00 +0000", MAIL_DAY + H(9)},
		{"Fri, 1 Jan 2027 09:00:00 UT", MAIL_DAY + H(9)},
		{"Fri, 1 Jan 2027 09:00:00 PST", MAIL_DAY + H(17)},
		{"Fri, 1 Jan 2027 09:00:00 pdt", MAIL_DAY + H(16)},
		{"Fri, 1 Jan 2027 09:00:00 EDT", MAIL_DAY + H(13)},
	};
	static const struct refused bad[] = {
		{"2027-01-01 09:00 PST", -EINVAL, "PST", "not a time zone"},
		{"9am PST", -EINVAL, "PST", "not a time zone"},
		{"9am (PST)", -EINVAL, "(PST)", NULL},
		{"1 Jan 2027 (PST)", -EINVAL, "(PST)", "not a time zone"},
		{"1 Jan 2027 9:00 XYZ", -EINVAL, "XYZ", "not a time zone"},
		{"Fri, 1 Jan 2027 09:00:00 +0000 (CET) x", -EINVAL, "+0000", NULL},
		{"Fri, 1 Jan 2027 09:00:00 +0000 (", -EINVAL, "+0000", NULL},
		{"Fri, 1 Jan 2027 09:00:00 +0000 )(", -EINVAL, "+0000", NULL},
		{"2027-01-01T09:00:00UTC", -EINVAL, "2027-01-01T09:00:00UTC", "nor a date"},
		{"9999-12-31", -ERANGE, "9999-12-31", "9999-12-30"},
	};
	(void)state;

	expect_instants(table, COUNT(table));
	expect_refused(bad, COUNT(bad));
}

static void test_days_in_words(void **state)
{
	static const struct instant table[] = {
		{"friday", TODAY + D(3)},
		{"Friday", TODAY + D(3)},
		{"FRI", TODAY + D(3)},
		{"on friday", TODAY + D(3)},
		{"friday,9am", TODAY + D(3) + H(9)},
		{"monday", TODAY + D(6)},
		{"tuesday", TODAY + D(7)}, /* not today, which is also a Tuesday */
		{"tues", TODAY + D(7)},
		{"weds", TODAY + D(1)},
		{"thur", TODAY + D(2)},
		{"thurs", TODAY + D(2)},
		{"sat", TODAY + D(4)},
		{"sunday", TODAY + D(5)},
		{"friday 9am", TODAY + D(3) + H(9)},
		{"9am friday", TODAY + D(3) + H(9)},
		{"9am on friday", TODAY + D(3) + H(9)},
		{"friday noon", TODAY + D(3) + H(12)},
		{"friday 18:00", TODAY + D(3) + H(18)},
		{"Tue 18:00", TODAY + D(7) + H(18)},
		{"friday 18:00 +01:00", TODAY + D(3) + H(17)},
		{"tomorrow 9am", TODAY + H(33)},
		{"9am tomorrow", TODAY + H(33)},
		{"tomorrow at 9am", TODAY + H(33)},
		{"tomorrow, 9am", TODAY + H(33)},
		{"09:00:00, tomorrow", TODAY + H(33)},
		{"1 Jan 2027, 9am", S(1798794000)},
		{"at 9am tomorrow", TODAY + H(33)},
		{"Tomorrow Noon", TODAY + H(36)},
		{"noon tomorrow", TODAY + H(36)},
		{"noon, tomorrow", TODAY + H(36)},
		{"TOMORROW", TODAY + D(1)},
		{"today 9am", TODAY + H(9)},
		{"yesterday 9am", TODAY + H(9) - D(1)},
		{"Tue, today", TODAY},
		{"wed tomorrow 9am", TODAY + H(33)},
		{" tomorrow \t 9am ", TODAY + H(33)},
		{"18:00 2027-01-01", S(1798826400)},
		{"on 2027-01-01 at 18:00", S(1798826400)},
	};
	static const struct refused bad[] = {
		{"next friday", -EINVAL, "next", "\"Friday\" is the first one after today"},
		{"next fri 9am", -EINVAL, "next", "\"Friday\""},
		{"9am Next Tuesday", -EINVAL, "Next", "\"Tuesday\""},
		{"this friday", -EINVAL, "this", "\"Friday\""},
		{"next week", -EINVAL, "next", "7d"},
		{"next", -EINVAL, "next", "7d"},
		{"last friday", -EINVAL, "last", "in the past"},
		{"weekend", -EINVAL, "weekend", "saturday or sunday"},
		{"fridays", -EINVAL, "fridays", NULL},
		{"friday the 13th", -EINVAL, "the", NULL},
		{"thu tomorrow", -EINVAL, "thu", "tomorrow is a Wednesday"},
		{"on 9am", -EINVAL, "on", "on friday"},
		{"on", -EINVAL, "on", "on friday"},
		{"on on friday", -EINVAL, "on", NULL},
		{"on next friday", -EINVAL, "next", NULL},
		{"tomorow 9am", -EINVAL, "tomorow", "tomorrow 9am"},
	};
	(void)state;

	expect_instants(table, COUNT(table));
	expect_refused(bad, COUNT(bad));
}

/* The formats of date(1) and other programs. */
static void test_formats_of_other_programs(void **state)
{
	static const struct instant table[] = {
		/* date -Iseconds, -Iminutes, -Ihours, -Ins; --rfc-3339 */
		{"2027-01-01T09:00:30+00:00", S(1798794030)},
		{"2027-01-01T09:00+00:00", S(1798794000)},
		{"2027-01-01T09+00:00", S(1798794000)},
		{"2027-01-01T09:00:30,123456789-05:00", S(1798812030) + 123457},
		{"2027-01-01 09:00:30.123456789-05:00", S(1798812030) + 123457},
		{"2027-01-01 09:00:30+01:00", S(1798790430)},
		{"2027-01-01T09:00Z", S(1798794000)},
		{"2027-01-01t09:00z", S(1798794000)},
		{"2027-01-01T09Z", S(1798794000)},
		{"2027-01-01T09:00+0100", S(1798790400)},
		{"2027-01-01T09:00+01", S(1798790400)},
		{"2027-01-01T09:00-00:00", S(1798794000)},
		{"2027-01-01T09:00+05:45", S(1798773300)},
		{"2027-01-01T09:00-23:59", S(1798880340)},
		{"2027-01-01T09:00 +01:00", S(1798790400)},
		{"2027-01-01T09:00", S(1798794000)},
		{"20270101T090030Z", S(1798794030)},
		{"20270101T090030.25Z", S(1798794030) + 250000},
		{"20270101T0900+0100", S(1798790400)},
		{"20270101t09", S(1798794000)},
		{"20270101T09:00", S(1798794000)},
		{"2027/01/01 09:00", S(1798794000)},
		{"2027/01/01T09:00", S(1798794000)},
		{"09:00:00,5", TODAY + H(9) + 500000},
		/* date -R, mail and HTTP */
		{"Fri, 01 Jan 2027 09:00:30 +0000", S(1798794030)},
		{"Fri, 1 Jan 2027 09:00:30 -0500", S(1798812030)},
		{"01 Jan 2027 09:00 +0000", S(1798794000)},
		{"Fri, 01 Jan 2027 09:00:30 GMT", S(1798794030)},
		{"1 january 2027", S(1798761600)},
		{"1 Jan 2027 9am", S(1798794000)},
		{"9am 1 Jan 2027", S(1798794000)},
		{"30 Sept 2027", S(1822262400)},
		{"1 May 2027", S(1809129600)},
		/* date */
		{"Fri Jan  1 09:00:30 UTC 2027", S(1798794030)},
		{"Fri Jan  1 09:00:30 2027", S(1798794030)},
		{"Fri Jan  1 09:00:30 AM UTC 2027", S(1798794030)},
		{"Jan 1, 2027", S(1798761600)},
		{"January 1 2027 9am", S(1798794000)},
		{"Dec 31 2027", S(1830211200)},
	};
	static const struct refused bad[] = {
		{"2027-01-01T25:00Z", -EINVAL, "25:00Z", NULL},
		{"2027-01-01T", -EINVAL, "2027-01-01T", "lacks a time"},
		{"2027-01-01T09:00:30,", -EINVAL, "2027-01-01T09:00:30,", NULL},
		{"2027-01-01T090", -EINVAL, "090", NULL},
		{"2027-01-01T2400", -EINVAL, "2400", NULL},
		{"2027-01-01T0960", -EINVAL, "0960", NULL},
		{"2027-01-01T090062", -EINVAL, "090062", NULL},
		{"2027-01-01T990000", -EINVAL, "990000", NULL},
		{"2027-01-01T090000.", -EINVAL, "090000.", NULL},
		{"2027-01-01 18:00T09:00", -EINVAL, "18:00T09:00", NULL},
		{"18:00 2027-01-01T09:00", -EINVAL, "09:00", "second time"},
		{"2027-01-01T09:00+1", -EINVAL, "+1", "+01:00"},
		{"2027-01-01T09:00+24:00", -EINVAL, "+24:00", "+01:00"},
		{"2027-01-01T09:00+01:60", -EINVAL, "+01:60", "+01:00"},
		{"2027-01-01T09:00+01:0", -EINVAL, "+01:0", "+01:00"},
		{"2027-01-01T09:00+01:000", -EINVAL, "+01:000", "+01:00"},
		{"2027-01-01T09:00Zx", -EINVAL, "Zx", NULL},
		{"2027-01-01+01:00", -EINVAL, "2027-01-01+01:00", NULL},
		{"2027-01-01Z", -EINVAL, "2027-01-01Z", NULL},
		{"tomorrow +1h", -EINVAL, "+1h", "+01:00"},
		{"20271301T0900", -EINVAL, "20271301T0900", NULL},
		{"20270001T0900", -EINVAL, "20270001T0900", NULL},
		{"20270100T0900", -EINVAL, "20270100T0900", NULL},
		{"20270230T0900", -EINVAL, "20270230", "28 days"},
		{"00000000T0900", -EINVAL, "00000000T0900", NULL},
		{"20270101T", -EINVAL, "20270101T", "lacks a time"},
		{"20270101 09:00", -EINVAL, "09:00", NULL},
		{"friday,", -EINVAL, "friday,", NULL},
		{"09:00:30,", -EINVAL, "09:00:30,", NULL},
		{"Jan 1 0027", -EINVAL, "0027", NULL},
		{"Jan 1 09:00 2027x", -EINVAL, "2027x", NULL},
		{"2027-W01-5", -EINVAL, "2027-W01-5", "2027-01-31"},
		{"2027-001", -EINVAL, "2027-001", "2027-01-31"},
		{"2027/01-01", -EINVAL, "2027/01-01", NULL},
		{"Jan 2027", -EINVAL, "Jan", "a day"},
		{"Jan", -EINVAL, "Jan", "a day"},
		{"1 Jan 27", -EINVAL, "27", NULL},
		{"1 Jan 2027:00", -EINVAL, "2027:00", NULL},
		{"1 Jan 09:00 2027", -EINVAL, "2027", NULL},
		{"Jan 32 2027", -EINVAL, "Jan", "a day"},
		{"Feb 29 09:00:00 UTC 2027", -EINVAL, "Feb 29", "28 days"},
		{"30 Feb 2027", -EINVAL, "30 Feb 2027", "28 days"},
		{"Thu, 01 Jan 2027 09:00:30 +0000", -EINVAL, "Thu", "01 Jan 2027 is a Friday"},
		{"1 Jan 2027 1 Jan 2028", -EINVAL, "1 Jan 2028", "second day"},
		{"1 Jab 2027", -EINVAL, "Jab", NULL},
	};
	(void)state;

	expect_instants(table, COUNT(table));
	expect_refused(bad, COUNT(bad));
}

/* Ordinals, and dates without a year: the next such day after today. */
static void test_dates_in_words(void **state)
{
	static const struct instant table[] = {
		{"1st Jan 2027", MAIL_DAY},
		{"1ST of January 2027", MAIL_DAY},
		{"the 1st of January 2027 9am", MAIL_DAY + H(9)},
		{"on the 2nd of Jan", MAIL_DAY + D(1)},
		{"Jan 1st", MAIL_DAY},
		{"January 3rd, 2027", MAIL_DAY + D(2)},
		{"January the 11th 2027", MAIL_DAY + D(10)},
		{"9am 21st Jan", MAIL_DAY + D(20) + H(9)},
		{"Jan 22nd, 9am", MAIL_DAY + D(21) + H(9)},
		{"Fri, Jan 1st", MAIL_DAY},
		{"1 Jan", MAIL_DAY},
		{"Jan 1", MAIL_DAY},
		{"Jan 1 09:00", MAIL_DAY + H(9)},
		{"Jan 1 09:00 +01:00", MAIL_DAY + H(8)},
		{"Nov 25", TODAY + D(1)},
		{"Nov 23", TODAY + D(364)},
		{"Dec 31", MAIL_DAY - D(1)},
		{"Feb 28", MAIL_DAY + D(58)},
		{"Feb 29 2028", MAIL_DAY + D(424)},
		/* Yesterday there is still Nov 23. */
		{"Nov 24 -12:00", TODAY + H(12)},
	};
	static const struct refused bad[] = {
		{"1th Jan 2027", -EINVAL, "th", NULL},
		{"Jan 2th", -EINVAL, "Jan", "a day"},
		{"11st Jan 2027", -EINVAL, "st", NULL},
		{"the 32nd of Jan", -EINVAL, "the", NULL},
		{"1st", -EINVAL, "st", NULL},
		{"the 1st", -EINVAL, "the", NULL},
		{"1st of", -EINVAL, "st", NULL},
		{"Nov 24", -EINVAL, "Nov 24", "is today"},
		{"Nov 24 18:00", -EINVAL, "Nov 24", "name the year"},
		{"Feb 29", -EINVAL, "Feb 29", "February 2027 has 28 days"},
		{"Feb 30", -EINVAL, "Feb 30", "is not a date"},
		{"Thu, Jan 1st", -EINVAL, "Thu", "Jan 1st is a Friday"},
		{"Jan 1 Jan 2", -EINVAL, "Jan 2", "second day"},
		{"tomorrow Jan 1", -EINVAL, "Jan 1", "second day"},
		{"Jan 1 PST", -EINVAL, "PST", "not a time zone"},
	};
	(void)state;

	expect_instants(table, COUNT(table));
	expect_refused(bad, COUNT(bad));
}

/* What people type for a date or a time of day, and what is a span for systemd. */
static void test_doubts(void **state)
{
	static const struct {
		const char *text, *word, *advice; /* no word: no doubt */
	} table[] = {
		{"17h30", "30", "say 30s, or 30min"},
		{"1h 30", "30", "30min"},
		{"1 000", "1", "1s"},
		{"20270101", "20270101", "a date is 2027-01-01"},
		{"20270101 0900", "20270101", "20270101s"},
		{"0900", "0900", "a time of day is 09:00"},
		{"90", "", NULL},
		{"1730", "", NULL},
		{"0960", "", NULL},
		{"20271301", "", NULL},
		{"20270132", "", NULL},
		{"20270001", "", NULL},
		{"30000101", "", NULL},
		{"1h 30min", "", NULL},
		{"1.5h", "", NULL},
		{"infinity", "", NULL},
		{"friday", "", NULL},
		{"", "", NULL},
	};
	(void)state;

	for (size_t i = 0; i < COUNT(table); i++) {
		struct when_error doubt = {NULL, 0, ""};

		assert_int_equal(when_doubt(table[i].text, &doubt), *table[i].word != 0);
		if (!*table[i].word)
			continue;
		expect_error(table[i].text, table[i].word, &doubt);
		if (!strstr(doubt.advice, table[i].advice))
			fail_msg("\"%s\": %s", table[i].text, doubt.advice);
	}
}

/* For a time of day that has passed, the suggestion is the same time tomorrow. */
static void test_passed_time_of_day_suggests_tomorrow(void **state)
{
	static const struct {
		const char *text, *suggestion;
	} table[] = {
		{"07:00", "tomorrow 07:00"}, {"7am", "tomorrow 07:00"},
		{"08:00", "tomorrow 08:00"}, /* passed less than a second ago */
		{"07:00:30", "tomorrow 07:00:30"}, {"today 07:00", "tomorrow 07:00"},
		{"07:00 today", "tomorrow 07:00"}, {"at 7am UTC", "tomorrow 07:00 UTC"},
		{"08:00+01:00", "tomorrow 08:00 +01:00"}, {"12am", "tomorrow 00:00"}, {"today", ""},
		{"now", ""}, {"08:00:00.5", ""}, {"noon", ""}, {"midnight", ""},
		{"tomorrow 07:00", ""}, {"yesterday 07:00", ""}, {"tuesday 07:00", ""},
		{"tue today 07:00", ""}, {"2026-11-24 07:00", ""}, {"5min ago", ""}, {"5s", ""},
		{"07:00 ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUV"
		 "WXYZABCDEFGHIJKLMNOPQRSTUVWXYZ",
			""}, /* too long for a suggestion */
	};
	struct when when;
	(void)state;

	for (size_t i = 0; i < COUNT(table); i++) {
		const char *zone = strchr(table[i].text, ' ');
		char rule[200];

		/* Make the long word the abbreviation of the local zone. */
		snprintf(rule, sizeof(rule), "%s0", zone && strlen(zone) > 50 ? zone + 1 : "UTC");
		use_zone(rule);
		/* musl shortens the name. */
		if (strlen(tzname[0]) < strlen(rule) - 1)
			continue;
		assert_int_equal(when_parse(table[i].text, NOW_US, &when, NULL), 0);
		if (strcmp(when.suggestion, table[i].suggestion) != 0)
			fail_msg("\"%s\": \"%s\"", table[i].text, when.suggestion);
		if (*when.suggestion == '\0')
			continue;
		assert_true(when.us < NOW_US);
		expect_instants(&(struct instant){when.suggestion, when.us + D(1)}, 1);
	}
}

/* For any time and any offset, the suggestion is one day later. */
static void test_suggestion_is_one_day_later(void **state)
{
	uint64_t seed = 3;
	(void)state;

	for (int i = 0; i < 3000; i++) {
		uint64_t now = next_number(&seed) % S(UINT64_C(7000000000)) + D(2);
		struct when when, suggestion;
		char text[64];

		snprintf(text, sizeof(text), "%02d:%02d%+03d:%02d", (int)(next_number(&seed) % 24),
			(int)(next_number(&seed) % 60), (int)(next_number(&seed) % 29) - 14,
			(int)(next_number(&seed) % 60));
		assert_int_equal(when_parse(text, now, &when, NULL), 0);
		if (when.us >= now) {
			assert_string_equal(when.suggestion, "");
			continue;
		}
		assert_int_equal(when_parse(when.suggestion, now, &suggestion, NULL), 0);
		assert_int_equal(suggestion.us, when.us + D(1));
		assert_true(suggestion.us > now - S(60));
	}
}

/* The text of strftime() with any offset parses to its instant. strftime() is an independent
 * oracle. */
static void test_offsets_round_trip(void **state)
{
	static const char *const formats[] = {
		"%Y-%m-%dT%H:%M:%S",
		"%Y-%m-%d %H:%M:%S",
		"%Y%m%dT%H%M%S",
		"%a, %d %b %Y %H:%M:%S ",
		"%A %e %B %Y %I:%M:%S %p ",
	};
	uint64_t seed = 5;
	(void)state;

	for (int i = 0; i < 5000; i++) {
		time_t s = (time_t)(next_number(&seed) % 200000000000);
		int minutes = (int)(next_number(&seed) % (28 * 60)) - 14 * 60;
		time_t local = s + minutes * 60;
		char text[100], zone[16];
		struct tm tm;

		if (local < 0)
			continue;
		strftime(text, sizeof(text), formats[i % (int)COUNT(formats)],
			gmtime_r(&local, &tm));
		snprintf(zone, sizeof(zone), "%c%02d%s%02d", minutes < 0 ? '-' : '+',
			abs(minutes) / 60, i % 2 ? ":" : "", abs(minutes) % 60);
		strcat(text, zone);
		expect_instants(&(struct instant){text, S(s)}, 1);
	}
}

/* The locale changes nothing: neither one where "I" is not the upper case of "i", nor one with
 * another decimal point. A locale that is not installed is skipped. */
static void test_locale_changes_nothing(void **state)
{
	static const char *const locales[] = {
		"tr_TR.UTF-8", "tr_TR.ISO-8859-9", "az_AZ.UTF-8", "de_DE.UTF-8", "C.UTF-8", "C"};
	static const struct instant table[] = {
		{"FRIDAY", TODAY + D(3)},
		{"MIDNIGHT", TODAY + D(1)},
		{"IN 5 minutes", NOW_US + MIN(5)},
		{"Fri, 1 Jan 2027 09:00:30.5 +0000", S(1798794030) + 500000},
		{"1.5h left", NOW_US + MIN(90)},
		{"@1800000000.5", S(1800000000) + 500000},
	};
	char buffer[WHEN_TIMESTAMP_MAX];
	(void)state;

	for (size_t i = 0; i < COUNT(locales); i++) {
		setlocale(LC_ALL, locales[i]);
		expect_instants(table, COUNT(table));
		when_format_timestamp(buffer, sizeof(buffer), NOW_US, WHEN_MICROSECONDS);
		assert_string_equal(buffer, "Tue 2026-11-24 08:00:00.123456 UTC");
		when_format_span(buffer, sizeof(buffer), 1500, 1);
		assert_string_equal(buffer, "1.500ms");
	}
	setlocale(LC_ALL, "C");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_times_of_day_in_words, in_utc),
		cmocka_unit_test_setup(test_dates_of_mail, in_utc),
		cmocka_unit_test_setup(test_days_in_words, in_utc),
		cmocka_unit_test_setup(test_formats_of_other_programs, in_utc),
		cmocka_unit_test_setup(test_dates_in_words, in_utc),
		cmocka_unit_test_setup(test_doubts, in_utc),
		cmocka_unit_test_setup(test_passed_time_of_day_suggests_tomorrow, in_utc),
		cmocka_unit_test_setup(test_suggestion_is_one_day_later, in_utc),
		cmocka_unit_test_setup(test_offsets_round_trip, in_utc),
		cmocka_unit_test_setup(test_locale_changes_nothing, in_utc),
	};

	return cmocka_run_group_tests_name("when_words", tests, NULL, NULL);
}
