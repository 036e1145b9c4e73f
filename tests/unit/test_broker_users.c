/* SPDX-License-Identifier: MIT */
/* Several users: turns, ownership, and how much a user may have waiting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "broker_scene.h"

/* All queues of one user have a backlog. Another user's wake comes after one round of turns. */
static void test_turns_go_round_by_user(void **state)
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
	/* A slice has 16 packets. Each queue has three packets, and user 1001 has one. */
	broker_serve(w.b, &w.now);
	assert_int_equal(one->count, 1);
}

/* Uids that systemd reuses own no queue, whoever asks. */
static void test_recycled_uids_own_no_queue(void **state)
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
static void test_root_puts_for_a_user(void **state)
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

/* All clients of one user together may have a bounded amount waiting. Meanwhile the broker reads
 * from another user. */
static void test_what_a_user_has_waiting_is_bounded(void **state)
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

static uint64_t commits_at_answer; /* when user 1001 was answered; 0: not yet */

static void note_answer(
	struct world *world, struct world_client *c, const struct queue_codec_packet *p)
{
	if (p->header.opcode == (PROTO_QUEUE_PUT | PROTO_ANSWER) &&
		world->b->clients[c->number - 1]->uid == 1001)
		commits_at_answer = world->store.commits;
}

/* Sends a packet of puts that is as long as a packet may be. */
static void put_much(struct world_client *c)
{
	struct proto_queue_put put = world_put(1, MONO, w.now.at[MONO] + SECOND);

	world_begin(&w, c, PROTO_QUEUE_PUT);
	while (queue_codec_fits(&w.writer, 0))
		queue_codec_put(&w.writer, &put);
	world_send(&w, c, ++c->put);
}

/* Several users store without pause and have more waiting than a transaction takes. Another user's
 * put is in the next transaction, and all puts of each user are stored in their order. */
static void test_other_users_changes_do_not_queue_up(void **state)
{
	struct world_client *busy[12], *one;
	uint64_t puts = 0, commits;

	(void)state;
	w.b->config.limits.max_timers_per_user = 1 << 20;
	for (size_t i = 0; i < 12; i++)
		busy[i] = connect_one(2000 + (uint32_t)i / 2);
	one = connect_one(1001);
	for (size_t i = 0; i < 12; i++)
		while (broker_reads(w.b, busy[i]->number)) {
			put_much(busy[i]);
			puts++;
		}
	world_serve(&w); /* a transaction with the first of them */
	commits = w.store.commits;
	commits_at_answer = 0;
	w.seen = note_answer;
	world_store(&w, one, world_put(1, MONO, w.now.at[MONO] + SECOND), "", "");
	world_settle(&w);
	w.seen = NULL;
	assert_in_range(commits_at_answer, commits + 1, commits + 3);
	assert_true(w.store.commits > commits + 3);
	for (size_t i = 0; i < 12; i++) {
		assert_int_equal(busy[i]->status, PROTO_OK);
		assert_true(busy[i]->answers > 0);
		puts -= busy[i]->put;
	}
	assert_int_equal(puts, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(test_turns_go_round_by_user),
		SCENE(test_recycled_uids_own_no_queue),
		SCENE(test_root_puts_for_a_user),
		SCENE(test_what_a_user_has_waiting_is_bounded),
		SCENE(test_other_users_changes_do_not_queue_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
