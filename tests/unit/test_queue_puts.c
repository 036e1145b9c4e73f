/* SPDX-License-Identifier: MIT */
/*
 * Each put is stored once. Senders put timers over many random steps, each with a token and without
 * waiting. A sender loses its connection, or the broker dies, at any step. The sender then sends
 * its unanswered puts again, with their old numbers. The store works piece by piece, refuses, and
 * sometimes does not know.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker_world.h"
#include "dice.h"

#define SENDERS 4
#define NAMES	(1 << 20) /* the most puts of all senders */
#define STEPS	300000
#define AGAIN	UINT64_MAX

/* A put whose answer has not come. */
struct flying {
	uint64_t cursor, serial; /* serial: of this connection; AGAIN: must be sent again */
	uint32_t name;
};

struct sender {
	uint8_t token[PROTO_QUEUE_TOKEN_SIZE];
	struct world_client *client; /* NULL: it is not connected */
	uint64_t cursor;
	struct flying flying[STORE_PUTS];
	size_t count;
};

static struct world w;
static struct dice dice;
static struct sender senders[SENDERS];
static uint8_t stored[NAMES]; /* how often each put was stored */
static uint32_t names;
static uint64_t answered, refused, again;

static void note_stored(void *userdata, const struct store_timer *t)
{
	uint32_t name;

	(void)userdata;
	memcpy(&name, t->payload, sizeof(name));
	assert_int_equal(stored[name], 0);
	stored[name]++;
}

static struct sender *sender_of(const struct world_client *c)
{
	for (size_t i = 0; i < SENDERS; i++)
		if (senders[i].client == c)
			return &senders[i];
	return NULL;
}

static void note_answer(
	struct world *world, struct world_client *c, const struct queue_codec_packet *p)
{
	struct sender *s = sender_of(c);
	struct proto_queue_stored a;

	(void)world;
	if (!s || p->header.opcode != (PROTO_QUEUE_PUT | PROTO_ANSWER))
		return;
	queue_codec_get(p, 0, &a);
	/* Answers come in the order of the requests, except those that the broker can give at once.
	 */
	for (size_t i = 0; i < s->count; i++) {
		if (s->flying[i].serial != p->header.serial)
			continue;
		if (a.status == PROTO_OK)
			assert_int_equal(stored[s->flying[i].name], 1);
		else if (a.status != PROTO_Q_STORE_UNKNOWN)
			assert_int_equal(stored[s->flying[i].name], 0);
		answered += a.status == PROTO_OK;
		refused += a.status != PROTO_OK;
		memmove(&s->flying[i], &s->flying[i + 1], (--s->count - i) * sizeof(s->flying[0]));
		return;
	}
	fail_msg("an answer to serial %llu, which nobody waits for",
		(unsigned long long)p->header.serial);
}

static void send_one(struct sender *s, struct flying *f)
{
	struct proto_queue_put put = world_put(1, PROTO_CLOCK_REALTIME, INT64_MAX);

	world_begin(&w, s->client, PROTO_QUEUE_PUT);
	put.payload_size = sizeof(f->name);
	put.data = queue_codec_add_bytes(&w.writer, &f->name, sizeof(f->name));
	queue_codec_put(&w.writer, &put);
	again += f->serial == AGAIN;
	f->serial = s->client->serial + 1;
	world_send(&w, s->client, f->cursor);
	assert_false(s->client && s->client->ended);
}

/* Sends the next put that must be sent again, or a new one. */
static void send_some(struct sender *s)
{
	if (!s->client || !broker_reads(w.b, s->client->number))
		return;
	for (size_t i = 0; i < s->count; i++)
		if (s->flying[i].serial == AGAIN) {
			send_one(s, &s->flying[i]);
			return;
		}
	if (s->count == STORE_PUTS || names == NAMES)
		return;
	s->flying[s->count] = (struct flying){.cursor = ++s->cursor, .name = names++};
	send_one(s, &s->flying[s->count++]);
}

static void lose(struct sender *s)
{
	s->client = NULL;
	for (size_t i = 0; i < s->count; i++)
		s->flying[i].serial = AGAIN;
}

static void change_store(void)
{
	static const struct {
		enum store_state state;
		int error;
	} kinds[] = {
		{STORE_OK, 0},
		{STORE_OK, 0},
		{STORE_OK, 0},
		{STORE_OK, 0},
		{STORE_FULL, -ENOSPC},
		{STORE_FAILED, -EIO},
		{STORE_FAILED, -EINPROGRESS},
		{STORE_OK, -ENOMEM},
	};
	size_t kind = (size_t)dice_below(&dice, sizeof(kinds) / sizeof(kinds[0]));

	w.store.state = kinds[kind].state;
	w.store.commit_error = kinds[kind].error;
	w.store.read_error = dice_once_in(&dice, 6) ? -EIO : 0;
	world_pass(&w, BROKER_RETRY_US);
}

static void step(void)
{
	struct sender *s = &senders[dice_below(&dice, SENDERS)];

	switch (dice_below(&dice, 12)) {
	case 0:
		if (dice_once_in(&dice, 30))
			change_store();
		break;
	case 1:
		if (s->client && dice_once_in(&dice, 8)) {
			world_disconnect(&w, s->client);
			lose(s);
		} else if (!s->client) {
			s->client = world_connect(&w, 1000, s->token, true);
		}
		break;
	case 2:
		if (!dice_once_in(&dice, 80))
			break;
		world_restart(&w, (size_t)dice_below(&dice, 4));
		for (size_t i = 0; i < SENDERS; i++)
			lose(&senders[i]);
		break;
	case 3:
	case 4:
		store_memory_step(&w.store);
		break;
	case 5:
	case 6:
		world_serve(&w);
		break;
	case 7:
		/* This test is not about the quota, and the store in memory is slow. */
		if (w.store.count > 500)
			store_memory_clear(&w.store);
		break;
	default:
		send_some(s);
		break;
	}
}

static void test_a_put_sent_again_is_stored_once(void **state)
{
	(void)state;
	dice = dice_new("test_queue_puts", 4);
	w = (struct world){.seen = note_answer};
	w.limits = (struct broker_limits){1000000, 1 << 30, 64, 64};
	world_start(&w);
	w.store.stored = note_stored;
	for (size_t i = 0; i < SENDERS; i++)
		senders[i].token[0] = (uint8_t)(i + 1);
	for (unsigned int i = 0; i < STEPS; i++)
		step();
	/* In the end each put is answered. */
	w.store.state = STORE_OK;
	w.store.commit_error = w.store.read_error = 0;
	for (unsigned int i = 0; i < SENDERS; i++) {
		struct sender *s = &senders[i];

		if (!s->client)
			s->client = world_connect(&w, 1000, s->token, true);
		for (unsigned int k = 0; s->count && k < 1000; k++) {
			size_t before = s->count;

			world_pass(&w, BROKER_RETRY_US);
			world_settle(&w);
			if (s->count == before)
				send_some(s);
			s->count = s->count > before ? before : s->count;
		}
		assert_int_equal(s->count, 0);
	}
	print_message("%u puts: %llu stored, %llu refused, %llu sent again\n", names,
		(unsigned long long)answered, (unsigned long long)refused,
		(unsigned long long)again);
	assert_true(answered > 1000 && refused > 100 && again > 1000);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_put_sent_again_is_stored_once)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
