/* SPDX-License-Identifier: MIT */
/*
 * Whose timer it is: ids that are stale, foreign or made up, cancelling across sessions and
 * against a wake that is on its way, clients that do not read or have gone; and the clocks: set,
 * suspended, and those that wake the system.
 *
 * A cancel cannot come between wakes_write() and wakes_sent(): one thread owns a worker,
 * and nothing may happen to it in between. What can be is that the packet was not sent; then the
 * timers in it are as if they had never been looked at, and the cancel wins.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wakes.h"
#include "world.h"

#define USER  1000
#define OTHER 1001

static int setup(void **state)
{
	struct limits limits = world_limits(1000, 32);

	*state = world_new(&limits);
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

static void expect(struct world *world, size_t events)
{
	world_forget(world);
	world_turn(world);
	assert_int_equal(world->n_events, events);
}

static enum proto_status rearm(struct world *world, uint32_t session, uint64_t id)
{
	struct proto_rearm r = {.id = id, .due = 10, .flags = PROTO_RELATIVE};

	return world_rearm(world, session, &r).status;
}

/* Neither request hits anything. */
static void expect_none(struct world *world, uint32_t session, uint64_t id)
{
	assert_int_equal(world_cancel(world, session, id), PROTO_E_NO_SUCH_TIMER);
	assert_int_equal(rearm(world, session, id), PROTO_E_NO_SUCH_TIMER);
}

static void test_stale_ids_of_reused_places(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, 0);
	uint64_t old[300], id;

	for (int i = 0; i < 300; i++) {
		old[i] = world_timer(world, session, 0, 10);
		if (i % 2) {
			assert_int_equal(world_cancel(world, session, old[i]), PROTO_OK);
		} else {
			world_pass(world, 10);
			expect(world, 1);
		}
	}
	id = world_timer(world, session, 0, 10);
	for (int i = 0; i < 300; i++) {
		/* It was always the same place, which is what this is about. */
		assert_int_equal(old[i] & ARENA_TIMERS_MAX, id & ARENA_TIMERS_MAX);
		expect_none(world, session, old[i]);
	}
	world_pass(world, 10);
	expect(world, 1);
	assert_int_equal(world->events[0].wake.id, id);
}

static void test_stale_ids_of_closed_sessions(void **state)
{
	struct world *world = *state;
	uint32_t root = world_connect(world, 0), session, next;
	uint64_t old[50];

	session = world_connect(world, USER);
	for (int i = 0; i < 50; i++)
		old[i] = world_timer(world, session, (uint8_t)(i % PROTO_CLOCKS), 10);
	world_disconnect(world, session);
	for (int i = 0; i < 50; i++)
		expect_none(world, root, old[i]);
	/* The very same session again, and then its places. */
	next = world_connect(world, USER);
	assert_int_equal(next, session);
	for (int i = 0; i < 50; i++)
		expect_none(world, next, old[i]);
	for (int i = 0; i < 50; i++)
		world_timer(world, next, 0, 10);
	for (int i = 0; i < 50; i++) {
		expect_none(world, next, old[i]);
		expect_none(world, root, old[i]);
	}
	world_pass(world, 10);
	expect(world, 50);
	assert_int_equal(world_status(world, root).cancelled, 0);
}

static void test_ids_that_never_were(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, 0);
	uint64_t id = world_timer(world, session, 0, 10);

	for (unsigned int bit = 0; bit < 64; bit++) {
		expect_none(world, session, UINT64_C(1) << bit);
		expect_none(world, session, id ^ UINT64_C(1) << bit);
		expect_none(world, session, ~(UINT64_C(1) << bit));
	}
	expect_none(world, session, 0);
	expect_none(world, session, UINT64_MAX);
	for (uint64_t index = 0; index < 2000; index++)
		expect_none(world, session, index);
	world_pass(world, 10);
	expect(world, 1);
}

/* Not even root can name them. */
static void test_the_daemons_own_timers_are_nobodys(void **state)
{
	struct world *world = *state;
	struct arena *arena = &world->worker.arena;
	uint32_t root = world_connect(world, 0), late;
	struct proto_listed listed[4];
	uint64_t hello;

	assert_int_equal(world_try_connect(world, USER, &late), PROTO_OK);
	worker_start_chore(&world->worker, WORKER_WATCHDOG, 10, 10, &world->now);
	hello = timers_id(arena, arena->sessions[late].hello_timer);
	assert_int_equal(world_list(world, root, PROTO_LIST_ALL, listed, 4), 0);
	assert_int_equal(world_status(world, root).timers, 0);
	for (uint64_t index = 1; index <= arena->header->timers_top; index++)
		expect_none(world, root, timers_id(arena, (uint32_t)index));
	expect_none(world, root, hello);
}

static void test_who_may_cancel(void **state)
{
	struct world *world = *state;
	uint32_t owner = world_connect(world, USER), friend = world_connect(world, USER);
	uint32_t other = world_connect(world, OTHER), root = world_connect(world, 0);
	uint64_t id = world_timer(world, owner, 0, 10);

	assert_int_equal(world_cancel(world, other, id), PROTO_E_NO_SUCH_TIMER);
	assert_int_equal(world_cancel(world, owner, id), PROTO_OK);
	expect(world, 0); /* one's own cancel is told by its answer alone */
	id = world_timer(world, owner, 0, 10);
	assert_int_equal(world_cancel(world, friend, id), PROTO_OK);
	expect(world, 1);
	id = world_timer(world, owner, 0, 10);
	assert_int_equal(world_cancel(world, root, id), PROTO_OK);
	expect(world, 1);
	assert_int_equal(world->events[0].session, owner);
	assert_int_equal(world->events[0].opcode, PROTO_CANCELLED);
	assert_int_equal(world->events[0].cancelled.id, id);
	assert_int_equal(world_status(world, root).cancelled, 3);
	world_pass(world, 100);
	expect(world, 0);
}

static void test_who_may_rearm(void **state)
{
	struct world *world = *state;
	uint32_t owner = world_connect(world, USER), friend = world_connect(world, USER);
	uint32_t other = world_connect(world, OTHER), root = world_connect(world, 0);
	uint64_t id = world_timer(world, owner, 0, 20);

	assert_int_equal(rearm(world, other, id), PROTO_E_NO_SUCH_TIMER);
	assert_int_equal(rearm(world, friend, id), PROTO_E_NO_SUCH_TIMER);
	assert_int_equal(rearm(world, root, id), PROTO_E_NO_SUCH_TIMER);
	world_pass(world, 10);
	expect(world, 0);
	assert_int_equal(rearm(world, owner, id), PROTO_OK);
	world_pass(world, 9);
	expect(world, 0);
	world_pass(world, 1);
	expect(world, 1);
}

static void test_twice_in_one_packet(void **state)
{
	struct world *world = *state;
	uint32_t owner = world_connect(world, USER), friend = world_connect(world, USER);
	uint64_t id = world_timer(world, owner, 0, 10);
	struct proto_cancel twice[2] = {{id}, {id}};
	struct proto_cancel_answer answers[2];

	world_request(world, friend, PROTO_CANCEL, twice, 2, 0);
	world_answer(world, 0, &answers[0]);
	world_answer(world, 1, &answers[1]);
	assert_int_equal(answers[0].status, PROTO_OK);
	assert_int_equal(answers[1].status, PROTO_E_NO_SUCH_TIMER);
	expect_none(world, owner, id); /* gone, though it has not been told yet */
	expect(world, 1);
	expect_none(world, owner, id);
}

#define MANY 45 /* more than are fetched at once */

/* The first of two sessions' timers go, by a packet of one of them; then the alarm is for what is
 * left. */
static void test_a_packet_of_many(void **state)
{
	struct limits limits = world_limits(4 * MANY, 4);
	struct world *world = world_new(&limits);
	uint32_t sessions[2] = {world_connect(world, USER), world_connect(world, USER)};
	struct proto_cancel cancels[2 * MANY];
	uint64_t first;

	(void)state;
	first = world->now.at[PROTO_CLOCK_MONOTONIC] + 10 + MANY;
	for (unsigned int i = 0; i < 4 * MANY; i++) {
		uint64_t id = world_timer(world, sessions[i % 2], 0, 10 + i / 2);

		if (i < 2 * MANY)
			cancels[i].id = id;
	}
	world_request(world, sessions[1], PROTO_CANCEL, cancels, 2 * MANY, 0);
	for (uint32_t i = 0; i < 2 * MANY; i++) {
		struct proto_cancel_answer answer;

		world_answer(world, i, &answer);
		assert_int_equal(answer.status, PROTO_OK);
		assert_int_equal(answer.id, cancels[i].id);
	}
	world_serve(world);
	assert_int_equal(worker_next(&world->worker, CLOCK_OF_MONOTONIC), first);
	assert_int_equal(world_status(world, sessions[0]).timers, 2 * MANY);
	world_free(world);
}

static void test_cancel_of_what_is_due_wins_until_it_is_sent(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	uint64_t id = world_timer(world, session, 0, 10);
	size_t size;
	_Alignas(8) uint8_t packet[PROTO_PACKET_MAX];

	world_pass(world, 20);
	assert_int_equal(world_cancel(world, session, id), PROTO_OK);
	expect(world, 0);

	id = world_timer(world, session, 0, 10);
	world_pass(world, 20);
	worker_tick(&world->worker, &world->now);
	assert_int_equal(sessions_take_ready(&world->worker.arena), session);
	assert_int_equal(wakes_write(&world->worker, session, &world->now, true, packet, &size),
		WAKES_PACKET);
	/* It could not be sent. */
	worker_block(&world->worker, session);
	assert_int_equal(world_cancel(world, session, id), PROTO_OK);
	worker_unblock(&world->worker, session, &world->now);
	expect(world, 0);
	assert_int_equal(world_status(world, session).woken, 0);

	id = world_timer(world, session, 0, 10);
	world_pass(world, 20);
	expect(world, 1);
	assert_int_equal(world_cancel(world, session, id), PROTO_E_NO_SUCH_TIMER);
}

/* A session that is to end stays one even if its turn passed with nothing sent. */
static void test_an_end_that_is_not_sent(void **state)
{
	struct world *world = *state;
	struct worker *w = &world->worker;
	uint32_t session;
	size_t size;

	assert_int_equal(world_try_connect(world, USER, &session), PROTO_OK);
	world_pass(world, PROTO_HELLO_TIMEOUT_US);
	assert_false(worker_tick(w, &world->now));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(sessions_take_ready(&w->arena), session);
		assert_int_equal(
			wakes_write(w, session, &world->now, true, world->out, &size), WAKES_END);
		sessions_requeue(&w->arena, session, &world->now);
	}
	expect(world, 1);
	assert_int_equal(world->events[0].error.status, PROTO_E_HELLO_TIMEOUT);
}

static void test_cancelled_events_wait_for_a_client_that_does_not_read(void **state)
{
	struct world *world = *state;
	uint32_t owner = world_connect(world, USER), friend = world_connect(world, USER);
	uint64_t ids[20];

	world->clients[owner].stalled = true;
	for (int i = 0; i < 20; i++)
		ids[i] = world_timer(world, owner, 0, 10);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(world_cancel(world, friend, ids[i]), PROTO_OK);
		world_turn(world);
	}
	assert_int_equal(world->n_events, WORLD_ROOM);
	/* It holds its places until it is told. */
	assert_int_equal(world_status(world, owner).timers, 20 - WORLD_ROOM);
	world->clients[owner].stalled = false;
	world_read(world, owner);
	world_turn(world);
	assert_int_equal(world->n_events, 20);
	for (int i = 0; i < 20; i++)
		assert_int_equal(world->events[i].cancelled.id, ids[i]);
	assert_int_equal(world_status(world, owner).timers, 0);
}

/* More of them than one packet takes come in as many as it takes, in order. */
static void test_many_cancelled_events(void **state)
{
	const uint32_t most = PROTO_RECORDS_MAX(struct proto_cancelled), n = 2 * most + 7;
	struct limits limits = world_limits(n, 4);
	struct world *world = world_new(&limits);
	uint32_t owner = world_connect(world, USER), friend = world_connect(world, USER);
	uint64_t *ids = calloc(n, sizeof(*ids));
	struct world_served served;

	(void)state;
	assert_non_null(ids);
	for (uint32_t i = 0; i < n; i++)
		ids[i] = world_timer(world, owner, 0, 10);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(world_cancel(world, friend, ids[i]), PROTO_OK);
	for (uint32_t sent = 0; sent < n; sent = sent + most < n ? sent + most : n) {
		assert_int_equal(world->n_events, sent);
		served = world_serve(world);
		assert_int_equal(served.session, owner);
		assert_true(served.sent);
	}
	assert_int_equal(world->n_events, n);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(world->events[i].opcode, PROTO_CANCELLED);
		assert_int_equal(world->events[i].cancelled.id, ids[i]);
	}
	expect(world, 0);
	assert_int_equal(world_status(world, owner).timers, 0);
	free(ids);
	world_free(world);
}

/* What its client was not told of goes with the session. */
static void test_disconnect_with_cancellations_untold(void **state)
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
	expect(world, 1000);
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
	expect(world, 1);
	assert_int_equal(world->events[0].wake.id, id);
}

static void test_wall_clock_set_forwards_and_back(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register hourly = {
		.due = 3600, .every = 3600, .flags = PROTO_RELATIVE, .clock = PROTO_CLOCK_REALTIME};
	uint64_t *wall = &world->now.at[PROTO_CLOCK_REALTIME];

	world_timer(world, session, PROTO_CLOCK_MONOTONIC, 3600);
	world_timer(world, session, PROTO_CLOCK_BOOTTIME, 3600);
	assert_int_equal(world_register(world, session, &hourly).status, PROTO_OK);
	*wall += 3600 * 5 + 7; /* forwards: one wake, and what it missed */
	expect(world, 1);
	assert_int_equal(world->events[0].wake.overruns, 4);
	assert_int_equal(world->events[0].wake.late, 3600 * 4 + 7);
	*wall -= 3600 * 3; /* back: nothing comes twice */
	expect(world, 0);
	assert_int_equal(
		worker_next(&world->worker, PROTO_CLOCK_REALTIME), WORLD_REALTIME + 3600 * 6);
	*wall = WORLD_REALTIME + 3600 * 6;
	expect(world, 1);
	assert_int_equal(world->events[0].wake.overruns, 0);
	/* The other clocks were not touched by any of this. */
	world->now.at[PROTO_CLOCK_MONOTONIC] += 3600;
	world->now.at[PROTO_CLOCK_BOOTTIME] += 3600;
	expect(world, 2);
}

/* It was found due; then the clock was set back before anything was sent. */
static void test_wall_clock_set_back_before_the_wake(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	uint64_t *wall = &world->now.at[PROTO_CLOCK_REALTIME];

	world_timer(world, session, PROTO_CLOCK_REALTIME, 10);
	*wall += 10;
	assert_false(worker_tick(&world->worker, &world->now));
	assert_true(worker_busy(&world->worker));
	*wall -= 1;
	expect(world, 0);
	assert_int_equal(worker_next(&world->worker, PROTO_CLOCK_REALTIME), WORLD_REALTIME + 10);
	*wall += 1;
	expect(world, 1);
	assert_int_equal(world->events[0].wake.late, 0);
}

static void test_suspend(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	uint64_t monotonic = world_timer(world, session, PROTO_CLOCK_MONOTONIC, 100);
	uint64_t boottime = world_timer(world, session, PROTO_CLOCK_BOOTTIME, 100);

	world->now.at[PROTO_CLOCK_BOOTTIME] += 100;
	world->now.at[PROTO_CLOCK_REALTIME] += 100;
	expect(world, 1);
	assert_int_equal(world->events[0].wake.id, boottime);
	world_pass(world, 99);
	expect(world, 0);
	world_pass(world, 1);
	expect(world, 1);
	assert_int_equal(world->events[0].wake.id, monotonic);
}

static void test_clocks_that_wake_the_system(void **state)
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
		expect(world, 1);
	}
	world->worker.config.can_wake_system = false;
	r.clock = PROTO_CLOCK_BOOTTIME;
	assert_int_equal(world_register(world, session, &r).status, PROTO_E_WAKE_SYSTEM);
	r.flags = PROTO_RELATIVE;
	assert_int_equal(world_register(world, session, &r).status, PROTO_OK);
}

static void test_names_of_commands(void **state)
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

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_stale_ids_of_reused_places),
		TEST(test_stale_ids_of_closed_sessions),
		TEST(test_ids_that_never_were),
		TEST(test_the_daemons_own_timers_are_nobodys),
		TEST(test_who_may_cancel),
		TEST(test_who_may_rearm),
		TEST(test_twice_in_one_packet),
		cmocka_unit_test(test_a_packet_of_many),
		TEST(test_cancel_of_what_is_due_wins_until_it_is_sent),
		TEST(test_an_end_that_is_not_sent),
		TEST(test_cancelled_events_wait_for_a_client_that_does_not_read),
		cmocka_unit_test(test_many_cancelled_events),
		TEST(test_disconnect_with_cancellations_untold),
		TEST(test_disconnect_drops_what_is_due),
		TEST(test_wall_clock_set_forwards_and_back),
		TEST(test_wall_clock_set_back_before_the_wake),
		TEST(test_suspend),
		TEST(test_clocks_that_wake_the_system),
		TEST(test_names_of_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
