/* SPDX-License-Identifier: MIT */
/*
 * The quantiles of lateness against exact quantiles of the same values: in a histogram, and in the
 * status after real wakes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dice.h"
#include "fixture.h"
#include "histogram.h"

#define USER 1000
#define MOST 2000

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* A quantile is not less than the exact one (of the rank, rounded up), and at most 6.25 %
 * greater. */
static void check_quantile(
	const struct counters *counters, const uint64_t *sorted, size_t n, unsigned int percent)
{
	size_t rank = (n * percent + 99) / 100;
	uint64_t exact = sorted[rank ? rank - 1 : 0];
	uint64_t reported = histogram_quantile(counters, percent);

	assert_true(reported >= exact);
	assert_true(reported - exact <= exact / 16);
	assert_true(reported <= counters->late_max);
}

static void test_quantiles_are_near_exact_ones(void **state)
{
	struct dice dice = dice_new("quantiles", 32);

	(void)state;
	for (int round = 0; round < 400; round++) {
		struct counters counters = {0};
		uint64_t late[1000];
		size_t n = 1 + (size_t)dice_below(&dice, 1000);
		unsigned int spread = 1 + (unsigned int)dice_below(&dice, 64);

		for (size_t i = 0; i < n; i++) {
			/* The same number of values of each magnitude. */
			late[i] = dice_any(&dice) >> (64 - 1 - dice_below(&dice, spread));
			histogram_add(&counters, late[i]);
		}
		qsort(late, n, sizeof(late[0]), by_value);
		assert_int_equal(counters.late_max, late[n - 1]);
		for (unsigned int percent = 1; percent <= 100; percent++)
			check_quantile(&counters, late, n, percent);
	}
}

/* Around each bound between two steps of the histogram. */
static void test_quantile_of_one_value_is_that_value(void **state)
{
	struct counters none = {0};

	(void)state;
	assert_int_equal(histogram_quantile(&none, 50), 0);
	for (unsigned int bit = 0; bit < 64; bit++)
		for (uint64_t step = 16; step < 32; step++)
			for (uint64_t off = 0; off < 3; off++) {
				struct counters counters = {0};
				uint64_t late = (step << 59 >> (63 - bit)) + off - 1;

				histogram_add(&counters, late);
				/* The value is also the greatest one, which limits the result. */
				assert_int_equal(histogram_quantile(&counters, 50), late);
				histogram_add(&counters, UINT64_MAX);
				check_quantile(&counters, (uint64_t[]){late, UINT64_MAX}, 2, 50);
			}
}

/* The wakes and the status report the same lateness. */
static void test_status_has_the_lateness_of_wakes(void **state)
{
	struct dice dice = dice_new("lateness", 33);
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	uint64_t *late = calloc(MOST, sizeof(*late));
	struct proto_status_answer status;

	assert_non_null(late);
	for (int i = 0; i < MOST; i++)
		world_timer(world, session, (uint8_t)(i % PROTO_CLOCKS), dice_below(&dice, 100000));
	while (world->n_events < MOST) {
		world_pass(world, dice_below(&dice, 3000));
		world_turn(world);
	}
	for (int i = 0; i < MOST; i++)
		late[i] = world->events[i].wake.late;
	qsort(late, MOST, sizeof(late[0]), by_value);
	status = world_status(world, session);
	assert_int_equal(status.late_max, late[MOST - 1]);
	check_quantile(&world->worker.arena.header->counters, late, MOST, 50);
	assert_int_equal(
		status.late_p50, histogram_quantile(&world->worker.arena.header->counters, 50));
	assert_int_equal(
		status.late_p99, histogram_quantile(&world->worker.arena.header->counters, 99));
	free(late);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quantiles_are_near_exact_ones),
		cmocka_unit_test(test_quantile_of_one_value_is_that_value),
		TEST(test_status_has_the_lateness_of_wakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
