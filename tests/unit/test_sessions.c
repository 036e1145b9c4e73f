/* SPDX-License-Identifier: MIT */
/*
 * Sessions: what remains when a client disconnects, and that this takes one step for any number of
 * timers. Clocks: how timers follow a clock that is set or suspended, or that wakes the system.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

#define USER  1000
#define OTHER 1001

/* Pending cancelled events end with the session. */
static void test_disconnect_frees_untold_cancellations(void **state)
{
	struct world *world = *state;
	uint32_t owner = world_connect(world, USER), friend = world_connect(world, USER);

	for (int i = 0; i < 20; i++) {
		uint64_t id = world_timer(world, owner, 0, 10);

		if (i % 2)
			world_cancel(world, friend, id);
	}
	world_disconnect(world, owner);
	assert_int_equal(world_status(world, friend).timers, 0);
	for (int i = 0; i < 1000; i++)
		world_timer(world, friend, 0, 10);
	world_pass(world, 10);
	fixture_expect(world, 1000);
}

static void test_disconnect_drops_what_is_due(void **state)
{
	struct world *world = *state;
	uint32_t gone = world_connect(world, USER), stays = world_connect(world, USER);
	uint64_t id;

	world_timer(world, gone, 0, 10);
	id = world_timer(world, stays, 0, 10);
	world_pass(world, 10);
	worker_tick(&world->worker, &world->now); /* both are ready */
	world_disconnect(world, gone);
	fixture_expect(world, 1);
	assert_int_equal(world->events[0].wake.id, id);
}

/* How many nodes of the timers have changed. */
static uint32_t nodes_changed(const struct arena *arena, const struct rbnode *before)
{
	uint32_t changed = 0;

	for (uint32_t i = 1; i <= arena->header->timers_top; i++)
		changed += memcmp(&arena->nodes[i], &before[i], sizeof(before[i])) != 0;
	return changed;
}

#define HELD 100000

/* Closing changes only the root of each tree of timers. Then all slots are free. */
static void test_a_session_closes_in_one_step(void **state)
{
	struct limits limits = world_limits(HELD, 4);
	struct world *world = world_new(&limits);
	const struct arena *arena = &world->worker.arena;
	struct rbnode *before = calloc(HELD + 10, sizeof(*before));
	struct proto_register r = {.due = 5};
	uint32_t session = world_connect(world, USER);

	(void)state;
	assert_non_null(before);
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < HELD; i++) {
			r.due = UINT64_MAX - 1 - i * UINT32_C(2654435769) % HELD;
			r.clock = (uint8_t)(i % PROTO_CLOCKS);
			assert_int_equal(world_register(world, session, &r).status, PROTO_OK);
		}
		assert_int_equal(world_register(world, session, &r).status, PROTO_E_TIMERS_USER);
		r.clock = PROTO_CLOCKS;
		assert_int_equal(world_register(world, session, &r).status, PROTO_E_CLOCK);
		memcpy(before, arena->nodes, (arena->header->timers_top + 1) * sizeof(before[0]));
		world_disconnect(world, session);
		assert_true(nodes_changed(arena, before) <= ARENA_CLOCKS);
		session = world_connect(world, USER);
		assert_int_equal(world_status(world, session).timers, 0);
		for (uint32_t clock = 0; clock < ARENA_CLOCKS; clock++)
			assert_int_equal(worker_next(&world->worker, clock), TIMERS_FOREVER);
	}
	free(before);
	world_free(world);
}

static void test_realtime_timers_follow_a_set_wall_clock(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register hourly = {
		.due = 3600, .every = 3600, .flags = PROTO_RELATIVE, .clock = PROTO_CLOCK_REALTIME};
	uint64_t *wall = &world->now.at[PROTO_CLOCK_REALTIME];

	world_timer(world, session, PROTO_CLOCK_MONOTONIC, 3600);
	world_timer(world, session, PROTO_CLOCK_BOOTTIME, 3600);
	assert_int_equal(world_register(world, session, &hourly).status, PROTO_OK);
	*wall += 3600 * 5 + 7; /* forwards: one wake, with overruns for the missed periods */
	fixture_expect(world, 1);
	assert_int_equal(world->events[0].wake.overruns, 4);
	assert_int_equal(world->events[0].wake.late, 3600 * 4 + 7);
	*wall -= 3600 * 3; /* backwards: no wake comes twice */
	fixture_expect(world, 0);
	assert_int_equal(
		worker_next(&world->worker, PROTO_CLOCK_REALTIME), WORLD_REALTIME + 3600 * 6);
	*wall = WORLD_REALTIME + 3600 * 6;
	fixture_expect(world, 1);
	assert_int_equal(world->events[0].wake.overruns, 0);
	/* All this did not affect the other clocks. */
	world->now.at[PROTO_CLOCK_MONOTONIC] += 3600;
	world->now.at[PROTO_CLOCK_BOOTTIME] += 3600;
	fixture_expect(world, 2);
}

/* The timer was found due. Then the clock was set back before the wake was sent. */
static void test_a_clock_set_back_before_the_wake_puts_it_off(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	uint64_t *wall = &world->now.at[PROTO_CLOCK_REALTIME];

	world_timer(world, session, PROTO_CLOCK_REALTIME, 10);
	*wall += 10;
	assert_false(worker_tick(&world->worker, &world->now));
	assert_true(worker_busy(&world->worker));
	*wall -= 1;
	fixture_expect(world, 0);
	assert_int_equal(worker_next(&world->worker, PROTO_CLOCK_REALTIME), WORLD_REALTIME + 10);
	*wall += 1;
	fixture_expect(world, 1);
	assert_int_equal(world->events[0].wake.late, 0);
}

static void test_boottime_passes_in_suspend_and_monotonic_does_not(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	uint64_t monotonic = world_timer(world, session, PROTO_CLOCK_MONOTONIC, 100);
	uint64_t boottime = world_timer(world, session, PROTO_CLOCK_BOOTTIME, 100);

	world->now.at[PROTO_CLOCK_BOOTTIME] += 100;
	world->now.at[PROTO_CLOCK_REALTIME] += 100;
	fixture_expect(world, 1);
	assert_int_equal(world->events[0].wake.id, boottime);
	world_pass(world, 99);
	fixture_expect(world, 0);
	world_pass(world, 1);
	fixture_expect(world, 1);
	assert_int_equal(world->events[0].wake.id, monotonic);
}

static void test_alarm_clocks_have_deadlines_of_their_own(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = 10, .flags = PROTO_RELATIVE | PROTO_WAKE_SYSTEM};
	struct proto_listed listed;

	assert_int_equal(world_register(world, session, &r).status, PROTO_E_WAKE_CLOCK);
	for (r.clock = PROTO_CLOCK_BOOTTIME; r.clock <= PROTO_CLOCK_REALTIME; r.clock++) {
		unsigned int alarm = r.clock == PROTO_CLOCK_BOOTTIME ? CLOCK_OF_BOOTTIME_ALARM
								     : CLOCK_OF_REALTIME_ALARM;

		assert_int_equal(world_register(world, session, &r).status, PROTO_OK);
		assert_int_equal(worker_next(&world->worker, r.clock), TIMERS_FOREVER);
		assert_int_equal(worker_next(&world->worker, alarm), world->now.at[r.clock] + 10);
		assert_int_equal(world_list(world, session, 0, &listed, 1), 1);
		assert_int_equal(listed.clock, r.clock);
		assert_int_equal(listed.flags, PROTO_WAKE_SYSTEM);
		world_pass(world, 10);
		fixture_expect(world, 1);
	}
	world->worker.config.can_wake_system = false;
	r.clock = PROTO_CLOCK_BOOTTIME;
	assert_int_equal(world_register(world, session, &r).status, PROTO_E_WAKE_SYSTEM);
	r.flags = PROTO_RELATIVE;
	assert_int_equal(world_register(world, session, &r).status, PROTO_OK);
}

static void test_the_command_name_is_cut_to_its_room(void **state)
{
	static const char *const names[] = {"", "a", "fifteen-letters", "sixteen-letters-and-more"};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct peer peer = {.uid = USER, .pid = 77, .comm = names[i]};
		char wanted[PROTO_COMM_MAX] = {0};
		struct proto_listed listed;
		uint32_t session;

		assert_int_equal(
			worker_connect(&world->worker, &peer, &world->now, &session), PROTO_OK);
		world->clients[session] = (struct world_client){0};
		world_hello(world, session);
		world_timer(world, session, 0, 10);
		assert_int_equal(world_list(world, session, 0, &listed, 1), 1);
		memcpy(wanted, names[i],
			strlen(names[i]) < sizeof(wanted) ? strlen(names[i]) : sizeof(wanted));
		assert_memory_equal(listed.comm, wanted, sizeof(wanted));
		assert_int_equal(listed.pid, 77);
		world_disconnect(world, session);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_disconnect_frees_untold_cancellations),
		TEST(test_disconnect_drops_what_is_due),
		cmocka_unit_test(test_a_session_closes_in_one_step),
		TEST(test_realtime_timers_follow_a_set_wall_clock),
		TEST(test_a_clock_set_back_before_the_wake_puts_it_off),
		TEST(test_boottime_passes_in_suspend_and_monotonic_does_not),
		TEST(test_alarm_clocks_have_deadlines_of_their_own),
		TEST(test_the_command_name_is_cut_to_its_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
