/* SPDX-License-Identifier: MIT */
/*
 * What the broker keeps in memory of a queue, and what only in the store; its references to names;
 * and the turns of users and of consumers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "broker_world.h"

#define MONO   PROTO_CLOCK_MONOTONIC
#define REAL   PROTO_CLOCK_REALTIME
#define SECOND UINT64_C(1000000)

static struct world w;
static struct world_client *woken_clients[64];
static uint64_t woken_timers[64];
static uint32_t woken_queues[64];
static size_t wakes;

static void woken(struct world *world, struct world_client *c, const struct proto_queue_wake *r)
{
	(void)world;
	assert_true(wakes < 64);
	woken_clients[wakes] = c;
	woken_queues[wakes] = r->queue;
	woken_timers[wakes++] = r->id;
}

static int set_up(void **state)
{
	(void)state;
	w = (struct world){.woken = woken};
	wakes = 0;
	world_start(&w);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	world_check(&w, false);
	world_end(&w);
	return 0;
}

static struct world_client *connect_one(uint32_t uid)
{
	struct world_client *c = world_connect(&w, uid, NULL, true);

	world_settle(&w);
	return c;
}

static void consume(struct world_client *c, uint32_t queue, uint32_t window, uint64_t ack_within)
{
	struct proto_queue_consume r = {.queue = queue, .window = window, .ack_within = ack_within};

	world_ask(&w, c, PROTO_QUEUE_CONSUME, &r, 0);
	assert_int_equal(c->status, PROTO_OK);
}

static uint64_t store(struct world_client *c, struct proto_queue_put put, const char *key)
{
	world_store(&w, c, put, key, "");
	world_settle(&w);
	assert_int_equal(c->status, PROTO_OK);
	return c->id;
}

static void cancel(struct world_client *c, uint64_t id)
{
	struct proto_queue_cancel r = {.id = id, .queue = 1};

	world_ask(&w, c, PROTO_QUEUE_CANCEL, &r, 0);
	world_settle(&w);
	assert_int_equal(c->status, PROTO_OK);
}

static void reschedule(struct world_client *c, uint64_t id, uint64_t due)
{
	struct proto_queue_reschedule r = {.id = id, .queue = 1, .due = due};

	world_ask(&w, c, PROTO_QUEUE_RESCHEDULE, &r, 0);
	world_settle(&w);
	assert_int_equal(c->status, PROTO_OK);
}

/* A timer that wakes the machine does so even if it is far behind the timers in memory. When it has
 * been removed or replaced, the machine is not woken for it. */
static void test_wake_system_beyond_the_horizon(void **state)
{
	struct world_client *c = connect_one(1000);
	struct proto_queue_put put = world_put(1, REAL, 0);
	uint64_t due = w.now.at[REAL] + SECOND, first = 0;

	(void)state;
	for (unsigned int i = 0; i < 40; i++) {
		put.due = due + i;
		put.flags = i == 30 || i == 35 ? PROTO_WAKE_SYSTEM : 0;
		store(c, put, i == 35 ? "key" : "");
		first = i == 30 ? c->id : first;
	}
	consume(c, 1, 10, 0);
	world_settle(&w);
	assert_null(wake_find(w.b, first));
	assert_int_equal(broker_next(w.b, REAL, true), due + 30);
	assert_int_equal(broker_next(w.b, REAL, false), due);
	reschedule(c, first, due + 33);
	assert_int_equal(broker_next(w.b, REAL, true), due + 33);
	cancel(c, first);
	assert_int_equal(broker_next(w.b, REAL, true), due + 35);
	put.flags = 0;
	put.due = due + 36;
	store(c, put, "key");
	assert_true(broker_next(w.b, REAL, true) == PROTO_FOREVER);
	/* A later timer, beyond the horizon as well. */
	put.flags = PROTO_WAKE_SYSTEM;
	put.due = due + 37;
	put.slack = 100;
	first = store(c, put, "");
	assert_int_equal(broker_next(w.b, REAL, true), due + 37);
	/* When the machine has been woken, the timer is loaded, and its slack counts. */
	w.store.read_error = -EIO;
	world_pass(&w, SECOND + 37);
	world_settle(&w);
	w.store.read_error = 0;
	world_pass(&w, BROKER_RETRY_US);
	world_settle(&w);
	assert_int_equal(wakes, 10);
	assert_true(broker_next(w.b, REAL, true) == PROTO_FOREVER);
}

/* A fleet does not load the far future: a timer is read half a minute before it is due. */
static void test_load_ahead(void **state)
{
	struct world_client *c;
	uint64_t start, near, far;

	tear_down(state);
	w = (struct world){.woken = woken, .load_ahead = 60 * SECOND};
	world_start(&w);
	c = connect_one(1000);
	start = w.now.at[REAL];
	near = store(c, world_put(1, REAL, start + 10 * SECOND), "");
	far = store(c, world_put(1, REAL, start + 3600 * SECOND), "");
	consume(c, 1, 10, 0);
	world_settle(&w);
	assert_non_null(wake_find(w.b, near));
	assert_null(wake_find(w.b, far));
	assert_int_equal(broker_next(w.b, REAL, false), start + 10 * SECOND);
	/* A new timer with a near due needs no load. A timer with a far due stays in the store. */
	w.store.read_error = -EIO;
	near = store(c, world_put(1, REAL, start + 20 * SECOND), "");
	assert_non_null(wake_find(w.b, near));
	assert_null(wake_find(w.b, store(c, world_put(1, REAL, start + 3599 * SECOND), "")));
	w.store.read_error = 0;
	world_pass(&w, 20 * SECOND);
	world_settle(&w);
	assert_int_equal(wakes, 2);
	assert_int_equal(broker_next(w.b, REAL, false), start + 3569 * SECOND);
	world_pass(&w, 3549 * SECOND);
	world_settle(&w);
	assert_non_null(wake_find(w.b, far));
	assert_int_equal(broker_next(w.b, REAL, false), start + 3599 * SECOND);
	world_pass(&w, 31 * SECOND);
	world_settle(&w);
	assert_int_equal(wakes, 4);
}

/* A load that began before the lane was trimmed has no news of the rows in between. */
static void test_load_before_a_trim(void **state)
{
	struct world_client *c = connect_one(1000);
	struct proto_queue_put put = world_put(1, MONO, 0);
	uint64_t due = w.now.at[MONO] + 1000;

	(void)state;
	for (unsigned int i = 0; i < 25; i++) {
		put.due = due + (i < 15 ? i : 5000 + i);
		store(c, put, "");
	}
	consume(c, 1, 60, 0);
	world_settle(&w);
	world_begin(&w, c, PROTO_QUEUE_PUT);
	for (unsigned int i = 0; i < 12; i++) {
		put.due = due + 2000 + i;
		queue_codec_put(&w.writer, &put);
	}
	world_send(&w, c, ++c->put);
	world_serve(&w); /* a commit is under way */
	world_pass(&w, 1020);
	world_serve(&w); /* due wakes are delivered, and a load is under way */
	assert_int_equal(wakes, 15);
	while (store_memory_step(&w.store)) {
		world_check(&w, false);
		world_serve(&w);
	}
	world_check(&w, true);
	world_pass(&w, 10000);
	world_settle(&w);
	assert_int_equal(wakes, 37);
	for (size_t i = 15; i < 37; i++) /* the twelve, and then the others */
		assert_int_equal(woken_timers[i], i < 27 ? 11 + i : i - 11);
}

/* A wake that is overdue at its consumer goes to another consumer, whichever was first. */
static void test_overdue_goes_to_another(void **state)
{
	struct world_client *hangs = connect_one(1000), *works = connect_one(1000);
	struct proto_queue_put put = world_put(1, MONO, w.now.at[MONO]);
	uint64_t id = store(hangs, put, "");

	(void)state;
	put.due += SECOND + 5;
	store(works, put, "");
	consume(hangs, 1, 1, SECOND);
	world_settle(&w);
	consume(works, 1, 10, 0);
	world_settle(&w);
	assert_int_equal(wakes, 1);
	world_pass(&w, SECOND);
	world_serve(&w); /* taken back; the attempt is not stored yet */
	assert_int_equal(w.b->counts.unacked, 0);
	/* The consumer that works gets another wake, and from then on its turn is after the
	 * other's. */
	world_pass(&w, 5);
	world_serve(&w);
	assert_int_equal(wakes, 2);
	assert_ptr_equal(woken_clients[1], works);
	world_settle(&w);
	assert_int_equal(wakes, 3);
	assert_int_equal(woken_timers[2], id);
	assert_ptr_equal(woken_clients[2], works);
}

/* A user with several full queues and many consumers delays another user's wake only by the packets
 * of one turn. */
static void test_users_take_turns(void **state)
{
	struct proto_queue_put put = world_put(1, MONO, w.now.at[MONO] + SECOND);
	struct world_client *many[10], *one;
	size_t before = 0, of_queue[WORLD_QUEUES + 1] = {0};

	(void)state;
	for (size_t i = 0; i < 10; i++) {
		many[i] = connect_one(1000);
		for (uint32_t queue = 1; queue <= WORLD_QUEUES; queue++)
			consume(many[i], queue, 1, 0);
	}
	for (put.queue = 1; put.queue <= WORLD_QUEUES; put.queue++)
		for (int i = 0; i < 12; i++)
			store(many[0], put, "");
	one = connect_one(1001);
	put.queue = 1;
	store(one, put, "");
	consume(one, 1, 1, 0);
	world_settle(&w);
	assert_int_equal(wakes, 0);
	world_pass(&w, SECOND);
	world_serve(&w);
	while (before < wakes && woken_clients[before] != one)
		before++;
	assert_true(before < wakes && before <= 4);
	/* The queues of the one user take turns, too. */
	for (size_t i = 0; i < 17; i++)
		of_queue[woken_queues[i]] += woken_clients[i] != one;
	for (uint32_t queue = 1; queue <= WORLD_QUEUES; queue++)
		assert_int_equal(of_queue[queue], 4);
	world_settle(&w);
	assert_int_equal(wakes, 41);
}

/* The store forgets the name of a queue that nobody needs. The store in memory ends the test if a
 * request has no reference. Here all references are given back. */
static void test_names_are_given_back(void **state)
{
	struct world_client *c = connect_one(1000);
	struct proto_queue_put put = world_put(1, MONO, 0);

	(void)state;
	store(c, put, "");
	consume(c, 1, 5, 0);
	world_settle(&w);
	/* A request, a wake and a load that outlive their client. */
	world_store(&w, c, put, "", "");
	world_disconnect(&w, c);
	assert_true(w.store.queues[0].references > 0);
	world_settle(&w);
	assert_int_equal(w.store.count, 2);
	for (uint32_t i = 0; i < w.store.queue_count; i++)
		assert_int_equal(w.store.queues[i].references, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_wake_system_beyond_the_horizon),
		TEST(test_load_ahead),
		TEST(test_load_before_a_trim),
		TEST(test_overdue_goes_to_another),
		TEST(test_users_take_turns),
		TEST(test_names_are_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
