/* SPDX-License-Identifier: MIT */
/*
 * The daemon's internal timers: they fire once however late they are, they have slots that clients
 * cannot take, and many of them are cut into slices.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

#define USER 1000

/* More timers are due than one slice fires, so the loop turns in between. */
static void test_many_internal_timers_are_cut_into_slices(void **state)
{
	struct limits limits = world_limits(1, 3000);
	struct world *world = world_new(&limits);
	unsigned int turns = 0;

	(void)state;
	for (int i = 0; i < 2500; i++)
		worker_start_internal(&world->worker, WORKER_FDSTORE, 1000, 0, &world->now);
	world_pass(world, 1000);
	do {
		assert_false(worker_tick(&world->worker, &world->now));
		assert_int_equal(world_serve(world).session, 0);
		turns++;
	} while (worker_busy(&world->worker));
	assert_int_equal(turns, 3);
	assert_int_equal(worker_take_internal(&world->worker), WORKER_FDSTORE);
	world_free(world);
}

static void test_internal_timers_fire_once_however_late(void **state)
{
	struct world *world = *state;
	struct worker *w = &world->worker;
	uint64_t *now = &world->now.at[0];

	assert_int_equal(worker_take_internal(w), 0);
	worker_start_internal(w, WORKER_WATCHDOG, 1000, 1000, &world->now);
	worker_start_internal(w, WORKER_FDSTORE, 1800, 0, &world->now);
	for (uint64_t n = 1; n <= 5; n++) {
		/* A quarter of the period is slack. The next due is a whole period after the last
		 * one, however late the timer fired. */
		assert_int_equal(worker_next(w, 0), WORLD_MONOTONIC + n * 1000 + 250);
		*now = WORLD_MONOTONIC + n * 1000 - 1;
		world_turn(world);
		assert_int_equal(worker_take_internal(w), n == 2 ? WORKER_FDSTORE : 0);
		*now += 1 + 50 * n;
		world_turn(world);
		assert_int_equal(worker_take_internal(w), WORKER_WATCHDOG);
		assert_int_equal(worker_take_internal(w), 0);
	}
	/* After many missed periods it fires once. */
	*now += 100000;
	world_turn(world);
	assert_int_equal(worker_take_internal(w), WORKER_WATCHDOG);
	world_turn(world);
	assert_int_equal(worker_take_internal(w), 0);
	assert_int_equal(world->n_events, 0);
}

/* Their slots are additional to the limit of timers. */
static void test_internal_timers_have_slots_that_clients_cannot_take(void **state)
{
	struct limits limits = world_limits(10, 4);
	struct world *world = world_new(&limits);
	uint32_t session = world_connect(world, USER), late;

	(void)state;
	for (int i = 0; i < 10; i++)
		world_timer(world, session, 0, 1000000000);
	worker_start_internal(&world->worker, WORKER_WATCHDOG, 1000, 1000, &world->now);
	worker_start_internal(&world->worker, WORKER_FDSTORE, 1000, 0, &world->now);
	for (int i = 0; i < 3; i++)
		assert_int_equal(world_try_connect(world, USER, &late), PROTO_OK);
	world_pass(world, PROTO_HELLO_TIMEOUT_US);
	world_turn(world);
	assert_int_equal(world->n_events, 3);
	assert_int_equal(worker_take_internal(&world->worker), WORKER_WATCHDOG | WORKER_FDSTORE);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_internal_timers_are_cut_into_slices),
		TEST(test_internal_timers_fire_once_however_late),
		cmocka_unit_test(test_internal_timers_have_slots_that_clients_cannot_take),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
