/* SPDX-License-Identifier: MIT */
/* toytimerctl's sums of instants and spans: a sum beyond the end of a clock is the end of the
 * clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "clock.h"

static void test_names_parse_and_print(void **state)
{
	static const char *const names[] = {"monotonic", "boottime", "realtime"};
	enum toytimer_clock clock;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(clock_parse(names[i], &clock), 0);
		assert_string_equal(clock_name(clock), names[i]);
	}
	assert_int_equal(clock, TOYTIMER_REALTIME);
	assert_int_equal(clock_parse("sundial", &clock), -EINVAL);
	assert_int_equal(clock_parse("", &clock), -EINVAL);
	/* A later daemon may have more of them. */
	assert_string_equal(clock_name((enum toytimer_clock)3), "-");
}

static void test_sums_stay_within_the_clock(void **state)
{
	(void)state;
	assert_true(clock_after(100, 50) == 150);
	assert_true(clock_after(100, -50) == 50);
	assert_true(clock_after(100, -100) == 0);
	assert_true(clock_after(100, -101) == 0);
	assert_true(clock_after(100, INT64_MIN) == 0);
	assert_true(clock_after(UINT64_MAX - 5, 5) == UINT64_MAX);
	assert_true(clock_after(UINT64_MAX - 5, 6) == UINT64_MAX);
	assert_true(clock_after(UINT64_MAX, INT64_MIN) == UINT64_MAX / 2);
}

static void test_remaining_time_stays_within_its_range(void **state)
{
	(void)state;
	assert_true(clock_remaining(150, 100) == 50);
	assert_true(clock_remaining(100, 150) == -50);
	assert_true(clock_remaining(INT64_MAX, 0) == INT64_MAX);
	assert_true(clock_remaining(UINT64_MAX, 0) == INT64_MAX);
	assert_true(clock_remaining(0, UINT64_MAX) == INT64_MIN);
	assert_true(clock_remaining(UINT64_MAX, UINT64_MAX) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_parse_and_print),
		cmocka_unit_test(test_sums_stay_within_the_clock),
		cmocka_unit_test(test_remaining_time_stays_within_its_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
