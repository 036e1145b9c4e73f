/* SPDX-License-Identifier: MIT */
/*
 * What the broker promises, one scene each: puts that are sent again, a store that is full,
 * attempts, lateness, hanging and blocked consumers, users against one another, and bad packets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "broker_world.h"

#define MONO   PROTO_CLOCK_MONOTONIC
#define BOOT   PROTO_CLOCK_BOOTTIME
#define REAL   PROTO_CLOCK_REALTIME
#define SECOND UINT64_C(1000000)

static struct world w;
static struct proto_queue_wake last; /* the wake that came last */
static struct world_client *last_client;
static uint64_t wakes;
static uint32_t statuses[4096]; /* of the last answer of struct proto_queue_stored or _done */
static const uint8_t token[PROTO_QUEUE_TOKEN_SIZE] = "a client's token";

static void woken(struct world *world, struct world_client *c, const struct proto_queue_wake *r)
{
	(void)world;
	last = *r;
	last_client = c;
	wakes++;
}

static int set_up(void **state)
{
	(void)state;
	w = (struct world){.woken = woken};
	last = (struct proto_queue_wake){0};
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

static void consume_with(struct world_client *c, struct proto_queue_consume r)
{
	r.queue = r.queue ? r.queue : 1;
	world_ask(&w, c, PROTO_QUEUE_CONSUME, &r, 0);
	assert_int_equal(c->status, PROTO_OK);
}

static void consume(struct world_client *c, uint32_t window)
{
	consume_with(c, (struct proto_queue_consume){.window = window});
}

static void acknowledge(struct world_client *c, uint64_t id, uint32_t number)
{
	struct proto_queue_ack r = {.id = id, .number = number, .queue = 1};

	world_forget(c, id, number);
	world_ask(&w, c, PROTO_QUEUE_ACK, &r, 0);
	world_settle(&w);
}

static void retry(struct world_client *c, uint64_t delay)
{
	struct proto_queue_retry r = {
		.id = last.id, .number = last.number, .queue = 1, .delay = delay};

	world_forget(c, last.id, last.number);
	world_ask(&w, c, PROTO_QUEUE_RETRY, &r, 0);
	world_settle(&w);
	assert_int_equal(c->status, PROTO_OK);
}

static void store(struct world_client *c, struct proto_queue_put put, const char *key)
{
	world_store(&w, c, put, key, "p");
	world_settle(&w);
	assert_int_equal(c->status, PROTO_OK);
}

static struct world_client *connect_one(uint32_t uid)
{
	struct world_client *c = world_connect(&w, uid, NULL, true);

	world_settle(&w);
	return c;
}

static size_t parked(void)
{
	size_t n = 0;

	for (size_t i = 0; i < w.store.count; i++)
		n += w.store.rows[i].t.parked;
	return n;
}

static void pass(uint64_t span)
{
	world_pass(&w, span);
	world_settle(&w);
}

/* Sent again over a new connection, a put is stored once and answered alike; what did not reach the
 * store is stored then, though a later one is there. */
static void test_put_again(void **state)
{
	struct world_client *c = world_connect(&w, 1000, token, true);
	struct proto_queue_put put = world_put(1, MONO, INT64_MAX);
	uint64_t first;

	(void)state;
	world_settle(&w);
	store(c, put, "one");
	first = c->id;
	w.store.commit_error = -ENOSPC;
	w.store.state = STORE_FULL;
	world_store(&w, c, put, "two", "");
	world_settle(&w);
	assert_int_equal(c->status, PROTO_Q_STORE_FULL);
	w.store.commit_error = 0;
	w.store.state = STORE_OK;
	pass(SECOND);
	store(c, put, "three");
	world_disconnect(&w, c);

	c = world_connect(&w, 1000, token, true);
	world_settle(&w);
	world_store(&w, c, put, "one", "");
	assert_int_equal(c->id, first);
	store(c, put, "two");
	world_store(&w, c, put, "three", "");
	world_settle(&w);
	assert_int_equal(w.store.count, 3);
	/* The numbers of one connection grow. */
	c->put = 0;
	world_store(&w, c, put, "one", "");
	assert_true(c->ended);
	assert_int_equal(c->status, PROTO_E_SEQUENCE);
}

/* A token is its user's: another user that knows it reads nothing by it, and spoils nothing. */
static void test_token_of_another_user(void **state)
{
	struct world_client *c = world_connect(&w, 1000, token, true), *other;
	struct proto_queue_put put = world_put(1, MONO, INT64_MAX);
	uint64_t first;

	(void)state;
	world_settle(&w);
	store(c, put, "one");
	first = c->id;
	other = world_connect(&w, 1001, token, true);
	world_settle(&w);
	store(other, put, "one");
	assert_int_not_equal(other->id, first);
	other->put = 500;
	store(other, put, "two");
	world_disconnect(&w, c);
	c = world_connect(&w, 1000, token, true);
	world_settle(&w);
	world_store(&w, c, put, "one", "");
	assert_int_equal(c->id, first);
	store(c, put, "two");
	assert_int_equal(w.store.count, 4);
}

/* Puts that are under way when the connection breaks: the new one waits for what becomes of them.
 */
static void test_put_under_way(void **state)
{
	struct world_client *c = world_connect(&w, 1000, token, true);
	struct proto_queue_put put = world_put(1, MONO, INT64_MAX);

	(void)state;
	world_settle(&w);
	world_store(&w, c, put, "", "first");
	world_serve(&w);
	world_store(&w, c, put, "", "second");
	world_disconnect(&w, c);
	c = world_connect(&w, 1000, token, true);
	world_serve(&w);
	assert_false(broker_reads(w.b, c->number));
	world_settle(&w);
	assert_true(broker_reads(w.b, c->number));
	world_store(&w, c, put, "", "first");
	world_store(&w, c, put, "", "second");
	world_settle(&w);
	assert_int_equal(w.store.count, 2);
	/* A day's 64 puts later the store does not know the first any more. */
	for (int i = 0; i < STORE_PUTS; i++)
		store(c, put, "key");
	world_disconnect(&w, c);
	c = world_connect(&w, 1000, token, true);
	world_settle(&w);
	world_store(&w, c, put, "", "first");
	assert_int_equal(c->status, PROTO_E_SEQUENCE);
}

static void note_statuses(
	struct world *world, struct world_client *c, const struct queue_codec_packet *p)
{
	(void)world;
	(void)c;
	if (p->header.opcode != (PROTO_QUEUE_PUT | PROTO_ANSWER))
		return;
	for (uint32_t i = 0; i < p->header.count; i++) {
		struct proto_queue_stored a;

		queue_codec_get(p, i, &a);
		statuses[i] = a.status;
	}
}

/* Each record for itself: the fields' edges, and the quota. */
static void test_put_records(void **state)
{
	static char long_key[PROTO_QUEUE_KEY_MAX + 1], payload[PROTO_QUEUE_PAYLOAD_MAX + 1];
	struct world_client *c = connect_one(1000);
	struct proto_queue_put put = world_put(1, MONO, 5);
	uint32_t n = 0, expected[16];

	(void)state;
	memset(long_key, 'k', sizeof(long_key));
	w.seen = note_statuses;
	world_begin(&w, c, PROTO_QUEUE_PUT);
	put.data = queue_codec_add_bytes(&w.writer, long_key, sizeof(long_key));
	queue_codec_add_bytes(&w.writer, payload, sizeof(payload));
#define RECORD(status, ...)                     \
	do {                                    \
		struct proto_queue_put r = put; \
		__VA_ARGS__;                    \
		queue_codec_put(&w.writer, &r); \
		expected[n++] = status;         \
	} while (0)
	RECORD(PROTO_OK, r.key_size = PROTO_QUEUE_KEY_MAX);
	RECORD(PROTO_Q_KEY, r.key_size = PROTO_QUEUE_KEY_MAX + 1);
	RECORD(PROTO_OK, r.payload_size = PROTO_QUEUE_PAYLOAD_MAX);
	RECORD(PROTO_Q_PAYLOAD, r.payload_size = PROTO_QUEUE_PAYLOAD_MAX + 1);
	RECORD(PROTO_Q_QUEUE, r.queue = 0);
	RECORD(PROTO_Q_QUEUE, r.queue = WORLD_QUEUES + 1);
	RECORD(PROTO_Q_QUEUE, r.queue = UINT32_MAX);
	RECORD(PROTO_E_RANGE, r.due = INT64_MAX; r.flags = PROTO_RELATIVE);
	RECORD(PROTO_E_RANGE, r.due = UINT64_MAX; r.flags = PROTO_RELATIVE);
	RECORD(PROTO_OK, r.due = INT64_MAX);
	RECORD(PROTO_E_COUNT, r.count = 2);
	RECORD(PROTO_OK, r.max_attempts = UINT32_MAX);
	world_send(&w, c, 0);
	world_settle(&w);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(statuses[i], expected[i]);
	assert_int_equal(w.b->counts.stored, 4);
	assert_int_equal(w.b->counts.refused, n - 4);
	for (uint32_t i = 4; i < w.limits.max_timers_per_user; i++)
		store(c, put, "");
	world_store(&w, c, put, "", "");
	world_settle(&w);
	assert_int_equal(c->status, PROTO_E_TIMERS_USER);
	/* Another user's quota is its own. */
	store(connect_one(1001), put, "");
}

static void test_window(void **state)
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

/* No space: puts are refused at once, acknowledgements wait in the window, and are stored without
 * the puts as soon as that goes. */
static void test_full(void **state)
{
	struct world_client *c = connect_one(1000);
	struct proto_queue_put put = world_put(1, MONO, 0);
	struct world_wake first;
	uint64_t answers;

	(void)state;
	for (int i = 0; i < 4; i++)
		store(c, put, "");
	consume(c, 2);
	world_settle(&w);
	assert_int_equal(wakes, 2);
	w.store.commit_error = -ENOSPC;
	w.store.state = STORE_FULL;
	first = c->wakes[0];
	acknowledge(c, first.timer, first.number);
	answers = c->answers;
	assert_int_equal(wakes, 2);
	for (int i = 0; i < 5; i++) {
		pass(SECOND / 2);
		world_store(&w, c, put, "", "");
		world_settle(&w);
		assert_int_equal(c->status, PROTO_Q_STORE_FULL);
		assert_int_equal(c->answers, ++answers);
	}
	assert_int_equal(wakes, 2);
	w.store.deletions = true;
	world_store(&w, c, put, "", "");
	pass(SECOND);
	world_store(&w, c, put, "", "");
	pass(SECOND);
	/* The acknowledgement is stored, and the next wake came. */
	assert_int_equal(wakes, 3);
	assert_null(store_memory_find(&w.store, first.timer));
	assert_int_equal(w.b->counts.acknowledged, 1);
}

/* A store that cannot say what puts a token has had keeps its client from nothing but puts. */
static void test_puts_unread(void **state)
{
	struct world_client *c = world_connect(&w, 1000, token, true);
	struct proto_queue_put put = world_put(1, MONO, INT64_MAX);
	uint64_t first;

	(void)state;
	world_settle(&w);
	store(c, put, "");
	first = c->id;
	world_disconnect(&w, c);
	w.store.read_error = -EIO;
	c = world_connect(&w, 1000, token, true);
	world_settle(&w);
	assert_true(broker_reads(w.b, c->number));
	world_ask(&w, c, PROTO_QUEUE_STATUS, NULL, 0);
	assert_int_equal(c->answer.opcode, PROTO_QUEUE_STATUS | PROTO_ANSWER);
	world_store(&w, c, put, "", "");
	assert_int_equal(c->status, PROTO_Q_STORE_UNKNOWN);
	world_disconnect(&w, c);
	c = world_connect(&w, 1000, token, true);
	world_settle(&w);
	w.store.read_error = 0;
	pass(BROKER_RETRY_US);
	world_store(&w, c, put, "", "");
	world_settle(&w);
	assert_int_equal(c->id, first);
	assert_int_equal(w.store.count, 1);
}

static void test_failed(void **state)
{
	struct world_client *c = connect_one(1000);
	struct proto_queue_put put = world_put(1, MONO, 0);
	uint64_t id;

	(void)state;
	store(c, put, "");
	consume(c, 1);
	world_settle(&w);
	id = last.id;
	/* The transaction that fails may be on the disk all the same; nothing after it is. */
	w.store.commit_error = -EINPROGRESS;
	w.store.state = STORE_FAILED;
	world_store(&w, c, put, "", "");
	w.store.state = STORE_OK;
	world_serve(&w);
	w.store.state = STORE_FAILED;
	world_settle(&w);
	assert_int_equal(c->status, PROTO_Q_STORE_UNKNOWN);
	w.store.commit_error = -EIO;
	acknowledge(c, id, 1);
	world_store(&w, c, put, "", "");
	world_settle(&w);
	assert_int_equal(c->status, PROTO_Q_STORE_FAILED);
	assert_int_equal(w.b->counts.acknowledged, 0);
	pass(5 * SECOND);
	assert_int_equal(wakes, 1);
	w.store.commit_error = 0;
	w.store.state = STORE_OK;
	pass(SECOND);
	assert_int_equal(w.b->counts.acknowledged, 1);
	assert_null(store_memory_find(&w.store, id));
}

/* The oldest wake of a consumer that leaves without detaching is counted, the others are not. */
static void test_disconnect_counts(void **state)
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
	/* Its second attempt was the last; it took no neighbour along. */
	assert_int_equal(parked(), 1);
	assert_null(store_memory_find(&w.store, 1));
	assert_int_equal(store_memory_find(&w.store, 2)->attempt, 0);
}

/* The smaller limit that is not 0 counts, the timer's or the consumer's. */
static void test_attempts(void **state)
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

static void test_revive(void **state)
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
	/* The key is the timer's, which goes on. */
	assert_int_equal(store_memory_find(&w.store, 1)->number, 2);
	world_ask(&w, c, PROTO_QUEUE_REVIVE, &revive, 0);
	world_settle(&w);
	assert_int_equal(c->status, PROTO_OK);
	assert_int_equal(last.id, 1);
	assert_int_equal(last.number, 1);
	assert_int_equal(last.attempt, 1);
	/* Cancelling by key leaves the revived wake with its consumer. */
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

/* max_late judges the first delivery alone. */
static void test_max_late(void **state)
{
	struct world_client *c = connect_one(1000), *other = connect_one(1000);
	struct proto_queue_put put = world_put(1, MONO, w.now.at[MONO] + SECOND);

	(void)state;
	put.max_late = SECOND;
	store(c, put, "");
	consume(c, 1);
	pass(2 * SECOND);
	assert_int_equal(wakes, 1); /* late by exactly that much */
	/* Given back to another, and retried, it still comes. */
	consume(other, 1);
	world_disconnect(&w, c);
	pass(10 * SECOND);
	assert_int_equal(wakes, 2);
	retry(other, SECOND);
	pass(SECOND);
	assert_int_equal(wakes, 3);
	acknowledge(other, last.id, 1);

	/* So does one that goes back uncounted. */
	c = connect_one(1000);
	put.due = w.now.at[MONO];
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
	wakes = 3;

	world_disconnect(&w, other);
	c = connect_one(1000);
	put.due = w.now.at[MONO];
	store(c, put, "");
	put.every = 3 * SECOND;
	put.due = w.now.at[MONO];
	store(c, put, "");
	world_pass(&w, 7 * SECOND + 1);
	consume(c, 5);
	world_settle(&w);
	assert_int_equal(wakes, 3);
	assert_int_equal(parked(), 1);
	assert_int_equal(w.b->counts.missed, 2);
	pass(2 * SECOND);
	assert_int_equal(wakes, 4);
	assert_int_equal(last.number, 2);
	assert_int_equal(last.overruns, 0);
	assert_int_equal(last.due, put.due + 9 * SECOND);
}

/* Periods that pass while a wake is unacknowledged or waits to be retried are counted. */
static void test_overruns(void **state)
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
	/* Periods 2 to 6 have passed: one wake, and four more in it. */
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

/* A rescheduled timer's wake has a number of its own; what is said of the one before harms nothing.
 */
static void test_reschedule(void **state)
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

/* A wake that hangs goes to another consumer, counted; to the same one where there is no other. */
static void test_overdue(void **state)
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
	/* `other` was served last, so that it would be the turn of the one that hangs. */
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
	/* A socket without room does not stop the clock of what it has. */
	hangs->stuck = true;
	store(hangs, put, "");
	pass(SECOND);
	assert_int_equal(store_memory_find(&w.store, 1)->attempt, 3);
	hangs->stuck = false;
	broker_writable(w.b, hangs->number);
	world_settle(&w);
	assert_int_equal(w.b->counts.unacked, 2);
}

/* A consumer whose socket is full gets nothing; another one of the queue does. */
static void test_blocked(void **state)
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

/* Over all clocks, what has been ready for longest comes first. */
static void test_oldest_first(void **state)
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

static void test_held(void **state)
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

/* A row moves before the place at which a load under way began: it is not passed over. */
static void test_load_and_reschedule(void **state)
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

/* Purging takes a slice of 1000: a wake that is with a consumer and whose row is there still can be
 * acknowledged. */
static void test_purge_slice(void **state)
{
	struct world_client *c = connect_one(1000);
	struct proto_queue_list list = {.queue = 1};

	(void)state;
	w.b->config.limits.max_timers_per_user = 2000;
	for (unsigned int i = 0; i < 1001; i++)
		store(c, world_put(1, MONO, i == 1 ? 0 : 1 + i), "");
	consume(c, 1);
	world_settle(&w);
	assert_int_equal(last.id, 2);
	world_ask(&w, c, PROTO_QUEUE_PURGE, &list, 0);
	world_settle(&w);
	assert_int_equal(c->id, 1000);
	assert_int_equal(w.store.count, 1);
	assert_non_null(store_memory_find(&w.store, 2));
	acknowledge(c, 2, 1);
	assert_int_equal(c->status, PROTO_OK);
	assert_int_equal(w.store.count, 0);
}

/* A packet's changes are of one transaction: its serial is stored with all of them. */
static void test_one_transaction(void **state)
{
	struct proto_queue_put put = world_put(1, MONO, INT64_MAX);
	struct world_client *clients[6];
	uint32_t packets = 0;

	(void)state;
	w.b->config.limits.max_timers_per_user = 1 << 20;
	for (unsigned int i = 0; i < 6; i++)
		clients[i] = connect_one(1000);
	/* More than a transaction takes, in packets that do not divide it. */
	for (; packets < 30; packets++) {
		struct world_client *c = clients[packets / 5];

		assert_true(broker_reads(w.b, c->number));
		world_begin(&w, c, PROTO_QUEUE_PUT);
		for (unsigned int i = 0; i < 700; i++)
			queue_codec_put(&w.writer, &put);
		world_send(&w, c, ++c->put);
	}
	world_serve(&w);
	assert_true(store_memory_step(&w.store));
	assert_true(w.store.count < 700 * packets);
	assert_int_equal(w.store.count % 700, 0);
	world_settle(&w);
	assert_int_equal(w.store.count, 700 * packets);
}

/* A transaction that takes longer than the store allows is tried again in parts. */
static void test_transaction_takes_too_long(void **state)
{
	struct proto_queue_put put = world_put(1, MONO, 0);
	struct world_client *c = connect_one(1000);
	struct proto_queue_ack ack = {.queue = 1, .number = 1};
	uint64_t commits;

	(void)state;
	w.b->config.limits.max_timers_per_user = 1 << 20;
	world_begin(&w, c, PROTO_QUEUE_PUT);
	for (unsigned int i = 0; i < 300; i++)
		queue_codec_put(&w.writer, &put);
	world_send(&w, c, ++c->put);
	world_settle(&w);
	consume(c, 300);
	world_settle(&w);
	world_begin(&w, c, PROTO_QUEUE_ACK);
	for (ack.id = 1; ack.id <= 300; ack.id++) {
		world_forget(c, ack.id, 1);
		queue_codec_put(&w.writer, &ack);
	}
	w.store.commit_error = -ETIMEDOUT;
	world_send(&w, c, 0);
	for (unsigned int i = 0; i < 9; i++) {
		world_settle(&w);
		assert_int_equal(w.store.count, 300);
		world_pass(&w, BROKER_RETRY_US);
	}
	w.store.commit_error = 0;
	commits = w.store.commits;
	world_serve(&w);
	assert_true(store_memory_step(&w.store));
	assert_in_range(w.store.count, 1, 299);
	world_settle(&w);
	assert_int_equal(w.store.count, 0);
	assert_true(w.store.commits >= commits + 3);
}

/* Purging takes a slice; a wake that is with a consumer is not given to anybody else afterwards. */
static void test_purge(void **state)
{
	struct world_client *c = connect_one(1000);
	struct proto_queue_list list = {.queue = 1};

	(void)state;
	store(c, world_put(1, MONO, 0), "");
	store(c, world_put(2, MONO, 0), "");
	consume(c, 9);
	world_settle(&w);
	world_ask(&w, c, PROTO_QUEUE_PURGE, &list, 0);
	world_settle(&w);
	assert_int_equal(c->id, 1);
	assert_int_equal(w.store.count, 1);
	world_disconnect(&w, c);
	c = connect_one(1000);
	consume(c, 9);
	world_settle(&w);
	assert_int_equal(wakes, 1);
}

/* One user's queues all have a backlog; another user's wake comes after one round of turns. */
static void test_turns(void **state)
{
	struct world_client *busy[WORLD_QUEUES], *one = connect_one(1001);

	(void)state;
	w.b->config.limits.max_timers_per_user = 1000;
	for (unsigned int i = 0; i < WORLD_QUEUES; i++) {
		busy[i] = connect_one(1000);
		for (unsigned int k = 0; k < 24; k++)
			store(busy[i], world_put(i + 1, MONO, w.now.at[MONO] + SECOND), "");
	}
	for (unsigned int k = 0; k < WORLD_QUEUES; k++)
		for (unsigned int i = 0; i < 3; i++) {
			struct world_client *c = connect_one(1000);

			consume_with(c, (struct proto_queue_consume){.queue = k + 1, .window = 1});
		}
	store(one, world_put(1, MONO, w.now.at[MONO] + SECOND), "");
	consume(one, 1);
	world_settle(&w);
	world_pass(&w, SECOND);
	/* A slice is 16 packets: each queue has three to send, and user 1001 one. */
	broker_serve(w.b, &w.now);
	assert_int_equal(one->count, 1);
}

/* Uids that are recycled own no queue, whoever asks. */
static void test_uids(void **state)
{
	static const struct {
		uint32_t client, uid, status;
	} cases[] = {
		{1000, PROTO_QUEUE_OWN, PROTO_OK},
		{1000, 1000, PROTO_OK},
		{1000, 1001, PROTO_E_PERMISSION},
		{1000, 0, PROTO_E_PERMISSION},
		{0, PROTO_QUEUE_OWN, PROTO_OK},
		{0, 1000, PROTO_OK},
		{0, 61183, PROTO_OK},
		{0, 61184, PROTO_Q_USER},
		{0, 65519, PROTO_Q_USER},
		{0, 65520, PROTO_OK},
		{0, 65534, PROTO_Q_USER},
		{61184, PROTO_QUEUE_OWN, PROTO_Q_USER},
		{65000, PROTO_QUEUE_OWN, PROTO_Q_USER},
		{65519, PROTO_QUEUE_OWN, PROTO_Q_USER},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world_client *c = world_connect(&w, cases[i].client, NULL, false);

		world_begin(&w, c, PROTO_QUEUE_OPEN);
		queue_codec_put(&w.writer,
			&(struct proto_queue_open){.uid = cases[i].uid,
				.name_size = 1,
				.name = queue_codec_add_bytes(&w.writer, "q", 1)});
		world_send(&w, c, 0);
		assert_int_equal(c->status, cases[i].status);
		world_disconnect(&w, c);
	}
}

/* Root puts into a user's queue: the user sees it, and the user's quota counts. */
static void test_root(void **state)
{
	struct world_client *root = world_connect(&w, 0, NULL, false), *c;

	(void)state;
	world_begin(&w, root, PROTO_QUEUE_OPEN);
	queue_codec_put(&w.writer,
		&(struct proto_queue_open){.uid = 1000,
			.name_size = 2,
			.name = queue_codec_add_bytes(&w.writer, "q1", 2)});
	world_send(&w, root, 0);
	for (uint32_t i = 0; i < w.limits.max_timers_per_user; i++)
		store(root, world_put(1, MONO, 0), "");
	world_store(&w, root, world_put(1, MONO, 0), "", "");
	world_settle(&w);
	assert_int_equal(root->status, PROTO_E_TIMERS_USER);
	c = connect_one(1000);
	consume(c, 1);
	world_settle(&w);
	assert_int_equal(c->count, 1);
}

/* What one user's clients may have waiting is bounded together, and another user is read from. */
static void test_pending(void **state)
{
	struct world_client *c[12], *other = connect_one(1001);
	size_t sent = 0;

	(void)state;
	for (size_t i = 0; i < 12; i++)
		c[i] = connect_one(1000);
	for (size_t i = 0; i < 12; i++)
		while (broker_reads(w.b, c[i]->number) && sent < 5000) {
			world_begin(&w, c[i], PROTO_QUEUE_CANCEL);
			while (queue_codec_fits(&w.writer, 0))
				queue_codec_put(&w.writer,
					&(struct proto_queue_cancel){.id = 1, .queue = 1});
			world_send(&w, c[i], 0);
			sent++;
		}
	assert_true(w.b->clients[c[0]->number - 1]->user->pending <
		BROKER_PENDING_PER_USER + ((size_t)2 << 20));
	for (size_t i = 0; i < 12; i++)
		assert_false(broker_reads(w.b, c[i]->number));
	assert_true(broker_reads(w.b, other->number));
	world_settle(&w);
	for (size_t i = 0; i < 12; i++)
		assert_true(broker_reads(w.b, c[i]->number));
	assert_int_equal(w.b->clients[c[0]->number - 1]->user->pending, 0);
}

/* The clocks are stored with each commit, after a minute without one, and once the wall clock is
 * set. */
static void test_clocks_are_stored(void **state)
{
	struct world_client *c = connect_one(1000);
	uint64_t commits;

	(void)state;
	store(c, world_put(1, MONO, INT64_MAX), "");
	commits = w.store.commits;
	pass(59 * SECOND);
	assert_int_equal(w.store.commits, commits);
	pass(SECOND);
	assert_int_equal(w.store.commits, commits + 1);
	w.now.at[REAL] += 3 * SECOND / 2;
	world_settle(&w);
	assert_int_equal(w.store.commits, commits + 2);
	w.now.at[REAL] -= 3600 * SECOND;
	world_settle(&w);
	assert_int_equal(w.store.commits, commits + 3);
	/* Nobody is woken for it. */
	assert_true(broker_next_real(w.b) == PROTO_FOREVER);
}

static void test_reads_fail(void **state)
{
	struct world_client *c = connect_one(1000);
	struct proto_queue_list list = {.queue = 1};

	(void)state;
	store(c, world_put(1, MONO, w.now.at[MONO] + SECOND), "");
	w.store.read_error = -EIO;
	consume(c, 1);
	world_settle(&w);
	pass(5 * SECOND);
	assert_int_equal(wakes, 0);
	world_ask(&w, c, PROTO_QUEUE_LIST, &list, 0);
	world_settle(&w);
	assert_int_equal(c->answer.status, PROTO_Q_STORE_FAILED);
	w.store.read_error = 0;
	pass(SECOND);
	assert_int_equal(wakes, 1);
}

/* Bad packets: each request with each field of its header wrong, before and after the hello. Each
 * ends its connection by an error that names the fault; another consumer stays served. */

static const struct kind {
	uint16_t opcode, size, most;
} requests[] = {
	{PROTO_QUEUE_HELLO, 40, 1},
	{PROTO_QUEUE_OPEN, 16, 4094},
	{PROTO_QUEUE_PUT, 80, 818},
	{PROTO_QUEUE_CANCEL, 24, 2729},
	{PROTO_QUEUE_RESCHEDULE, 48, 1364},
	{PROTO_QUEUE_CONSUME, 24, 1},
	{PROTO_QUEUE_DETACH, 8, 1},
	{PROTO_QUEUE_ACK, 24, 2729},
	{PROTO_QUEUE_RETRY, 32, 2047},
	{PROTO_QUEUE_REVIVE, 16, 4094},
	{PROTO_QUEUE_PURGE, 8, 1},
	{PROTO_QUEUE_LIST, 8, 1},
	{PROTO_QUEUE_QUEUES, 8, 1},
	{PROTO_QUEUE_STATUS, 0, 0},
};

static unsigned int attacks;

/* The packet holds zeros behind its header. */
static void attack(struct proto_header header, size_t size, bool greeted, uint32_t status)
{
	static _Alignas(8) uint8_t packet[PROTO_PACKET_MAX + 64];
	struct world_client *c;

	attacks++;
	header = (struct proto_header){
		.opcode = htole16(header.opcode),
		.record_size = htole16(header.record_size),
		.count = htole16(header.count),
		.status = htole16(header.status),
		.serial = htole64(header.serial),
	};
	memcpy(packet, &header, sizeof(header));
	if (greeted) {
		c = world_connect(&w, 1000, NULL, false);
	} else {
		for (c = w.clients; c->connected; c++)
			;
		*c = (struct world_client){.connected = true};
		assert_int_equal(broker_connect(w.b, 1000, 0, &c->number), PROTO_OK);
	}
	assert_int_equal(world_send_bytes(&w, c, packet, size), 1);
	assert_true(c->ended);
	assert_int_equal(c->status, status);
	world_disconnect(&w, c);
}

static void attack_with(const struct kind *r, bool greeted)
{
	struct proto_header bad, *h = &bad, good;
	size_t size = sizeof(*h) + (r->most ? r->size : 0);
	uint32_t broken = PROTO_E_PACKET;

	good = (struct proto_header){
		.opcode = r->opcode,
		.record_size = r->size,
		.count = r->most > 0,
		.serial = greeted ? 2 : 1,
	};
	/* Out of turn. */
	*h = good;
	if (greeted == (r->opcode == PROTO_QUEUE_HELLO))
		attack(*h, size, greeted, PROTO_E_SEQUENCE);
	for (uint64_t serial = 3; greeted && serial; serial <<= 7) {
		h->serial = serial;
		attack(*h, size, greeted, PROTO_E_SEQUENCE);
	}
#define WRONG(size, ...)                           \
	do {                                       \
		*h = good;                         \
		__VA_ARGS__;                       \
		attack(*h, size, greeted, broken); \
	} while (0)
	for (size_t cut = 0; cut < sizeof(*h); cut += 5)
		WRONG(cut, (void)0);
	WRONG(size, h->serial = 0);
	WRONG(size, h->status = 1);
	WRONG(size, h->opcode |= PROTO_ANSWER);
	WRONG(size, h->opcode |= 0x100);
	WRONG(size, h->record_size++);
	WRONG(size, h->record_size = UINT16_MAX);
	WRONG(size, h->record_size = r->size ? 0 : 8);
	WRONG(size, h->count = r->most ? 0 : 1);
	WRONG(size, h->count = (uint16_t)(r->most + 1));
	WRONG(size, h->count = UINT16_MAX);
	WRONG(PROTO_PACKET_MAX + 1, (void)0);
	if (r->size)
		WRONG(size - 1, (void)0);
	/* A byte behind the records, where nothing can point to it. */
	if (r->opcode != PROTO_QUEUE_OPEN && r->opcode != PROTO_QUEUE_PUT &&
		r->opcode != PROTO_QUEUE_CANCEL && r->opcode != PROTO_QUEUE_RESCHEDULE)
		WRONG(size + 1, (void)0);
}

static void test_hostile(void **state)
{
	static const uint16_t strangers[] = {
		0, 1, 2, 6, 0x1f, 0x2e, 0x7f, 0x80, 0x100, 0x120, 0x121, 0xffff};
	struct world_client *witness = connect_one(1001);
	uint64_t before;

	(void)state;
	store(witness, world_put(1, MONO, 0), "");
	consume(witness, 1);
	world_settle(&w);
	before = wakes;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		for (int greeted = 0; greeted < 2; greeted++)
			attack_with(&requests[i], greeted);
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
		for (int greeted = 0; greeted < 2; greeted++)
			attack((struct proto_header){.opcode = strangers[i],
				       .serial = greeted ? 2 : 1},
				sizeof(struct proto_header), greeted, PROTO_E_PACKET);
	assert_true(attacks >= 300);
	print_message("%u bad packets\n", attacks);
	store(witness, world_put(1, MONO, 0), "");
	acknowledge(witness, last.id, last.number);
	assert_int_equal(wakes, before + 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_put_again),
		TEST(test_token_of_another_user),
		TEST(test_put_under_way),
		TEST(test_put_records),
		TEST(test_window),
		TEST(test_full),
		TEST(test_failed),
		TEST(test_puts_unread),
		TEST(test_disconnect_counts),
		TEST(test_attempts),
		TEST(test_revive),
		TEST(test_max_late),
		TEST(test_overruns),
		TEST(test_reschedule),
		TEST(test_overdue),
		TEST(test_blocked),
		TEST(test_oldest_first),
		TEST(test_held),
		TEST(test_load_and_reschedule),
		TEST(test_purge),
		TEST(test_purge_slice),
		TEST(test_one_transaction),
		TEST(test_transaction_takes_too_long),
		TEST(test_turns),
		TEST(test_uids),
		TEST(test_root),
		TEST(test_pending),
		TEST(test_clocks_are_stored),
		TEST(test_reads_fail),
		TEST(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
