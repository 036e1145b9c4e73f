/* SPDX-License-Identifier: MIT */
/* Which wake goes to which consumer, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "broker_scene.h"

static void test_consume_checks_its_window(void **state)
{
	static const uint32_t bad[] = {0, PROTO_QUEUE_WINDOW_MAX + 1, UINT32_MAX};
	struct world_client *c = connect_one(1000);
	struct proto_queue_consume r = {.queue = 1};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		r.window = bad[i];
		world_ask(&w, c, PROTO_QUEUE_CONSUME, &r, 0);
		assert_int_equal(c->status, PROTO_Q_WINDOW);
	}
	r.window = 1;
	r.ack_within = UINT64_MAX;
	world_ask(&w, c, PROTO_QUEUE_CONSUME, &r, 0);
	assert_int_equal(c->status, PROTO_E_RANGE);
	consume(c, PROTO_QUEUE_WINDOW_MAX);
	r.ack_within = 0;
	world_ask(&w, c, PROTO_QUEUE_CONSUME, &r, 0);
	assert_int_equal(c->status, PROTO_Q_ATTACHED);
}

/* A consumer whose socket is full gets nothing. Another consumer of the queue gets the wake. */
static void test_blocked_consumer_gets_nothing(void **state)
{
	struct world_client *stuck = connect_one(1000), *other = connect_one(1000);
	struct proto_queue_put put = world_put(1, MONO, 0);

	(void)state;
	consume(stuck, 5);
	stuck->stuck = true;
	store(other, put, "");
	assert_int_equal(wakes, 0);
	assert_true(broker_next(w.b, MONO, false) == PROTO_FOREVER);
	consume(other, 5);
	world_settle(&w);
	assert_ptr_equal(last_client, other);
	stuck->stuck = false;
	broker_writable(w.b, stuck->number);
	store(other, put, "");
	store(other, put, "");
	assert_int_equal(wakes, 3);
}

/* Across all clocks, the wake that has been ready for longest comes first. */
static void test_oldest_wake_comes_first_over_all_clocks(void **state)
{
	struct world_client *c = connect_one(1000);
	static const unsigned int clocks[] = {REAL, MONO, BOOT, MONO, REAL};

	(void)state;
	for (unsigned int i = 0; i < 5; i++)
		store(c, world_put(1, clocks[i], w.now.at[clocks[i]] + i * SECOND), "");
	world_pass(&w, 10 * SECOND);
	consume(c, 1);
	world_settle(&w);
	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(last.clock, clocks[i]);
		assert_int_equal(last.id, i + 1);
		acknowledge(c, last.id, 1);
	}
}

static void test_held_clock_delivers_nothing(void **state)
{
	struct world_client *c = connect_one(1000);

	(void)state;
	w.now.held[REAL] = w.now.held[BOOT] = true;
	store(c, world_put(1, REAL, 0), "");
	store(c, world_put(1, BOOT, 0), "");
	store(c, world_put(1, MONO, 0), "");
	consume(c, 9);
	world_settle(&w);
	assert_int_equal(wakes, 1);
	assert_int_equal(last.clock, MONO);
	assert_true(broker_next(w.b, REAL, false) == PROTO_FOREVER);
	w.now.held[REAL] = w.now.held[BOOT] = false;
	world_settle(&w);
	assert_int_equal(wakes, 3);
}

/* A load is under way, and a row moves before the position where the load began. The row is still
 * delivered. */
static void test_row_that_moves_during_a_load_is_found(void **state)
{
	struct world_client *c = connect_one(1000);
	struct proto_queue_reschedule r = {
		.id = 20, .queue = 1, .due = 14 * SECOND + 1, .flags = PROTO_RELATIVE};

	(void)state;
	for (unsigned int i = 1; i <= 20; i++)
		store(c, world_put(1, MONO, w.now.at[MONO] + i * SECOND), "");
	consume(c, 100);
	world_settle(&w);
	world_ask(&w, c, PROTO_QUEUE_RESCHEDULE, &r, 0);
	world_serve(&w);
	world_pass(&w, 15 * SECOND);
	world_serve(&w);
	assert_int_equal(wakes, 15);
	world_settle(&w);
	assert_int_equal(wakes, 16);
	assert_int_equal(last.id, 20);
	pass(10 * SECOND);
	assert_int_equal(wakes, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(test_consume_checks_its_window),
		SCENE(test_blocked_consumer_gets_nothing),
		SCENE(test_oldest_wake_comes_first_over_all_clocks),
		SCENE(test_held_clock_delivers_nothing),
		SCENE(test_row_that_moves_during_a_load_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
