/* SPDX-License-Identifier: MIT */
/* Puts: single records, one transaction for a packet, and puts that are sent again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "broker_scene.h"

static uint32_t statuses[4096]; /* in the last answer of struct proto_queue_stored or _done */
static const uint8_t token[PROTO_QUEUE_TOKEN_SIZE] = "a client's token";

/* A put that is sent again over a new connection is stored once, and gets the same answer. A put
 * that did not reach the store is stored then, even if a later put was stored before. */
static void test_put_sent_again_is_stored_once(void **state)
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
	/* The numbers must grow within one connection. */
	c->put = 0;
	world_store(&w, c, put, "one", "");
	assert_true(c->ended);
	assert_int_equal(c->status, PROTO_E_SEQUENCE);
}

/* A token belongs to a user. Another user who knows it learns nothing and changes nothing. */
static void test_token_is_of_one_user(void **state)
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

/* The connection breaks while puts are under way. The new connection waits for their result. */
static void test_new_connection_waits_for_puts_under_way(void **state)
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
	/* After a day and 64 further puts, the store has forgotten the first put. */
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

/* The broker judges each record alone: the limits of each field, and the quota. */
static void test_each_record_of_a_put_is_judged_alone(void **state)
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
	/* Another user has its own quota. */
	store(connect_one(1001), put, "");
}

/* If the store cannot read the receipts of a token, only puts of this client wait. */
static void test_puts_that_cannot_be_read_delay_puts_alone(void **state)
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

/* The changes of a packet are one transaction: the packet's serial is stored with all of them. */
static void test_changes_of_a_packet_are_one_transaction(void **state)
{
	struct proto_queue_put put = world_put(1, MONO, INT64_MAX);
	struct world_client *clients[15];
	uint32_t packets = 0;

	(void)state;
	w.b->config.limits.max_timers_per_user = 1 << 20;
	for (unsigned int i = 0; i < 15; i++)
		clients[i] = connect_one(1000 + i);
	/* More than one transaction holds, in packets that do not fill it exactly; and no more than
	 * one user may have waiting. */
	for (; packets < 30; packets++) {
		struct world_client *c = clients[packets / 2];

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(test_put_sent_again_is_stored_once),
		SCENE(test_token_is_of_one_user),
		SCENE(test_new_connection_waits_for_puts_under_way),
		SCENE(test_each_record_of_a_put_is_judged_alone),
		SCENE(test_puts_that_cannot_be_read_delay_puts_alone),
		SCENE(test_changes_of_a_packet_are_one_transaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
