/* SPDX-License-Identifier: MIT */
/*
 * Tests of client-lib/ctl/when.h: spans in words, and spans after "in" and "every".
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "when_expect.h"

static void test_spans_in_words(void **state)
{
	static const struct instant table[] = {
		{"half an hour", NOW_US + MIN(30)},
		{"half hour", NOW_US + MIN(30)},
		{"in one hour", NOW_US + H(1)},
		{"in two days", NOW_US + D(2)},
		{"TWELVE hours", NOW_US + H(12)},
		{"three weeks from now", NOW_US + W(3)},
		{"ten minutes ago", NOW_US - MIN(10)},
		{"+five min", NOW_US + MIN(5)},
		{"in twenty minutes", NOW_US + MIN(20)},
		{"forty-five minutes", NOW_US + MIN(45)},
		{"thirty five minutes left", NOW_US + MIN(35)},
		{"1 hour and 30 minutes", NOW_US + MIN(90)},
		{"1h and 30min", NOW_US + MIN(90)},
		{"in 1h, 30min and 15s", NOW_US + S(5415)},
		{"1 hour, and 5 s", NOW_US + S(3605)},
		{"a day and an hour", NOW_US + H(25)},
		{"an hour and 30 minutes ago", NOW_US - MIN(90)},
		{"an hour and a half", NOW_US + MIN(90)},
		{"in one and a half hours", NOW_US + MIN(90)},
		{"2 and a half hours", NOW_US + MIN(150)},
		{"2 days and a half", NOW_US + H(60)},
		{"one hour thirty minutes", NOW_US + MIN(90)},
		{"in half an hour", NOW_US + MIN(30)},
		{"half an hour from now", NOW_US + MIN(30)},
		{"half an hour ago", NOW_US - MIN(30)},
		{"an hour", NOW_US + MIN(60)},
		{"an hour from now", NOW_US + MIN(60)},
		{"An hour ago", NOW_US - MIN(60)},
		{"a minute", NOW_US + MIN(1)},
		{"now + an hour", NOW_US + MIN(60)},
		{"In Half A minute", NOW_US + S(30)},
		{"now + 5 minutes", NOW_US + MIN(5)},
		{"now +5min", NOW_US + MIN(5)},
		{"now+1h", NOW_US + H(1)},
		{"day after tomorrow", TODAY + D(2)},
		{"the day after tomorrow 9am", TODAY + D(2) + H(9)},
		{"Day after tomorrow 9am", TODAY + D(2) + H(9)},
		{"9am day  after tomorrow", TODAY + D(2) + H(9)},
	};
	static const struct refused bad[] = {
		{"half", -EINVAL, "half", NULL},
		{"in half", -EINVAL, "half", "in 5min"},
		{"half an", -EINVAL, "half", NULL},
		{"half a dozen", -EINVAL, "dozen", "half an hour"},
		{"half two hours", -EINVAL, "two", NULL},
		{"in one", -EINVAL, "one", "in 5min"},
		{"an and a half hours", -EINVAL, "and", NULL},
		{"1 hour and", -EINVAL, "and", "1h and 30min"},
		{"1 hour and 30", -EINVAL, "30", "30min"},
		{"1 hour,", -EINVAL, ",", NULL},
		{"and 1 hour", -EINVAL, "and", NULL},
		{"1 hour and a half minute", -EINVAL, "minute", NULL},
		{"twenty ten minutes", -EINVAL, "ten", NULL},
		{"one two hours", -EINVAL, "two", NULL},
		{"in 17h30", -EINVAL, "30", "30min"},
		{"584541 years and 2 years", -ERANGE, "584541 years and 2 years", "too long"},
		{"584541.9y and a half", -ERANGE, "584541.9y and a half", "too long"},
		{"@an hour", -EINVAL, "an", NULL},
		{"@half an hour", -EINVAL, "half", NULL},
		{"@one hour", -EINVAL, "one", NULL},
		{"@", -EINVAL, "@", "needs a span"},
		{"8.30pm", -EINVAL, "pm", "8:30pm"},
		{"now +", -EINVAL, "now +", "needs a span"},
		{"now + noon", -EINVAL, "noon", NULL},
		{"in 3 days 09:00", -EINVAL, "09:00", "is not a number with a unit"},
		{"day after", -EINVAL, "day", NULL},
		{"in 5 Minutes", -EINVAL, "Minutes", "small letters: minutes"},
		{"5S", -EINVAL, "S", "the units are"},
		{"tomorrow day after tomorrow", -EINVAL, "day after tomorrow", "second day"},
		{"daily", -EINVAL, "daily", "every 1d"},
		{"hourly", -EINVAL, "hourly", "every 1h"},
	};
	(void)state;

	expect_instants(table, COUNT(table));
	expect_refused(bad, COUNT(bad));
}

static void expect_span(const char *text, uint64_t us, uint64_t every_us)
{
	struct when_error error = {"", 0, ""};
	struct when when = {0};
	int r = when_parse(text, NOW_US, &when, &error);

	if (r != 0 || when.kind != WHEN_SPAN || when.us != us || when.every_us != every_us)
		fail_msg("\"%s\" gives %d (\"%.*s\" %s), %llu, every %llu", text, r,
			(int)error.length, error.word, error.advice, (unsigned long long)when.us,
			(unsigned long long)when.every_us);
}

static void test_spans_after_in_and_every(void **state)
{
	static const struct refused bad[] = {
		{"in", -EINVAL, "in", "needs a span"},
		{"in a", -EINVAL, "a", "in 5min"},
		{"in 5", -EINVAL, "5", "5min"},
		{"in 1h 30", -EINVAL, "30", "30min"},
		{"in 5 parsecs", -EINVAL, "parsecs", "the units are"},
		{"in .", -EINVAL, ".", NULL},
		{"in -5s", -ERANGE, "-5s", "negative"},
		{"in infinity", -EINVAL, "infinity", NULL},
		{"in 584542y", -ERANGE, "584542y", "too long"},
		{"every", -EINVAL, "every", "needs a span"},
		{"every 5", -EINVAL, "5", "5min"},
		{"every 0s", -ERANGE, "0s", "no period"},
		{"every friday", -EINVAL, "friday", "--every 7d friday"},
		{"every 5 parsecs", -EINVAL, "parsecs", "the units are"},
		{"every infinity", -EINVAL, "infinity", NULL},
		{"5min from", -EINVAL, "from", NULL},
		{"from now", -EINVAL, "from", NULL},
		{"5min now", -EINVAL, "now", NULL},
		{"left", -EINVAL, "left", NULL},
	};
	(void)state;

	expect_span("in 5 minutes", MIN(5), 0);
	expect_span("In 5min", MIN(5), 0);
	expect_span("in 1h 30min", MIN(90), 0);
	expect_span("in 1.5h", MIN(90), 0);
	expect_span("in an hour", H(1), 0);
	expect_span("in a minute", MIN(1), 0);
	expect_span("5 minutes from now", MIN(5), 0);
	expect_span("5min left", MIN(5), 0);
	expect_span("every 5 minutes", MIN(5), MIN(5));
	expect_span("every 1h 30min", MIN(90), MIN(90));
	expect_span("Every hour", H(1), H(1));
	expect_span("every day", D(1), D(1));
	expect_span("every two hours", H(2), H(2));
	expect_span("every half hour", MIN(30), MIN(30));
	expect_refused(bad, COUNT(bad));
}

/* A formatted span also parses after "in" and "every", and before "left". */
static void test_formatted_spans_parse_in_phrases(void **state)
{
	char span[WHEN_SPAN_MAX], text[WHEN_SPAN_MAX + 10];
	uint64_t seed = 4;
	(void)state;

	for (int i = 0; i < 3000; i++) {
		uint64_t us = next_number(&seed) / 2 + 1;

		when_format_span(span, sizeof(span), us, 1);
		snprintf(text, sizeof(text), "in %s", span);
		expect_span(text, us, 0);
		snprintf(text, sizeof(text), "every %s", span);
		expect_span(text, us, us);
		snprintf(text, sizeof(text), "%s left", span);
		expect_span(text, us, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_spans_in_words, in_utc),
		cmocka_unit_test_setup(test_spans_after_in_and_every, in_utc),
		cmocka_unit_test_setup(test_formatted_spans_parse_in_phrases, in_utc),
	};

	return cmocka_run_group_tests_name("when_spans", tests, NULL, NULL);
}
