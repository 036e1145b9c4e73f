/* SPDX-License-Identifier: MIT */
/*
 * The packets of wakes and cancelled events: what a session sends and when, and what changes only
 * after a packet was sent.
 *
 * A cancel cannot come between wakes_write() and wakes_sent(), because one thread owns a worker.
 * But the packet may stay unsent. Then its timers stay as they were, and a later cancel succeeds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "wakes.h"

#define USER  1000
#define OTHER 1001

static enum wakes_next wakes(struct world *world, uint32_t session, bool drained, uint32_t *ret_n)
{
	struct proto_header header = {0};
	size_t size = 0;
	enum wakes_next what = wakes_write(
		&world->worker, session, &world->now, drained, world->out, &size);

	if (what == WAKES_PACKET)
		assert_int_equal(
			codec_open(world->out, size, CODEC_FROM_DAEMON, &header), CODEC_OK);
	*ret_n = header.count;
	return what;
}

/* Puts the session at the head of the queue and takes it from there, as a turn does. */
static void take(struct world *world, uint32_t session)
{
	worker_unblock(&world->worker, session, &world->now);
	assert_int_equal(sessions_take_ready(&world->worker.arena), session);
}

static void test_a_second_wake_waits_until_the_first_is_read(void **state)
{
	struct world *world = *state;
	struct worker *w = &world->worker;
	uint32_t session = world_connect(world, USER), n;
	struct proto_register r = {.due = 10, .every = 10, .flags = PROTO_RELATIVE};

	take(world, session);
	assert_int_equal(wakes(world, session, false, &n), WAKES_NOTHING);
	assert_int_equal(wakes(world, session, true, &n), WAKES_NOTHING);
	sessions_requeue(&w->arena, session, &world->now);

	/* A timer's first wake is sent even if the client has not read. A second wake waits. */
	assert_int_equal(world_register(world, session, &r).status, PROTO_OK);
	world_pass(world, 10);
	take(world, session);
	assert_int_equal(wakes(world, session, false, &n), WAKES_PACKET);
	assert_int_equal(n, 1);
	wakes_sent(w, &world->now);
	world_pass(world, 10);
	assert_int_equal(wakes(world, session, false, &n), WAKES_HOLD);

	/* Timers that have not fired before are sent, if they are due before the first that has. */
	world_timer(world, session, 0, 0);
	assert_int_equal(wakes(world, session, false, &n), WAKES_HOLD);
	r = (struct proto_register){.due = 1};
	assert_int_equal(world_register(world, session, &r).status, PROTO_OK);
	assert_int_equal(wakes(world, session, false, &n), WAKES_PACKET);
	assert_int_equal(n, 1);
	wakes_sent(w, &world->now);
	assert_int_equal(wakes(world, session, false, &n), WAKES_HOLD);
	assert_int_equal(wakes(world, session, true, &n), WAKES_PACKET);
	assert_int_equal(n, 2);
	wakes_sent(w, &world->now);
	assert_int_equal(wakes(world, session, true, &n), WAKES_NOTHING);
	sessions_requeue(&w->arena, session, &world->now);
}

static void test_a_packet_that_is_not_sent_changes_nothing(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER), n;

	world_timer(world, session, 0, 10);
	world_timer(world, session, 1, 10);
	world_pass(world, 10);
	take(world, session);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(wakes(world, session, false, &n), WAKES_PACKET);
		assert_int_equal(n, 2);
		worker_block(&world->worker, session);
		assert_int_equal(worker_next(&world->worker, 0), TIMERS_FOREVER);
		world_pass(world, 10);
		world_turn(world);
		take(world, session);
	}
	sessions_requeue(&world->worker.arena, session, &world->now);
	world_turn(world);
	assert_int_equal(world->n_events, 2);
	assert_int_equal(world->events[0].wake.late, 30);
	assert_int_equal(world->events[0].wake.number, 1);
	assert_int_equal(world_status(world, session).woken, 2);
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
	fixture_expect(world, 0);

	id = world_timer(world, session, 0, 10);
	world_pass(world, 20);
	worker_tick(&world->worker, &world->now);
	assert_int_equal(sessions_take_ready(&world->worker.arena), session);
	assert_int_equal(wakes_write(&world->worker, session, &world->now, true, packet, &size),
		WAKES_PACKET);
	/* The packet could not be sent. */
	worker_block(&world->worker, session);
	assert_int_equal(world_cancel(world, session, id), PROTO_OK);
	worker_unblock(&world->worker, session, &world->now);
	fixture_expect(world, 0);
	assert_int_equal(world_status(world, session).woken, 0);

	id = world_timer(world, session, 0, 10);
	world_pass(world, 20);
	fixture_expect(world, 1);
	assert_int_equal(world_cancel(world, session, id), PROTO_E_NO_SUCH_TIMER);
}

/* A session that must end still ends if its turn passed without sending. */
static void test_a_last_wake_that_is_not_sent_keeps_its_timer(void **state)
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
	fixture_expect(world, 1);
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
	/* Its timers keep their slots until the event was sent. */
	assert_int_equal(world_status(world, owner).timers, 20 - WORLD_ROOM);
	world->clients[owner].stalled = false;
	world_read(world, owner);
	world_turn(world);
	assert_int_equal(world->n_events, 20);
	for (int i = 0; i < 20; i++)
		assert_int_equal(world->events[i].cancelled.id, ids[i]);
	assert_int_equal(world_status(world, owner).timers, 0);
}

/* If there are more than one packet holds, they come in several packets, in order. */
static void test_many_cancellations_take_several_packets(void **state)
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
	fixture_expect(world, 0);
	assert_int_equal(world_status(world, owner).timers, 0);
	free(ids);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_second_wake_waits_until_the_first_is_read),
		TEST(test_a_packet_that_is_not_sent_changes_nothing),
		TEST(test_cancel_of_what_is_due_wins_until_it_is_sent),
		TEST(test_a_last_wake_that_is_not_sent_keeps_its_timer),
		TEST(test_cancelled_events_wait_for_a_client_that_does_not_read),
		cmocka_unit_test(test_many_cancellations_take_several_packets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
