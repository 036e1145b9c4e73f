/* SPDX-License-Identifier: MIT */
/*
 * Whose turn it is: each turn sends one packet, and turns go round by user, then by session.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "wakes.h"

#define USER 1000

/* A session with a long backlog gets one packet in its turn, like every other session. */
static void test_a_long_backlog_gets_one_packet_a_turn(void **state)
{
	struct world *world = *state;
	uint32_t hoarder = world_connect(world, USER), others[10];
	uint32_t most = PROTO_RECORDS_MAX(struct proto_wake), packets = 0;
	struct world_served served;

	for (uint32_t i = 0; i < 10 * most; i++)
		world_timer(world, hoarder, 0, 10);
	for (int i = 0; i < 10; i++) {
		others[i] = world_connect(world, USER);
		world_timer(world, others[i], 0, 20);
	}
	world_pass(world, 20);
	assert_false(worker_tick(&world->worker, &world->now));
	for (int i = 0; i < 11; i++) {
		served = world_serve(world);
		packets += served.session == hoarder;
	}
	assert_int_equal(packets, 1);
	assert_int_equal(world->n_events, most + 10);
	world_turn(world);
	assert_int_equal(world->n_events, 10 * most + 10);
}

/* It also keeps its position in the queue. */
static void test_a_session_is_in_the_queue_once(void **state)
{
	struct world *world = *state;
	struct worker *w = &world->worker;
	uint32_t first = world_connect(world, USER), second = world_connect(world, USER);

	worker_unblock(w, first, &world->now);
	worker_unblock(w, second, &world->now);
	worker_unblock(w, first, &world->now);
	assert_int_equal(sessions_take_ready(&w->arena), first);
	sessions_requeue(&w->arena, first, &world->now);
	assert_int_equal(sessions_take_ready(&w->arena), second);
	sessions_requeue(&w->arena, second, &world->now);
	assert_false(worker_busy(w));
	assert_int_equal(sessions_take_ready(&w->arena), 0);
}

/* A user with many sessions gets no more turns than a user with one. */
static void test_turns_go_round_by_user_then_by_session(void **state)
{
	struct world *world = *state;
	struct worker *w = &world->worker;
	uint32_t many[3], one, other;

	for (int i = 0; i < 3; i++)
		many[i] = world_connect(world, USER);
	one = world_connect(world, USER + 1);
	other = world_connect(world, USER + 2);
	for (int i = 0; i < 3; i++)
		worker_unblock(w, many[i], &world->now);
	worker_unblock(w, one, &world->now);
	assert_int_equal(sessions_take_ready(&w->arena), many[0]);
	worker_unblock(w, many[0], &world->now);
	assert_int_equal(sessions_take_ready(&w->arena), one);
	worker_unblock(w, one, &world->now);
	worker_unblock(w, other, &world->now);
	assert_int_equal(sessions_take_ready(&w->arena), many[1]);
	assert_int_equal(sessions_take_ready(&w->arena), one);
	assert_int_equal(sessions_take_ready(&w->arena), other);
	/* A session in the middle of its user's sessions leaves, and then a user's only session. */
	worker_unblock(w, one, &world->now);
	worker_unblock(w, many[1], &world->now);
	worker_disconnect(w, many[0]);
	worker_disconnect(w, one);
	assert_int_equal(sessions_take_ready(&w->arena), many[2]);
	assert_int_equal(sessions_take_ready(&w->arena), many[1]);
	assert_int_equal(sessions_take_ready(&w->arena), 0);
	assert_false(worker_busy(w));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_long_backlog_gets_one_packet_a_turn),
		TEST(test_a_session_is_in_the_queue_once),
		TEST(test_turns_go_round_by_user_then_by_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
