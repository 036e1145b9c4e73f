/* SPDX-License-Identifier: MIT */
/*
 * Values of settings, good and bad ones, and the tables themselves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "settings.h"

static const struct setting count = {"Count", "count", SETTING_COUNT, 100, false};
static const struct setting size = {"Size", "size", SETTING_SIZE, 0, false};
static const struct setting span = {"Span", "span", SETTING_SPAN, 0, false};
static const struct setting level = {"Level", "level", SETTING_LEVEL, 0, false};
static const struct setting word = {"Word", "word", SETTING_WORD, 0, false};

static const struct good {
	const struct setting *setting;
	const char *text;
	uint64_t number;
} good[] = {
	{&count, "1", 1},
	{&count, "100", 100},
	{&count, "007", 7},
	{&size, "1", 1},
	{&size, "256M", UINT64_C(256) << 20},
	{&size, "3K", 3 << 10},
	{&size, "1G", UINT64_C(1) << 30},
	{&size, "8388607T", UINT64_C(8388607) << 40},
	{&size, "9223372036854775807", INT64_MAX},
	{&span, "10min", 600000000},
	{&span, "1h 30min", UINT64_C(5400000000)},
	{&span, " 1h30m ", UINT64_C(5400000000)},
	{&span, "5", 5000000},
	{&span, "1.5s", 1500000},
	{&span, ".5s", 500000},
	{&span, "1.0000001s", 1000000},
	{&span, "250ms", 250000},
	{&span, "7us", 7},
	{&span, "7 \xc2\xb5s", 7},
	{&span, "1 min 5", 65000000},
	{&span, "1M", UINT64_C(2629800000000)},
	{&span, "1y 1w 1d", UINT64_C(31557600000000 + 604800000000 + 86400000000)},
	{&span, "0", 0},
	{&span, "infinity", INT64_MAX},
	{&level, "debug", 7},
	{&level, "0", 0},
	{&level, "error", 3},
};

static const struct bad {
	const struct setting *setting;
	const char *text, *why;
} bad[] = {
	{&word, "", "is empty"},
	{&count, "", "is not a number"},
	{&count, "-1", "is not a number"},
	{&count, "+1", "is not a number"},
	{&count, "1 ", "is not a number"},
	{&count, "1k", "is not a number"},
	{&count, "0", "is not between 1 and 100"},
	{&count, "101", "is not between 1 and 100"},
	{&count, "99999999999999999999999", "is not between 1 and 100"},
	{&size, "", "is not a number"},
	{&size, "M", "is not a number"},
	{&size, "1X", "is not a number"},
	{&size, "1KM", "is not a number"},
	{&size, "0", "is not between 1 and 9223372036854775807"},
	{&size, "8388608T", "is not between 1 and 8388607"},
	{&size, "11111111111111111111111111111111111111111", "is not a size, such as 256M"},
	{&span, "", "is not a span, such as 10min"},
	{&span, " ", "is not a span, such as 10min"},
	{&span, "soon", "is not a span, such as 10min"},
	{&span, "10 mins ago", "is not a span, such as 10min"},
	{&span, "-1s", "is not a span, such as 10min"},
	{&span, ".s", "is not a span, such as 10min"},
	{&span, "1.2.3s", "is not a span, such as 10min"},
	{&span, "1 fortnightandmore", "is not a span, such as 10min"},
	{&span, "1s s", "is not a span, such as 10min"},
	{&span, "999999999999999999999999us", "is not a span, such as 10min"},
	{&span, "9223372036854775807us 1us", "is not a span, such as 10min"},
	{&span, "300000y", "is not a span, such as 10min"},
	{&level, "", "is not a level"},
	{&level, "loud", "is not a level"},
	{&level, "8", "is not a level"},
};

static void test_good_values_are_parsed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct setting_value value = {0};
		char why[SETTING_WHY_MAX] = "";

		if (setting_parse(good[i].setting, good[i].text, &value, why) != 0)
			fail_msg("'%s' %s", good[i].text, why);
		if (value.number != good[i].number || !value.set)
			fail_msg("'%s' is %llu", good[i].text, (unsigned long long)value.number);
	}
}

static void test_bad_values_change_nothing_and_say_why(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct setting_value value = {.number = 42};
		char why[SETTING_WHY_MAX] = "";

		if (setting_parse(bad[i].setting, bad[i].text, &value, why) == 0)
			fail_msg("'%s' is accepted", bad[i].text);
		if (strcmp(why, bad[i].why) != 0)
			fail_msg("'%s': '%s', not '%s'", bad[i].text, why, bad[i].why);
		assert_false(value.set);
		assert_int_equal(value.number, 42);
	}
}

static void test_words_are_taken_as_they_are(void **state)
{
	struct setting_value value = {0};
	char why[SETTING_WHY_MAX];

	(void)state;
	assert_int_equal(setting_parse(&word, "/a b", &value, why), 0);
	assert_string_equal(value.word, "/a b");
}

static void test_the_first_source_goes_before_the_second(void **state)
{
	const struct setting_value none = {0};
	const struct setting_value one = {true, 1, "one"}, two = {true, 2, "two"};

	(void)state;
	assert_int_equal(setting_number(&one, &two, 3), 1);
	assert_int_equal(setting_number(&none, &two, 3), 2);
	assert_int_equal(setting_number(&none, &none, 3), 3);
	assert_string_equal(setting_word(&one, &two, "three"), "one");
	assert_string_equal(setting_word(&none, &two, "three"), "two");
	assert_string_equal(setting_word(&none, &none, "three"), "three");
}

/* "max-timers-per-user" is MaxTimersPerUser. */
static void check_name(const struct setting *setting)
{
	const char *key = setting->key;
	bool first = true;

	for (const char *at = setting->option; *at; at++) {
		if (*at == '-') {
			first = true;
			continue;
		}
		assert_int_equal(*key++, first ? *at - 'a' + 'A' : *at);
		first = false;
	}
	assert_int_equal(*key, 0);
}

static void test_keys_are_named_after_options(void **state)
{
	(void)state;
	for (size_t i = 0; i < TIMERD_SETTINGS; i++)
		check_name(&settings_timerd[i]);
	for (size_t i = 0; i < QUEUES_SETTINGS; i++)
		check_name(&settings_queues[i]);
	for (size_t i = 0; i < OWN_SETTINGS; i++)
		assert_non_null(settings_own[i].key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_values_are_parsed),
		cmocka_unit_test(test_bad_values_change_nothing_and_say_why),
		cmocka_unit_test(test_words_are_taken_as_they_are),
		cmocka_unit_test(test_the_first_source_goes_before_the_second),
		cmocka_unit_test(test_keys_are_named_after_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
