/* SPDX-License-Identifier: MIT */
/*
 * What the lateness figures of the status count. No client changes them by a due in the past, a
 * slack, a set clock, or by not reading. The field `late` of a wake is still sent - due.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "world.h"

#define USER 1000
#define YEAR UINT64_C(31557600000000)

static int setup(void **state)
{
	struct limits limits = world_limits(100, 10);

	*state = world_new(&limits);
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

static uint64_t late_max(struct world *world)
{
	return world->worker.arena.header->counters.late_max;
}

/* Sends all that is due. Return: the greatest lateness in the status. */
static void expect_late(struct world *world, uint64_t late)
{
	world->worker.arena.header->counters.late_max = 0;
	world_turn(world);
	assert_true(world->n_events > 0);
	world_forget(world);
	assert_int_equal(late_max(world), late);
}

static void set_wall(struct world *world, int64_t by)
{
	world->now.at[PROTO_CLOCK_REALTIME] += (uint64_t)by;
}

static void suspend(struct world *world, uint64_t span)
{
	world->now.at[PROTO_CLOCK_BOOTTIME] += span;
	world->now.at[PROTO_CLOCK_REALTIME] += span;
}

static void adopt(struct world *world)
{
	struct worker_config config = world->worker.config;

	assert_true(worker_adopt(&world->worker, world->block, &config, &world->now));
	for (uint32_t i = 2; i <= world->worker.arena.header->sessions_top; i++) {
		if (world->worker.arena.sessions[i].state == SESSION_FREE)
			continue;
		world->clients[i].blocked = false;
		worker_resume(&world->worker, i);
	}
}

static uint64_t absolute(
	struct world *world, uint32_t session, uint8_t clock, uint64_t due, uint64_t slack)
{
	struct proto_register r = {.clock = clock, .due = due, .slack = slack};
	struct proto_registered answer = world_register(world, session, &r);

	assert_int_equal(answer.status, PROTO_OK);
	return answer.id;
}

static void test_a_due_in_the_past_is_not_late(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);

	for (uint8_t clock = 0; clock < PROTO_CLOCKS; clock++) {
		absolute(world, session, clock, 86400, 100);
		world_pass(world, 7);
		world->worker.arena.header->counters.late_max = 0;
		world_turn(world);
		assert_int_equal(world->n_events, 1);
		assert_int_equal(
			world->events[0].wake.late, world->now.at[clock] - 86400); /* on the wire */
		assert_int_equal(late_max(world), 7);
		world_forget(world);
	}
	/* The due has passed, the slack has not. */
	absolute(world, session, 0, WORLD_MONOTONIC, world->now.at[0] - WORLD_MONOTONIC + 20);
	world_pass(world, 15);
	expect_late(world, 0);
}

static void test_slack_is_not_lateness(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);

	for (uint8_t clock = 0; clock < PROTO_CLOCKS; clock++) {
		absolute(world, session, clock, world->now.at[clock] + 100, 1000);
		world_pass(world, 1100);
		expect_late(world, 0);
		absolute(world, session, clock, world->now.at[clock] + 100, 1000);
		world_pass(world, 1150);
		expect_late(world, 50);
		absolute(world, session, clock, world->now.at[clock] + 100, PROTO_FOREVER);
		world_pass(world, YEAR);
		expect_late(world, 0);
	}
}

static void test_a_set_wall_clock_is_not_lateness(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	uint64_t start = world->now.at[PROTO_CLOCK_REALTIME];

	absolute(world, session, PROTO_CLOCK_REALTIME, start + 1000, 0);
	world_turn(world);
	set_wall(world, (int64_t)YEAR);
	expect_late(world, 0);

	/* The timer was due before the clock was set. */
	absolute(world, session, PROTO_CLOCK_REALTIME, start + YEAR + 40, 0);
	world_pass(world, 100);
	set_wall(world, (int64_t)YEAR);
	expect_late(world, 60);

	/* The timer is found due; then the clock is set back, so the timer must wait again. */
	absolute(world, session, PROTO_CLOCK_REALTIME, start + 2 * YEAR + 200, 0);
	world_pass(world, 1000);
	set_wall(world, -(int64_t)YEAR);
	world_turn(world);
	assert_int_equal(world->n_events, 0);
	world_pass(world, YEAR);
	expect_late(world, 900);

	/* Set twice before the wake is sent. */
	absolute(world, session, PROTO_CLOCK_REALTIME, world->now.at[PROTO_CLOCK_REALTIME] + 10, 0);
	for (int i = 0; i < 3; i++) {
		world_pass(world, 20);
		set_wall(world, (int64_t)YEAR);
		worker_tick(&world->worker, &world->now);
	}
	world_pass(world, 5);
	expect_late(world, 25);

	/* The other clocks do not matter, and no instant is before 1970. */
	absolute(world, session, PROTO_CLOCK_BOOTTIME, world->now.at[PROTO_CLOCK_BOOTTIME] + 10, 0);
	world_pass(world, 30);
	world->now.at[PROTO_CLOCK_REALTIME] = 0;
	expect_late(world, 20);
	absolute(world, session, PROTO_CLOCK_REALTIME, 10, 0);
	world_pass(world, 30);
	expect_late(world, 20);
}

static void test_suspend_is_not_lateness(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {
		.clock = PROTO_CLOCK_BOOTTIME,
		.due = 1000,
		.flags = PROTO_RELATIVE | PROTO_WAKE_SYSTEM,
	};

	world_turn(world);
	for (uint8_t clock = PROTO_CLOCK_BOOTTIME; clock <= PROTO_CLOCK_REALTIME; clock++) {
		absolute(world, session, clock, world->now.at[clock] + 1000, 0);
		suspend(world, YEAR);
		worker_tick(&world->worker, &world->now);
		world_pass(world, 30);
		expect_late(world, 30);
	}
	/* This timer should have ended the suspend. */
	for (r.clock = PROTO_CLOCK_BOOTTIME; r.clock <= PROTO_CLOCK_REALTIME; r.clock++) {
		world_register(world, session, &r);
		suspend(world, 5000000);
		expect_late(world, 4999000);
	}
}

static void test_waiting_for_a_client_to_read_is_not_lateness(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = 1000, .every = 1000, .flags = PROTO_RELATIVE};

	world_register(world, session, &r);
	world->clients[session].stalled = true;
	world_pass(world, 1000);
	expect_late(world, 0);
	/* The second wake waits until the client has read the first one. */
	world_pass(world, 1000000);
	world_turn(world);
	assert_true(world->clients[session].blocked);
	world_pass(world, 1000000);
	world_read(world, session);
	world_pass(world, 40);
	expect_late(world, 40);
	world_read(world, session);
	/* Later wakes count as usual. */
	world->clients[session].stalled = false;
	world_pass(world, 1000);
	expect_late(world, 40);
}

/* A request for a past due excuses no other timer of the session. */
static void test_a_due_in_the_past_excuses_no_other_timer(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = 1, .every = 1000};

	world_timer(world, session, 0, 100);
	world_pass(world, 150);
	absolute(world, session, 0, 1, 0);
	expect_late(world, 50);
	/* It does not excuse its own later wakes either. */
	world_register(world, session, &r);
	world_pass(world, 5);
	expect_late(world, 5);
	world_pass(world, 1000);
	absolute(world, session, 0, 1, 0);
	expect_late(world, (world->now.at[0] - 1) % 1000);
}

static void test_a_rearming_starts_anew(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_rearm r = {
		.id = absolute(world, session, PROTO_CLOCK_REALTIME, 2 * WORLD_REALTIME, 0),
		.due = 86400000,
	};

	world_pass(world, 300);
	assert_int_equal(world_rearm(world, session, &r).status, PROTO_OK);
	world_pass(world, 8);
	expect_late(world, 8);
}

/* No daemon was there to send the wake. */
static void test_a_restart_is_lateness(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);

	world_timer(world, session, PROTO_CLOCK_BOOTTIME, 1000);
	world_pass(world, 50000);
	adopt(world);
	expect_late(world, 49000);
}

static void test_excuses_survive_a_restart(void **state)
{
	struct world *world = *state;
	uint32_t past = world_connect(world, USER), stalled = world_connect(world, USER);
	struct proto_register r = {.due = 1000, .every = 1000, .flags = PROTO_RELATIVE};

	world_register(world, stalled, &r);
	world->clients[stalled].stalled = true;
	world_pass(world, 1000);
	world_turn(world);
	world_pass(world, 1000);
	world_turn(world);
	assert_true(world->clients[stalled].blocked);
	world_forget(world);
	world_pass(world, YEAR);
	absolute(world, past, PROTO_CLOCK_REALTIME, 86400, 0);
	absolute(world, past, PROTO_CLOCK_REALTIME, 2 * WORLD_REALTIME, 0);
	world_pass(world, 90);
	set_wall(world, (int64_t)WORLD_REALTIME);
	adopt(world);
	world->clients[stalled].unread = 0;
	world->clients[stalled].stalled = false;
	world_pass(world, 10);
	/* The resumed event comes first. */
	world->worker.arena.header->counters.late_max = 0;
	world_turn(world);
	assert_int_equal(world->n_events, 2 + 3);
	assert_int_equal(late_max(world), 100);
}

/* A packet that re-armed a late timer is taken back. The timer is still late. */
static void test_a_rearming_that_is_taken_back_changes_nothing(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_rearm r = {
		.id = absolute(world, session, 0, 5, 0),
		.due = 2 * WORLD_MONOTONIC,
	};

	assert_int_equal(world_rearm(world, session, &r).status, PROTO_OK);
	world->worker.arena.sessions[session].serial--;
	world->worker.arena.header->applying.session = session;
	adopt(world);
	world_pass(world, 12);
	world->worker.arena.header->counters.late_max = 0;
	world_turn(world);
	assert_int_equal(world->n_events, 2);
	assert_int_equal(world->events[1].wake.due, 5);
	assert_int_equal(late_max(world), 12);
}

/* An arena of an older layout has no stamps after its conversion. */
static void test_an_arena_without_stamps_counts_lateness_after_a_restart(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct arena *arena = &world->worker.arena;

	for (uint8_t clock = 0; clock < PROTO_CLOCKS; clock++)
		absolute(world, session, clock, 10, 0);
	memset(arena->sessions[session].reads_from, 0, sizeof(arena->sessions[0].reads_from));
	memset(arena->sessions[session].past_at, 0, sizeof(arena->sessions[0].past_at));
	memset(arena->header->jumps, 0, sizeof(arena->header->jumps));
	adopt(world);
	world_pass(world, 12);
	world->worker.arena.header->counters.late_max = 0;
	world_turn(world);
	assert_int_equal(world->n_events, 4);
	assert_int_equal(late_max(world), 12);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_due_in_the_past_is_not_late),
		TEST(test_slack_is_not_lateness),
		TEST(test_a_set_wall_clock_is_not_lateness),
		TEST(test_suspend_is_not_lateness),
		TEST(test_waiting_for_a_client_to_read_is_not_lateness),
		TEST(test_a_due_in_the_past_excuses_no_other_timer),
		TEST(test_a_rearming_starts_anew),
		TEST(test_a_restart_is_lateness),
		TEST(test_excuses_survive_a_restart),
		TEST(test_a_rearming_that_is_taken_back_changes_nothing),
		TEST(test_an_arena_without_stamps_counts_lateness_after_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
