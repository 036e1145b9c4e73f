/* SPDX-License-Identifier: MIT */
/*
 * The broker while its store is full, fails or purges; and when the broker stores the clocks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "broker_scene.h"

/* No space: the broker refuses puts at once. Acknowledgements stay in the window. When commits
 * without puts succeed, they are stored. */
static void test_full_store_refuses_puts_and_keeps_acknowledgements(void **state)
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
	/* The acknowledgement is stored, and the next wake has come. */
	assert_int_equal(wakes, 3);
	assert_null(store_memory_find(&w.store, first.timer));
	assert_int_equal(w.b->counts.acknowledged, 1);
}

static void test_failed_store_answers_nothing_as_stored(void **state)
{
	struct world_client *c = connect_one(1000);
	struct proto_queue_put put = world_put(1, MONO, 0);
	uint64_t id;

	(void)state;
	store(c, put, "");
	consume(c, 1);
	world_settle(&w);
	id = last.id;
	/* The failed transaction may be on the disk. Nothing after it is. */
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

static void test_failed_reads_are_tried_again(void **state)
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

/* Purging takes several slices. A wake that a consumer has goes to nobody else afterwards. */
static void test_purge_gives_a_delivered_wake_to_nobody_else(void **state)
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

/* Purging takes slices of 1000 rows. A consumer can still acknowledge a wake whose row exists. */
static void test_purge_of_a_slice_leaves_other_rows_to_be_acknowledged(void **state)
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

/* The clocks are stored with each commit, after a minute without a commit, and when the wall clock
 * is set. */
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
	/* It causes no wake-up of the machine. */
	assert_true(broker_next_real(w.b) == PROTO_FOREVER);
}

/* A transaction that takes longer than the store allows is repeated in parts. */
static void test_transaction_that_takes_too_long_is_parted(void **state)
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

/* A put with a key into a queue of the client's. */
static void put_key(struct world_client *c, uint32_t queue, const char *payload)
{
	world_store(&w, c, world_put(queue, MONO, INT64_MAX), "key", payload);
}

/* While another session has locked a queue, its changes wait, in order, and those of other queues
 * do not. */
static void test_locked_queue_does_not_delay_others(void **state)
{
	struct world_client *c = connect_one(1000), *other = connect_one(1000);
	uint64_t commits;
	uint32_t queue;

	(void)state;
	world_settle(&w);
	put_key(other, 1, "old");
	world_settle(&w);
	w.store.locked = queue = w.store.rows[0].t.queue;
	put_key(other, 1, "a later one");
	world_serve(&w);
	put_key(other, 1, "newest");
	put_key(c, 2, "");
	c->status = other->status = UINT32_MAX;
	world_settle(&w);
	assert_int_equal(c->status, PROTO_OK);
	assert_int_equal(other->status, UINT32_MAX);
	assert_int_equal(w.store.count, 2);
	assert_false(broker_idle(w.b));
	/* Few commits: one for each retry. */
	commits = w.store.commits;
	for (unsigned int i = 0; i < 10; i++) {
		world_pass(&w, SECOND / 10);
		world_settle(&w);
	}
	assert_in_range(w.store.commits - commits, 2, 5);
	/* The end of a transaction tries these changes again. Until then no retry is due. */
	put_key(c, 2, "");
	world_serve(&w);
	assert_true(w.b->commit_under_way);
	world_pass(&w, SECOND);
	assert_true(broker_next_real(w.b) > w.now.real);
	w.store.locked = 0;
	put_key(c, 2, "");
	world_pass(&w, SECOND);
	world_settle(&w);
	assert_int_equal(other->status, PROTO_OK);
	assert_int_equal(w.store.count, 2);
	for (size_t i = 0; i < w.store.count; i++)
		assert_true(w.store.rows[i].t.queue != queue ||
			w.store.rows[i].t.payload_size == strlen("newest"));
	assert_true(broker_idle(w.b));
}

/* A put into a locked queue is refused after some seconds. An acknowledgement waits for longer. */
static void test_locked_queue_refuses_puts_at_last(void **state)
{
	struct world_client *c = connect_one(1000);
	struct proto_queue_ack ack = {.queue = 1, .number = 1};

	(void)state;
	world_store(&w, c, world_put(1, MONO, 0), "", "");
	world_settle(&w);
	ack.id = c->id;
	consume(c, 10);
	world_settle(&w);
	assert_int_equal(c->count, 1);
	w.store.locked = w.store.rows[0].t.queue;
	world_forget(c, ack.id, 1);
	world_ask(&w, c, PROTO_QUEUE_ACK, &ack, 0);
	world_settle(&w);
	put_key(c, 1, "");
	c->status = UINT32_MAX;
	for (unsigned int i = 0; i < 100; i++) {
		assert_true(i < 30 ? c->status == UINT32_MAX : true);
		world_pass(&w, SECOND / 10);
		world_settle(&w);
	}
	assert_int_equal(c->status, PROTO_Q_STORE_AWAY);
	assert_int_equal(w.store.count, 1);
	w.store.locked = 0;
	world_pass(&w, SECOND);
	world_settle(&w);
	assert_int_equal(c->status, PROTO_OK);
	assert_int_equal(w.store.count, 0);
}

static uint64_t commits_at_answer; /* that had begun when the first put was answered */

static void note_commits(
	struct world *world, struct world_client *c, const struct queue_codec_packet *p)
{
	(void)c;
	if (p->header.opcode == (PROTO_QUEUE_PUT | PROTO_ANSWER) && !commits_at_answer)
		commits_at_answer = world->b->commits + world->b->commit_under_way;
}

/* What waits for the disk does not wait for the answers of the transaction before. */
static void test_next_transaction_begins_before_the_answers(void **state)
{
	struct world_client *one = connect_one(1000), *two = connect_one(1000);
	struct proto_queue_put put = world_put(1, MONO, INT64_MAX);
	uint64_t commits;

	(void)state;
	world_settle(&w);
	commits = w.b->commits;
	commits_at_answer = 0;
	w.seen = note_commits;
	world_store(&w, one, put, "", "");
	world_serve(&w);
	world_store(&w, two, put, "", "");
	world_serve(&w);
	assert_true(w.b->commit_under_way);
	world_settle(&w);
	w.seen = NULL;
	assert_int_equal(commits_at_answer, commits + 2);
	assert_int_equal(w.store.count, 2);
	assert_int_equal(one->status, PROTO_OK);
	assert_int_equal(two->status, PROTO_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(test_full_store_refuses_puts_and_keeps_acknowledgements),
		SCENE(test_failed_store_answers_nothing_as_stored),
		SCENE(test_transaction_that_takes_too_long_is_parted),
		SCENE(test_locked_queue_does_not_delay_others),
		SCENE(test_locked_queue_refuses_puts_at_last),
		SCENE(test_purge_gives_a_delivered_wake_to_nobody_else),
		SCENE(test_purge_of_a_slice_leaves_other_rows_to_be_acknowledged),
		SCENE(test_clocks_are_stored),
		SCENE(test_next_transaction_begins_before_the_answers),
		SCENE(test_failed_reads_are_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
