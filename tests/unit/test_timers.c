/* SPDX-License-Identifier: MIT */
/*
 * Each rule of the protocol about times, periods, counts and slack, in a test of its name: what is
 * accepted, when it wakes, the fields of the wake, and the timer's next state. test_model.c covers
 * far more cases; this file states the expected results.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fixture.h"

#define USER	  1000
#define YEAR_2200 UINT64_C(7258118400000000)
#define LATEST	  (UINT64_MAX - 1) /* the last instant */
#define HALF	  (UINT64_C(1) << 63)

static void refuse(struct world *world, uint32_t session, const struct proto_register *r,
	enum proto_status status)
{
	struct proto_registered registered = world_register(world, session, r);

	assert_int_equal(registered.status, status);
	assert_int_equal(registered.id, 0);
	assert_int_equal(registered.due, 0);
	assert_int_equal(world_status(world, session).timers, 0);
}

static void test_due_in_the_past_fires_at_once(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);

	for (uint8_t clock = 0; clock < PROTO_CLOCKS; clock++) {
		struct proto_register r = {.due = world->now.at[clock] - 5, .clock = clock};
		uint64_t id = fixture_accept(world, session, &r).id;

		assert_true(worker_next(&world->worker, clock) <= world->now.at[clock]);
		fixture_expect(world, 1);
		fixture_expect_wake(world, 0, id, 1, true);
		assert_int_equal(world->events[0].wake.due, r.due);
		assert_int_equal(world->events[0].wake.late, 5);
		assert_int_equal(world_cancel(world, session, id), PROTO_E_NO_SUCH_TIMER);
	}
}

static void test_due_zero_fires_at_once(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);

	for (uint8_t clock = 0; clock < PROTO_CLOCKS; clock++) {
		struct proto_register r = {.clock = clock};
		uint64_t id = fixture_accept(world, session, &r).id;

		fixture_expect(world, 1);
		fixture_expect_wake(world, 0, id, 1, true);
		assert_int_equal(world->events[0].wake.due, 0);
		assert_int_equal(world->events[0].wake.late, world->now.at[clock]);
		r.flags = PROTO_RELATIVE;
		assert_int_equal(fixture_accept(world, session, &r).due, world->now.at[clock]);
		fixture_expect(world, 1);
		assert_int_equal(world->events[0].wake.late, 0);
	}
}

static void test_due_in_the_past_with_a_period_counts_what_it_missed(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = WORLD_MONOTONIC - 35, .every = 10};
	uint64_t id = fixture_accept(world, session, &r).id;

	fixture_expect(world, 1);
	fixture_expect_wake(world, 0, id, 1, false);
	assert_int_equal(world->events[0].wake.overruns, 3);
	assert_int_equal(worker_next(&world->worker, PROTO_CLOCK_MONOTONIC), WORLD_MONOTONIC + 5);
}

static void test_a_due_in_the_year_2200_is_kept(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = YEAR_2200, .clock = PROTO_CLOCK_REALTIME};
	uint64_t id = fixture_accept(world, session, &r).id;

	assert_int_equal(worker_next(&world->worker, PROTO_CLOCK_REALTIME), YEAR_2200);
	fixture_expect(world, 0);
	world->now.at[PROTO_CLOCK_REALTIME] = YEAR_2200 - 1;
	fixture_expect(world, 0);
	world->now.at[PROTO_CLOCK_REALTIME] = YEAR_2200;
	fixture_expect(world, 1);
	fixture_expect_wake(world, 0, id, 1, true);
	assert_int_equal(world->events[0].wake.late, 0);
}

static void test_a_due_at_the_last_instant_is_kept(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = LATEST, .clock = PROTO_CLOCK_REALTIME, .every = 1};
	uint64_t id = fixture_accept(world, session, &r).id;

	assert_int_equal(worker_next(&world->worker, PROTO_CLOCK_REALTIME), LATEST);
	world->now.at[PROTO_CLOCK_REALTIME] = UINT64_MAX;
	fixture_expect(world, 1);
	fixture_expect_wake(world, 0, id, 1, true);
	assert_int_equal(world->events[0].wake.overruns, 1);
}

static void test_due_forever_is_refused(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = PROTO_FOREVER};

	for (r.clock = 0; r.clock < PROTO_CLOCKS; r.clock++)
		for (r.flags = 0; r.flags <= PROTO_RELATIVE; r.flags++)
			refuse(world, session, &r, PROTO_E_RANGE);
}

static void test_relative_due_past_the_end_is_refused(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);

	for (uint8_t clock = 0; clock < PROTO_CLOCKS; clock++) {
		struct proto_register r = {.clock = clock, .flags = PROTO_RELATIVE};
		uint64_t room = UINT64_MAX - world->now.at[clock], id;

		r.due = room + 1; /* wraps around to 0 */
		refuse(world, session, &r, PROTO_E_RANGE);
		r.due = room; /* is FOREVER */
		refuse(world, session, &r, PROTO_E_RANGE);
		r.due = room - 1;
		id = fixture_accept(world, session, &r).id;
		assert_int_equal(worker_next(&world->worker, clock), LATEST);
		assert_int_equal(world_cancel(world, session, id), PROTO_OK);
	}
}

static void test_no_period_means_one_wake(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);

	for (uint32_t count = 0; count <= 1; count++) {
		struct proto_register r = {.due = 10, .flags = PROTO_RELATIVE, .count = count};
		uint64_t id = fixture_accept(world, session, &r).id;

		world_pass(world, 100);
		fixture_expect(world, 1);
		fixture_expect_wake(world, 0, id, 1, true);
		assert_int_equal(world->events[0].wake.overruns, 0);
		world_pass(world, 1000);
		fixture_expect(world, 0);
	}
}

static void test_count_without_period_is_refused(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = 10, .count = 2};

	refuse(world, session, &r, PROTO_E_COUNT);
	r.count = UINT32_MAX;
	refuse(world, session, &r, PROTO_E_COUNT);
}

static void test_a_series_ends_after_its_count_of_wakes(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);

	for (uint32_t count = 1; count <= 4; count++) {
		struct proto_register r = {
			.due = 10, .flags = PROTO_RELATIVE, .every = 10, .count = count};
		uint64_t id = fixture_accept(world, session, &r).id;

		for (uint32_t number = 1; number <= count; number++) {
			world_pass(world, 10);
			fixture_expect(world, 1);
			fixture_expect_wake(world, 0, id, number, number == count);
		}
		world_pass(world, 100);
		fixture_expect(world, 0);
		assert_int_equal(world_status(world, session).timers, 0);
	}
}

/* A wake that covers several periods counts as one. */
static void test_count_is_of_wakes_not_of_periods(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = 10, .flags = PROTO_RELATIVE, .every = 10, .count = 2};
	uint64_t id = fixture_accept(world, session, &r).id;

	world_pass(world, 75);
	fixture_expect(world, 1);
	fixture_expect_wake(world, 0, id, 1, false);
	assert_int_equal(world->events[0].wake.overruns, 6);
	world_pass(world, 5);
	fixture_expect(world, 1);
	fixture_expect_wake(world, 0, id, 2, true);
}

static void test_period_without_count_has_no_end(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = 1, .flags = PROTO_RELATIVE, .every = 1};
	uint64_t id = fixture_accept(world, session, &r).id;

	for (uint32_t number = 1; number <= 2000; number++) {
		world_pass(world, 1);
		fixture_expect(world, 1);
		fixture_expect_wake(world, 0, id, number, false);
	}
}

/* A late wake does not move the next ones: the n-th is due at first + n periods. */
static void test_period_does_not_drift(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = WORLD_MONOTONIC + 100, .every = 100, .slack = 30};
	uint64_t periods = 0;

	fixture_accept(world, session, &r);
	for (uint64_t late = 0; late < 1000; late += 7) {
		uint64_t due = r.due + periods * r.every;

		assert_int_equal(worker_next(&world->worker, PROTO_CLOCK_MONOTONIC), due + 30);
		world->now.at[PROTO_CLOCK_MONOTONIC] = due + late;
		fixture_expect(world, 1);
		assert_int_equal(world->events[0].wake.due, due);
		assert_int_equal(world->events[0].wake.late, late);
		assert_int_equal(world->events[0].wake.overruns, late / 100);
		periods += 1 + late / 100;
	}
}

static void test_slack_over_half_the_range_is_kept(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = WORLD_MONOTONIC + 10, .slack = HALF + 5};
	uint64_t id = fixture_accept(world, session, &r).id;

	assert_int_equal(worker_next(&world->worker, 0), r.due + r.slack);
	assert_false(world_sleep(world, WORLD_MONOTONIC + 1000));
	/* A timer with slack fires when another timer has woken the daemon. */
	fixture_expect(world, 1);
	fixture_expect_wake(world, 0, id, 1, true);
}

static void test_slack_past_the_end_never_rings(void **state)
{
	static const uint64_t past[] = {0, 1, 1000};
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = WORLD_MONOTONIC + 10};
	struct proto_listed listed;
	uint64_t id;

	r.slack = LATEST - r.due;
	id = fixture_accept(world, session, &r).id;
	assert_int_equal(worker_next(&world->worker, 0), LATEST);
	world_cancel(world, session, id);
	for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
		r.slack = UINT64_MAX - r.due + past[i];
		r.due = world->now.at[PROTO_CLOCK_MONOTONIC] + 10;
		id = fixture_accept(world, session, &r).id;
		assert_int_equal(worker_next(&world->worker, 0), TIMERS_FOREVER);
		assert_int_equal(world_status(world, session).next, PROTO_FOREVER);
		assert_int_equal(world_list(world, session, 0, &listed, 1), 1);
		assert_int_equal(listed.slack, PROTO_FOREVER);
		world_pass(world, 9);
		fixture_expect(world, 0);
		world_pass(world, 1);
		fixture_expect(world, 1);
		fixture_expect_wake(world, 0, id, 1, true);
	}
}

static void test_slack_past_the_end_with_a_period_still_fires(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = 10, .slack = UINT64_MAX, .every = 10, .count = 3};

	r.flags = PROTO_RELATIVE;
	fixture_accept(world, session, &r);
	for (uint32_t number = 1; number <= 3; number++) {
		assert_int_equal(worker_next(&world->worker, 0), TIMERS_FOREVER);
		world_pass(world, 10);
		fixture_expect(world, 1);
	}
	fixture_expect(world, 0);
}

static void test_next_due_past_the_end_ends_the_series(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = WORLD_MONOTONIC};
	uint64_t id;

	/* Wraps around, is FOREVER, is the last instant. */
	r.every = UINT64_MAX;
	id = fixture_accept(world, session, &r).id;
	fixture_expect(world, 1);
	fixture_expect_wake(world, 0, id, 1, true);
	r.every = UINT64_MAX - r.due;
	id = fixture_accept(world, session, &r).id;
	fixture_expect(world, 1);
	fixture_expect_wake(world, 0, id, 1, true);
	r.every = LATEST - r.due;
	id = fixture_accept(world, session, &r).id;
	fixture_expect(world, 1);
	fixture_expect_wake(world, 0, id, 1, false);
	assert_int_equal(worker_next(&world->worker, 0), LATEST);
}

/* More timers of the same due than one packet holds. */
static void test_equal_dues_fire_in_order_of_registration(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER), n = 3 * PROTO_RECORDS_MAX(struct proto_wake);
	struct proto_register r = {.due = WORLD_MONOTONIC + 10};

	for (r.cookie = 0; r.cookie < n; r.cookie++)
		fixture_accept(world, session, &r);
	world_pass(world, 10);
	fixture_expect(world, n);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(world->events[i].wake.cookie, i);
}

static void test_periodic_meets_equal_dues_in_order_of_registration(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register at_20 = {.due = WORLD_MONOTONIC + 20};
	struct proto_register every_10 = {.due = WORLD_MONOTONIC + 10, .every = 10};
	uint64_t ids[4];

	ids[0] = fixture_accept(world, session, &at_20).id;
	ids[1] = fixture_accept(world, session, &every_10).id;
	ids[2] = fixture_accept(world, session, &at_20).id;
	world_pass(world, 10);
	fixture_expect(world, 1);
	/* It is registered while the periodic one waits for the same due. */
	ids[3] = fixture_accept(world, session, &at_20).id;
	world_pass(world, 10);
	fixture_expect(world, 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(world->events[i].wake.id, ids[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_due_in_the_past_fires_at_once),
		TEST(test_due_zero_fires_at_once),
		TEST(test_due_in_the_past_with_a_period_counts_what_it_missed),
		TEST(test_a_due_in_the_year_2200_is_kept),
		TEST(test_a_due_at_the_last_instant_is_kept),
		TEST(test_due_forever_is_refused),
		TEST(test_relative_due_past_the_end_is_refused),
		TEST(test_no_period_means_one_wake),
		TEST(test_count_without_period_is_refused),
		TEST(test_a_series_ends_after_its_count_of_wakes),
		TEST(test_count_is_of_wakes_not_of_periods),
		TEST(test_period_without_count_has_no_end),
		TEST(test_period_does_not_drift),
		TEST(test_slack_over_half_the_range_is_kept),
		TEST(test_slack_past_the_end_never_rings),
		TEST(test_slack_past_the_end_with_a_period_still_fires),
		TEST(test_next_due_past_the_end_ends_the_series),
		TEST(test_equal_dues_fire_in_order_of_registration),
		TEST(test_periodic_meets_equal_dues_in_order_of_registration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
