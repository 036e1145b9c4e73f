/* SPDX-License-Identifier: MIT */
/*
 * Which user is cut off for slow calls, when, and for how long. Time is an argument.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "meter.h"

#define USER  1000
#define OTHER 1001
#define ROOT  0

#define START UINT64_C(5000000000)
#define SLOW  (METER_SLOW_US + 1)

static struct meter meter;

static int setup(void **state)
{
	(void)state;
	meter = (struct meter){0};
	meter_slice_begin(&meter, START);
	return 0;
}

/* A call of that user, so long after START. */
static bool call(uint64_t at, uint32_t uid, uint64_t took)
{
	meter_slice_begin(&meter, START + at);
	return meter_charge(&meter, uid, took);
}

static void test_three_slow_calls_within_a_second_cut_off(void **state)
{
	(void)state;
	assert_false(call(0, USER, SLOW));
	assert_false(call(400000, USER, SLOW));
	assert_false(meter_is_out(&meter, USER));
	assert_true(call(METER_WINDOW_US, USER, SLOW));
	assert_true(meter_is_out(&meter, USER));
}

static void test_slow_calls_over_more_than_a_second_do_not_cut_off(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 100; i++)
		assert_false(call(i * (METER_WINDOW_US / 2 + 1), USER, SLOW));
	assert_false(meter_is_out(&meter, USER));
}

static void test_the_second_may_begin_at_any_call(void **state)
{
	(void)state;
	assert_false(call(0, USER, SLOW));
	assert_false(call(900000, USER, SLOW));
	assert_false(call(1100000, USER, SLOW));
	assert_true(call(1300000, USER, SLOW));
}

static void test_one_slow_call_never_cuts_off(void **state)
{
	(void)state;
	assert_false(call(0, USER, 3600 * UINT64_C(1000000)));
	for (uint64_t i = 1; i < 1000; i++)
		assert_false(call(i * 100, USER, METER_SLOW_US));
	assert_false(meter_is_out(&meter, USER));
}

static void test_two_slow_calls_never_cut_off(void **state)
{
	(void)state;
	assert_false(call(0, USER, UINT64_MAX / 4));
	assert_false(call(1, USER, UINT64_MAX / 4));
	assert_false(meter_is_out(&meter, USER));
}

static void test_root_is_never_cut_off(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		assert_false(call(i, ROOT, 100 * SLOW));
	assert_false(meter_is_out(&meter, ROOT));
}

static void test_users_are_counted_apart(void **state)
{
	(void)state;
	assert_false(call(0, USER, SLOW));
	assert_false(call(1, OTHER, SLOW));
	assert_false(call(2, USER, SLOW));
	assert_false(call(3, OTHER, SLOW));
	assert_true(call(4, USER, SLOW));
	assert_true(meter_is_out(&meter, USER));
	assert_false(meter_is_out(&meter, OTHER));
}

static void cut_off(uint64_t at)
{
	call(at, USER, SLOW);
	call(at, USER, SLOW);
	assert_true(call(at, USER, SLOW));
}

static void test_being_cut_off_ends_in_time(void **state)
{
	(void)state;
	cut_off(7);
	meter_slice_begin(&meter, START + 7 + METER_OUT_US - 1);
	assert_true(meter_is_out(&meter, USER));
	meter_slice_begin(&meter, START + 7 + METER_OUT_US);
	assert_false(meter_is_out(&meter, USER));
	/* The user may connect again, and is cut off again. */
	assert_false(call(8 + METER_OUT_US, USER, SLOW));
	assert_false(call(9 + METER_OUT_US, USER, SLOW));
	assert_true(call(10 + METER_OUT_US, USER, SLOW));
}

/*
 * The calls that end its connections are slow too. They add time, but no second line in the log.
 */
static void test_slow_calls_while_cut_off_extend_it(void **state)
{
	(void)state;
	cut_off(0);
	assert_false(call(500000, USER, SLOW));
	meter_slice_begin(&meter, START + METER_OUT_US);
	assert_true(meter_is_out(&meter, USER));
}

/* Slow calls that take less than an eighth of the time of all calls count as stolen time. */
static void test_less_than_an_eighth_of_the_time_never_cuts_off(void **state)
{
	uint64_t spent = 0;

	(void)state;
	assert_false(call(0, USER, SLOW));
	while (spent <= 3 * SLOW * (METER_SHARE - 1) + METER_SHARE) {
		assert_false(call(100, USER, 100));
		spent += 100;
	}
	assert_false(call(200, USER, SLOW));
	assert_false(call(300, USER, SLOW));
	assert_false(meter_is_out(&meter, USER));
	/* One more call makes it an eighth. */
	assert_true(call(400, USER, SLOW));
}

static void test_calls_of_an_earlier_second_excuse_nothing(void **state)
{
	(void)state;
	assert_false(call(0, USER, SLOW));
	for (int i = 0; i < 1000; i++)
		assert_false(call(1, USER, METER_SLOW_US));
	/* The calls of an earlier second do not excuse those of this second. */
	assert_false(call(2000000, USER, SLOW));
	assert_false(call(2000001, USER, SLOW));
	assert_true(call(2000002, USER, SLOW));
}

/* Many users with one slow call each take the slots. A user that is cut off keeps its own. */
static void test_a_cut_off_user_keeps_its_slot(void **state)
{
	(void)state;
	cut_off(0);
	for (uint32_t i = 0; i < 10 * METER_USERS; i++)
		assert_false(call(i + 1, OTHER + i, SLOW));
	assert_true(meter_is_out(&meter, USER));
	/* The latest of the other users still has a slot. */
	assert_false(call(1000, OTHER + 10 * METER_USERS - 1, SLOW));
	assert_true(call(1001, OTHER + 10 * METER_USERS - 1, SLOW));
}

/* Calls are measured for a second after a slice that took too long. */
static void test_calls_are_measured_after_a_long_slice(void **state)
{
	(void)state;
	meter_slice_end(&meter, START + METER_SLOW_US);
	meter_begin(&meter);
	assert_true(meter.call_began == 0);
	meter_slice_end(&meter, START + METER_SLOW_US + 1);
	meter_begin(&meter);
	assert_true(meter.call_began != 0);
	assert_false(meter_end(&meter, USER));
	meter_slice_begin(&meter, START + METER_SLOW_US + METER_WINDOW_US + 1);
	meter_begin(&meter);
	assert_true(meter.call_began == 0);
	assert_false(meter_end(&meter, USER));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_three_slow_calls_within_a_second_cut_off, setup),
		cmocka_unit_test_setup(
			test_slow_calls_over_more_than_a_second_do_not_cut_off, setup),
		cmocka_unit_test_setup(test_the_second_may_begin_at_any_call, setup),
		cmocka_unit_test_setup(test_one_slow_call_never_cuts_off, setup),
		cmocka_unit_test_setup(test_two_slow_calls_never_cut_off, setup),
		cmocka_unit_test_setup(test_root_is_never_cut_off, setup),
		cmocka_unit_test_setup(test_users_are_counted_apart, setup),
		cmocka_unit_test_setup(test_being_cut_off_ends_in_time, setup),
		cmocka_unit_test_setup(test_slow_calls_while_cut_off_extend_it, setup),
		cmocka_unit_test_setup(test_less_than_an_eighth_of_the_time_never_cuts_off, setup),
		cmocka_unit_test_setup(test_calls_of_an_earlier_second_excuse_nothing, setup),
		cmocka_unit_test_setup(test_a_cut_off_user_keeps_its_slot, setup),
		cmocka_unit_test_setup(test_calls_are_measured_after_a_long_slice, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
