/* SPDX-License-Identifier: MIT */
/* The outcomes of a wake: attempts, retries, lateness, overruns, and another owner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "broker_scene.h"

static size_t parked(void)
{
	size_t n = 0;

	for (size_t i = 0; i < w.store.count; i++)
		n += w.store.rows[i].t.parked;
	return n;
}

/* If a consumer leaves without detaching, the attempt of its oldest wake is counted, the others are
 * not. */
static void test_disconnect_counts_the_oldest_wake(void **state)
{
	struct world_client *c = connect_one(1000);
	struct proto_queue_put put = world_put(1, MONO, 0);
	struct proto_queue_detach detach = {.queue = 1};

	(void)state;
	put.max_attempts = 2;
	for (int i = 0; i < 3; i++)
		store(c, put, "");
	consume(c, 10);
	world_settle(&w);
	assert_int_equal(wakes, 3);
	world_ask(&w, c, PROTO_QUEUE_DETACH, &detach, 0);
	world_settle(&w);
	for (uint64_t id = 1; id <= 3; id++)
		assert_int_equal(store_memory_find(&w.store, id)->attempt, 0);
	consume(c, 10);
	world_settle(&w);
	world_disconnect(&w, c);
	world_settle(&w);
	assert_int_equal(store_memory_find(&w.store, 1)->attempt, 1);
	assert_int_equal(store_memory_find(&w.store, 2)->attempt, 0);
	c = connect_one(1000);
	consume(c, 10);
	world_settle(&w);
	world_disconnect(&w, c);
	world_settle(&w);
	/* Its second attempt was the last one. No other wake was parked with it. */
	assert_int_equal(parked(), 1);
	assert_null(store_memory_find(&w.store, 1));
	assert_int_equal(store_memory_find(&w.store, 2)->attempt, 0);
}

/* The smaller limit counts, that of the timer or of the consumer; 0 is no limit. */
static void test_smaller_limit_of_attempts_counts(void **state)
{
	static const uint32_t limits[][3] = {{0, 0, 0}, {3, 0, 3}, {0, 2, 2}, {3, 2, 2}, {1, 5, 1}};

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct world_client *c = connect_one(1000);
		struct proto_queue_put put = world_put(1, MONO, 0);
		uint32_t attempts = 0;
		size_t before = parked();

		put.max_attempts = limits[i][0];
		store(c, put, "");
		consume_with(
			c, (struct proto_queue_consume){.window = 1, .max_attempts = limits[i][1]});
		world_settle(&w);
		while (parked() == before && attempts < 10) {
			assert_int_equal(last.attempt, ++attempts);
			retry(c, 0);
		}
		assert_int_equal(attempts, limits[i][2] ? limits[i][2] : 10);
		if (!limits[i][2])
			acknowledge(c, last.id, last.number);
		world_disconnect(&w, c);
	}
}

static void test_revived_wake_comes_again(void **state)
{
	struct world_client *c = connect_one(1000);
	struct proto_queue_put put = world_put(1, MONO, 0);
	struct proto_queue_revive revive = {.queue = 1, .id = 1};

	(void)state;
	put.max_attempts = 1;
	put.every = SECOND;
	store(c, put, "key");
	consume(c, 5);
	world_settle(&w);
	retry(c, 0);
	assert_int_equal(parked(), 1);
	/* The key belongs to the timer, which goes on. */
	assert_int_equal(store_memory_find(&w.store, 1)->number, 2);
	world_ask(&w, c, PROTO_QUEUE_REVIVE, &revive, 0);
	world_settle(&w);
	assert_int_equal(c->status, PROTO_OK);
	assert_int_equal(last.id, 1);
	assert_int_equal(last.number, 1);
	assert_int_equal(last.attempt, 1);
	/* Cancelling by key does not affect the revived wake at its consumer. */
	world_begin(&w, c, PROTO_QUEUE_CANCEL);
	queue_codec_put(&w.writer,
		&(struct proto_queue_cancel){.queue = 1,
			.key_size = 3,
			.key = queue_codec_add_bytes(&w.writer, "key", 3)});
	world_send(&w, c, 0);
	world_settle(&w);
	acknowledge(c, 1, 1);
	assert_int_equal(c->status, PROTO_OK);
	assert_int_equal(w.store.count, 0);
	world_ask(&w, c, PROTO_QUEUE_REVIVE, &revive, 0);
	world_settle(&w);
	assert_int_equal(c->status, PROTO_Q_PARKED);
}

/* max_late limits only the first delivery. */
static void test_max_late_judges_the_first_delivery(void **state)
{
	struct world_client *c = connect_one(1000), *other = connect_one(1000);
	struct proto_queue_put put = world_put(1, MONO, w.now.at[MONO] + SECOND);

	(void)state;
	put.max_late = SECOND;
	store(c, put, "");
	consume(c, 1);
	pass(2 * SECOND);
	assert_int_equal(wakes, 1); /* late by exactly max_late */
	/* Returned, and retried: the wake still comes. */
	consume(other, 1);
	world_disconnect(&w, c);
	pass(10 * SECOND);
	assert_int_equal(wakes, 2);
	retry(other, SECOND);
	pass(SECOND);
	assert_int_equal(wakes, 3);
}

/* A wake that was returned without a counted attempt still comes after max_late. */
static void test_max_late_does_not_judge_a_returned_wake(void **state)
{
	struct world_client *c = connect_one(1000), *other = connect_one(1000);
	struct proto_queue_put put = world_put(1, MONO, w.now.at[MONO]);

	(void)state;
	put.max_late = SECOND;
	consume(other, 1);
	store(c, put, "");
	assert_ptr_equal(last_client, other);
	consume(c, 1);
	world_ask(&w, other, PROTO_QUEUE_DETACH, &(struct proto_queue_detach){.queue = 1}, 0);
	pass(0);
	assert_ptr_equal(last_client, c);
	world_disconnect(&w, other);
	other = connect_one(1000);
	consume(other, 1);
	world_pass(&w, 5 * SECOND);
	world_ask(&w, c, PROTO_QUEUE_DETACH, &(struct proto_queue_detach){.queue = 1}, 0);
	world_settle(&w);
	assert_ptr_equal(last_client, other);
	assert_int_equal(parked(), 0);
	world_disconnect(&w, c);
	world_settle(&w);
	acknowledge(other, last.id, 1);
	assert_int_equal(other->status, PROTO_OK);
}

/* A one-shot is parked. A timer with a period skips the missed wakes. */
static void test_a_first_delivery_after_max_late_is_missed(void **state)
{
	struct world_client *c = connect_one(1000);
	struct proto_queue_put put = world_put(1, MONO, w.now.at[MONO]);

	(void)state;
	put.max_late = SECOND;
	store(c, put, "");
	put.every = 3 * SECOND;
	store(c, put, "");
	world_pass(&w, 7 * SECOND + 1);
	consume(c, 5);
	world_settle(&w);
	assert_int_equal(wakes, 0);
	assert_int_equal(parked(), 1);
	assert_int_equal(w.b->counts.missed, 2);
	pass(2 * SECOND);
	assert_int_equal(wakes, 1);
	assert_int_equal(last.number, 2);
	assert_int_equal(last.overruns, 0);
	assert_int_equal(last.due, put.due + 9 * SECOND);
}

/* Periods that pass while a wake is unacknowledged or waits to be retried are counted. */
static void test_periods_that_pass_are_counted(void **state)
{
	struct world_client *c = connect_one(1000);
	struct proto_queue_put put = world_put(1, MONO, w.now.at[MONO] + SECOND);

	(void)state;
	put.every = SECOND;
	put.count = 3;
	store(c, put, "");
	consume(c, 1);
	pass(SECOND);
	assert_int_equal(last.overruns, 0);
	pass(5 * SECOND + 1);
	acknowledge(c, last.id, 1);
	/* Periods 2 to 6 have passed: one wake with four overruns. */
	assert_int_equal(last.number, 2);
	assert_int_equal(last.overruns, 4);
	assert_int_equal(last.due, put.due + SECOND);
	retry(c, 2 * SECOND);
	pass(2 * SECOND);
	assert_int_equal(last.number, 2);
	assert_int_equal(last.attempt, 2);
	assert_int_equal(last.overruns, 6);
	acknowledge(c, last.id, 2);
	pass(SECOND);
	assert_int_equal(last.number, 3);
	assert_int_equal(last.flags & PROTO_WAKE_LAST, PROTO_WAKE_LAST);
	acknowledge(c, last.id, 3);
	assert_int_equal(w.store.count, 0);
}

/* A rescheduled timer's wake has a new number. Answers about the old wake change nothing. */
static void test_rescheduled_wake_has_another_number(void **state)
{
	struct world_client *c = connect_one(1000);
	struct proto_queue_put put = world_put(1, MONO, 0);
	struct proto_queue_reschedule r = {
		.id = 1, .queue = 1, .due = SECOND, .flags = PROTO_RELATIVE};

	(void)state;
	store(c, put, "");
	consume(c, 2);
	world_settle(&w);
	world_ask(&w, c, PROTO_QUEUE_RESCHEDULE, &r, 0);
	world_settle(&w);
	assert_int_equal(c->status, PROTO_OK);
	acknowledge(c, 1, 1);
	assert_int_equal(c->status, PROTO_E_NO_SUCH_TIMER);
	pass(SECOND);
	assert_int_equal(wakes, 2);
	assert_int_equal(last.number, 2);
	acknowledge(c, 1, 2);
	assert_int_equal(c->status, PROTO_OK);
	r.id = 1 | UINT64_C(1) << 63;
	store(c, put, "");
	world_ask(&w, c, PROTO_QUEUE_RESCHEDULE, &r, 0);
	assert_int_equal(c->status, PROTO_E_NO_SUCH_TIMER);
}

/* A wake that is overdue goes to another consumer, and the attempt is counted. If there is no
 * other, it goes to the same one. */
static void test_overdue_wake_goes_to_another_consumer(void **state)
{
	struct proto_queue_consume r = {.window = 3, .ack_within = SECOND};
	struct world_client *hangs = connect_one(1000), *other = connect_one(1000);
	struct proto_queue_put put = world_put(1, MONO, 0);

	(void)state;
	consume_with(hangs, r);
	store(hangs, put, "");
	assert_int_equal(broker_next_real(w.b), w.now.real + SECOND);
	r.window = 1;
	consume_with(other, r);
	world_settle(&w);
	/* `other` was served last, so that the next turn would be that of `hangs`. */
	store(other, put, "");
	while (last_client != other)
		store(other, put, "");
	acknowledge(other, last.id, 1);
	for (uint64_t id = 2; id < last.id; id++)
		if (world_forget(hangs, id, 1)) {
			acknowledge(hangs, id, 1);
		}
	pass(SECOND);
	assert_ptr_equal(last_client, other);
	assert_int_equal(last.id, 1);
	assert_int_equal(last.attempt, 2);
	world_forget(hangs, 1, 1);
	acknowledge(hangs, 1, 1);
	assert_int_equal(hangs->status, PROTO_E_NO_SUCH_TIMER);
	world_disconnect(&w, other);
	world_settle(&w);
	assert_ptr_equal(last_client, hangs);
	assert_int_equal(last.attempt, 3);
	/* A full socket does not stop the time limit of delivered wakes. */
	hangs->stuck = true;
	store(hangs, put, "");
	pass(SECOND);
	assert_int_equal(store_memory_find(&w.store, 1)->attempt, 3);
	hangs->stuck = false;
	broker_writable(w.b, hangs->number);
	world_settle(&w);
	assert_int_equal(w.b->counts.unacked, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(test_disconnect_counts_the_oldest_wake),
		SCENE(test_smaller_limit_of_attempts_counts),
		SCENE(test_revived_wake_comes_again),
		SCENE(test_max_late_judges_the_first_delivery),
		SCENE(test_max_late_does_not_judge_a_returned_wake),
		SCENE(test_a_first_delivery_after_max_late_is_missed),
		SCENE(test_periods_that_pass_are_counted),
		SCENE(test_rescheduled_wake_has_another_number),
		SCENE(test_overdue_wake_goes_to_another_consumer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
