/* SPDX-License-Identifier: MIT */
/* Which runs of COMMAND the wakes of a timer cause. Each period counts once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "runs.h"

#define P 100

static toytimer_event wake(uint64_t due, uint64_t overruns, int last)
{
	return (toytimer_event){
		.type = TOYTIMER_WOKEN, .due = due, .overruns = overruns, .last = last};
}

static void takes(struct runs *runs, toytimer_event event, uint64_t now, uint64_t due,
	uint64_t overruns, uint64_t late)
{
	assert_true(runs_take(runs, &event, now));
	assert_int_equal(event.due, due);
	assert_int_equal(event.overruns, overruns);
	assert_int_equal(event.late, late);
}

static bool drops(struct runs *runs, toytimer_event event)
{
	return !runs_take(runs, &event, 10000);
}

static void test_each_wake_in_time_is_a_run(void **state)
{
	struct runs runs = {.period = P};
	uint64_t due = 7;

	(void)state;
	takes(&runs, wake(1000, 0, 0), 1001, 1000, 0, 1);
	assert_false(runs_overdue(&runs, 1099, &due));
	assert_int_equal(due, 7);
	takes(&runs, wake(1100, 0, 0), 1100, 1100, 0, 0);
	assert_int_equal(runs.completed, 2);
}

static void test_periods_missed_during_a_run_merge_into_one(void **state)
{
	struct runs runs = {.period = P};
	uint64_t due;

	(void)state;
	takes(&runs, wake(1000, 0, 0), 1000, 1000, 0, 0);
	assert_true(runs_overdue(&runs, 1350, &due));
	assert_int_equal(due, 1300);
	runs_rearmed(&runs, due);
	assert_true(drops(&runs, wake(1100, 0, 0))); /* was sent while COMMAND ran */
	takes(&runs, wake(1300, 0, 0), 1351, 1100, 2, 251);
	takes(&runs, wake(1400, 0, 0), 1400, 1400, 0, 0);
}

/* The wake that was sent before has the due that the timer is re-armed to. */
static void test_the_same_due_runs_once(void **state)
{
	struct runs runs = {.period = P};
	uint64_t due;

	(void)state;
	takes(&runs, wake(1000, 0, 0), 1000, 1000, 0, 0);
	assert_true(runs_overdue(&runs, 1150, &due));
	runs_rearmed(&runs, due);
	takes(&runs, wake(1100, 0, 0), 1150, 1100, 0, 50);
	assert_true(drops(&runs, wake(1100, 0, 0)));
	takes(&runs, wake(1100, 2, 0), 1320, 1200, 1, 120); /* the first of its periods had a run */
}

static void test_the_last_wake_makes_one_run(void **state)
{
	struct runs runs = {.period = P};

	(void)state;
	takes(&runs, wake(1000, 0, 0), 1000, 1000, 0, 0);
	takes(&runs, wake(1100, 0, 1), 1450, 1100, 3, 350);
	assert_true(drops(&runs, wake(1400, 0, 1)));
}

/* timerd would send more wakes, but no run follows. */
static void test_the_last_run_counts_all_periods(void **state)
{
	struct runs runs = {.period = P, .count = 2};

	(void)state;
	takes(&runs, wake(1000, 0, 0), 1000, 1000, 0, 0);
	assert_false(runs_ended(&runs));
	takes(&runs, wake(1100, 0, 0), 1450, 1100, 3, 350);
	assert_true(runs_ended(&runs));
}

static void test_enough_wakes_for_the_runs(void **state)
{
	struct runs runs = {.period = P};

	(void)state;
	assert_int_equal(runs_wakes(&runs), 0);
	for (runs.count = 1; runs.count <= 8; runs.count++)
		assert_int_equal(
			runs_wakes(&runs), runs.count == 3 || runs.count == 4 ? 5 : runs.count);
	runs = (struct runs){.period = P, .count = UINT32_MAX, .completed = UINT32_MAX - 3};
	assert_int_equal(runs_wakes(&runs), 5);
	runs.completed++;
	assert_int_equal(runs_wakes(&runs), 2);
}

static void test_dues_at_the_ends_of_the_clock_are_kept(void **state)
{
	struct runs runs = {0};
	uint64_t due;

	(void)state;
	takes(&runs, wake(1000, 0, 1), 900, 1000, 0, 0); /* the clock was set back */
	assert_false(runs_overdue(&runs, UINT64_MAX, &due));
	runs = (struct runs){.period = P};
	takes(&runs, wake(UINT64_MAX - 5, UINT64_MAX, 0), UINT64_MAX, UINT64_MAX - 5, UINT64_MAX,
		5);
	assert_int_equal(runs.next_due, UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_wake_in_time_is_a_run),
		cmocka_unit_test(test_periods_missed_during_a_run_merge_into_one),
		cmocka_unit_test(test_the_same_due_runs_once),
		cmocka_unit_test(test_the_last_wake_makes_one_run),
		cmocka_unit_test(test_the_last_run_counts_all_periods),
		cmocka_unit_test(test_enough_wakes_for_the_runs),
		cmocka_unit_test(test_dues_at_the_ends_of_the_clock_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
