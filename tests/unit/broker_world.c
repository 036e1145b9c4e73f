/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "broker_world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct world_client *client_of(struct world *w, uint32_t number)
{
	for (size_t i = 0; i < WORLD_CLIENTS; i++)
		if (w->clients[i].connected && w->clients[i].number == number)
			return &w->clients[i];
	fail_msg("a packet for client %u, which is none", number);
	return NULL;
}

static void note_wake(struct world *w, struct world_client *c, const struct proto_queue_wake *r)
{
	if (w->woken)
		w->woken(w, c, r);
	if (c->count == c->room) {
		c->room = c->room ? 2 * c->room : 16;
		c->wakes = realloc(c->wakes, c->room * sizeof(*c->wakes));
		assert_non_null(c->wakes);
	}
	c->wakes[c->count++] = (struct world_wake){
		.timer = r->id,
		.number = r->number,
		.queue = r->queue,
	};
}

static void note_answer(struct world_client *c, const struct queue_codec_packet *p)
{
	_Alignas(8) uint8_t record[256];

	c->answer = p->header;
	c->answers++;
	c->status = 0;
	if (!p->header.count)
		return;
	queue_codec_get(p, 0, record);
	switch (p->header.opcode & ~PROTO_ANSWER) {
	case PROTO_QUEUE_PUT:
	case PROTO_QUEUE_RESCHEDULE:
		c->id = ((const struct proto_queue_stored *)record)->id;
		c->status = ((const struct proto_queue_stored *)record)->status;
		break;
	case PROTO_QUEUE_OPEN:
		c->status = ((const struct proto_queue_opened *)record)->status;
		break;
	case PROTO_QUEUE_CANCEL:
	case PROTO_QUEUE_ACK:
	case PROTO_QUEUE_RETRY:
	case PROTO_QUEUE_REVIVE:
	case PROTO_QUEUE_CONSUME:
	case PROTO_QUEUE_DETACH:
	case PROTO_QUEUE_PURGE:
		c->id = ((const struct proto_queue_done *)record)->id;
		c->status = ((const struct proto_queue_done *)record)->status;
		break;
	default:
		break;
	}
}

static int take_packet(void *userdata, uint32_t client, const void *packet, size_t size)
{
	struct world *w = userdata;
	struct world_client *c = client_of(w, client);
	struct queue_codec_packet p;

	assert_int_equal(queue_codec_open(packet, size, CODEC_FROM_DAEMON, &p), CODEC_OK);
	if (p.header.opcode == PROTO_QUEUE_WAKE && c->stuck)
		return -EAGAIN;
	if (w->seen)
		w->seen(w, c, &p);
	if (p.header.opcode == PROTO_QUEUE_WAKE) {
		for (uint32_t i = 0; i < p.header.count; i++) {
			struct proto_queue_wake r;

			queue_codec_get(&p, i, &r);
			note_wake(w, c, &r);
		}
	} else if (p.header.opcode == PROTO_ERROR) {
		struct proto_error error;

		queue_codec_get(&p, 0, &error);
		c->status = error.status;
		c->ended = true;
	} else {
		note_answer(c, &p);
	}
	return 0;
}

static void resume(void *userdata, uint32_t client)
{
	client_of(userdata, client);
}

static void make_broker(struct world *w)
{
	struct broker_config config = {
		.load_ahead = w->load_ahead,
		.limits = w->limits,
		.pid = 1,
		.instance = 2,
		.started = w->now.real,
		.can_wake_system = true,
		.overflow_uid = 65534,
		.version = "test",
	};

	w->outlet = (struct broker_outlet){.send = take_packet, .resume = resume, .userdata = w};
	assert_int_equal(broker_new(&w->b, &config, &w->store.base, &w->outlet), 0);
}

void world_start(struct world *w)
{
	store_memory_init(&w->store);
	w->now = (struct broker_now){
		.at = {1000000, 2000000, 3000000000},
		.real = 2000000,
	};
	if (!w->limits.max_clients)
		w->limits = (struct broker_limits){100, 1 << 20, 64, 64};
	make_broker(w);
}

static void forget_clients(struct world *w)
{
	for (size_t i = 0; i < WORLD_CLIENTS; i++) {
		free(w->clients[i].wakes);
		w->clients[i] = (struct world_client){0};
	}
}

void world_end(struct world *w)
{
	store_memory_crash(&w->store, 0);
	w->b = broker_free(w->b);
	forget_clients(w);
	store_memory_free(&w->store);
}

void world_restart(struct world *w, size_t n)
{
	store_memory_crash(&w->store, n);
	broker_free(w->b);
	forget_clients(w);
	make_broker(w);
}

void world_begin(struct world *w, struct world_client *c, uint16_t opcode)
{
	queue_codec_begin(&w->writer, w->out, opcode, c->serial + 1);
}

int world_send_bytes(struct world *w, struct world_client *c, const void *bytes, size_t size)
{
	int r = broker_handle(w->b, c->number, bytes, size, &w->now);

	assert_in_range(r, 0, 1);
	c->ended = c->ended || r;
	return r;
}

void world_send(struct world *w, struct world_client *c, uint64_t cursor)
{
	size_t size = queue_codec_end(&w->writer, cursor);

	if (c->ended)
		return;
	c->serial++;
	world_send_bytes(w, c, w->out, size);
}

void world_ask(struct world *w, struct world_client *c, uint16_t opcode, const void *record,
	uint64_t cursor)
{
	world_begin(w, c, opcode);
	if (record)
		queue_codec_put(&w->writer, record);
	world_send(w, c, cursor);
}

struct world_client *world_connect(struct world *w, uint32_t uid, const uint8_t *token, bool opens)
{
	struct proto_queue_hello hello = {
		.magic = PROTO_QUEUE_MAGIC,
		.version = PROTO_QUEUE_VERSION,
	};
	struct world_client *c = w->clients;

	while (c->connected)
		c++;
	assert_true(c < w->clients + WORLD_CLIENTS);
	*c = (struct world_client){0};
	assert_int_equal(broker_connect(w->b, uid, 0, &w->now, &c->number), PROTO_OK);
	c->connected = true;
	if (token)
		memcpy(hello.token, token, sizeof(hello.token));
	world_ask(w, c, PROTO_QUEUE_HELLO, &hello, 0);
	if (!opens)
		return c;
	world_begin(w, c, PROTO_QUEUE_OPEN);
	for (unsigned int i = 0; i < WORLD_QUEUES; i++) {
		char name[3] = {'q', (char)('1' + i), 0};
		struct proto_queue_open open = {
			.uid = PROTO_QUEUE_OWN,
			.name_size = 2,
			.name = queue_codec_add_bytes(&w->writer, name, 2),
		};

		queue_codec_put(&w->writer, &open);
	}
	world_send(w, c, 0);
	assert_int_equal(c->status, PROTO_OK);
	return c;
}

void world_disconnect(struct world *w, struct world_client *c)
{
	broker_disconnect(w->b, c->number, &w->now);
	free(c->wakes);
	*c = (struct world_client){0};
}

struct proto_queue_put world_put(uint32_t queue, unsigned int clock, uint64_t due)
{
	return (struct proto_queue_put){
		.due = due,
		.max_late = PROTO_FOREVER,
		.queue = queue,
		.clock = (uint8_t)clock,
	};
}

void world_store(struct world *w, struct world_client *c, struct proto_queue_put put,
	const char *key, const char *payload)
{
	world_begin(w, c, PROTO_QUEUE_PUT);
	put.key_size = (uint16_t)strlen(key);
	put.payload_size = (uint32_t)strlen(payload);
	put.data = queue_codec_add_bytes(&w->writer, key, put.key_size);
	queue_codec_add_bytes(&w->writer, payload, put.payload_size);
	queue_codec_put(&w->writer, &put);
	world_send(w, c, ++c->put);
}

void world_serve(struct world *w)
{
	unsigned int turns = 0;

	while (broker_serve(w->b, &w->now))
		assert_true(++turns < 10000);
}

void world_settle(struct world *w)
{
	unsigned int turns = 0;

	do {
		world_serve(w);
		assert_true(++turns < 10000);
	} while (store_memory_step(&w->store));
	world_serve(w);
}

void world_pass(struct world *w, uint64_t span)
{
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
		w->now.at[i] += span;
	w->now.real += span;
}

bool world_forget(struct world_client *c, uint64_t timer, uint32_t number)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->wakes[i].timer == timer && c->wakes[i].number == number) {
			c->wakes[i] = c->wakes[--c->count];
			return true;
		}
	return false;
}

#define WAKE_OF(l) LINK_OWNER(l, struct wake, link)

static size_t length(const struct link *head)
{
	size_t n = 0;

	for (const struct link *at = head->next; at != head; at = at->next) {
		assert_ptr_equal(at->next->prev, at);
		n++;
	}
	return n;
}

/* Checks that a lane is in order, and that each of its wakes is a row of the store. */
static void check_lane(struct world *w, const struct lane *lane)
{
	const struct wake *before = NULL;
	size_t n = 0;

	for (const struct link *at = lane->wakes.next; at != &lane->wakes; at = at->next, n++) {
		const struct wake *wake = WAKE_OF(at);
		const struct store_timer *row = store_memory_find(&w->store, wake->t.id);

		assert_int_equal(wake->state, WAKE_LOADED);
		assert_false(wake->gone);
		assert_null(wake->consumer);
		assert_non_null(row);
		assert_int_equal(row->ready, wake->t.ready);
		assert_int_equal(row->due, wake->t.due);
		assert_int_equal(row->number, wake->t.number);
		assert_int_equal(row->attempt, wake->t.attempt);
		assert_int_equal(row->every, wake->t.every);
		assert_int_equal(row->count, wake->t.count);
		if (before)
			assert_true(before->t.ready < wake->t.ready ||
				(before->t.ready == wake->t.ready && before->t.id < wake->t.id));
		assert_true(lane_reaches(lane, wake->t.ready, wake->t.id));
		before = wake;
	}
	assert_int_equal(n, lane->count);
}

/* A window contains the wakes that the consumer has, and those whose acknowledgement is not stored
 * yet. */
static void check_consumer(struct world *w, const struct consumer *c)
{
	assert_int_equal(c->used, length(&c->unacked) + length(&c->changing));
	assert_true(c->used <= c->window);
	for (const struct link *at = c->unacked.next; at != &c->unacked; at = at->next) {
		const struct wake *wake = WAKE_OF(at);
		const struct store_timer *row = store_memory_find(&w->store, wake->t.id);

		assert_int_equal(wake->state, WAKE_UNACKED);
		assert_ptr_equal(wake->consumer, c);
		if (wake->gone || wake->unsure)
			continue;
		assert_non_null(row);
		assert_int_equal(row->number, wake->t.number);
		assert_int_equal(row->attempt, wake->t.attempt);
	}
	if (c->ack_within && !link_is_empty(&c->unacked))
		assert_int_equal(
			c->overdue.key, WAKE_OF(c->unacked.next)->sent_real + c->ack_within);
}

/* Each row of the queue is in memory, or is beyond the horizon and counted there. */
static void check_row(
	struct world *w, const struct queue *queue, const struct store_timer *t, bool idle)
{
	const struct lane *lane = &queue->lanes[t->clock];
	const struct wake *wake = wake_find(w->b, t->id);
	uint64_t latest;

	if (!wake) {
		assert_false(lane_reaches(lane, t->ready, t->id) && !lane->loading);
		assert_true(lane->next <= t->ready || lane->loading);
	}
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
		idle = idle && !queue->lanes[i].loading;
	if (!idle || !queue_is_open(queue) || w->now.held[t->clock])
		return;
	if (wake && wake->state != WAKE_LOADED)
		return;
	/* No wake that may be delivered remains, and the alarm rings in time. */
	if (wake)
		assert_true(t->ready > w->now.at[t->clock]);
	if (lane->loading || lane->retry.at)
		return;
	assert_true(t->ready > w->now.at[t->clock]);
	if (__builtin_add_overflow(t->ready, t->slack, &latest))
		latest = PROTO_FOREVER;
	assert_true(broker_next(w->b, t->clock, false) <= latest);
	if (t->flags & PROTO_WAKE_SYSTEM)
		assert_true(broker_next(w->b, t->clock, true) <= latest);
}

/* The machine is woken for a timer that exists, and not before its due. */
static void check_wake_system(struct world *w, unsigned int clock)
{
	uint64_t next = broker_next(w->b, clock, true);
	bool found = next == PROTO_FOREVER;

	LINK_FOR_EACH(at, &w->b->all_queues)
	{
		const struct lane *lane = &LINK_OWNER(at, struct queue, all)->lanes[clock];

		found = found || lane->loading || lane->recheck_beyond;
	}
	for (size_t i = 0; i < w->store.count && !found; i++) {
		const struct store_timer *t = &w->store.rows[i].t;
		uint64_t latest;

		if (__builtin_add_overflow(t->ready, t->slack, &latest))
			latest = PROTO_FOREVER;
		found = !t->parked && t->flags & PROTO_WAKE_SYSTEM && t->clock == clock &&
			t->ready <= next && next <= latest;
	}
	assert_true(found);
}

static void check_queue(struct world *w, struct queue *queue, bool idle)
{
	uint64_t unacked = 0, changing = length(&queue->changing);

	assert_int_equal(queue->consumers, length(&queue->with_room) + length(&queue->full));
	for (unsigned int i = 0; i < 2; i++)
		LINK_FOR_EACH(at, i ? &queue->full : &queue->with_room)
		{
			struct consumer *c = LINK_OWNER(at, struct consumer, of_queue);

			check_consumer(w, c);
			unacked += length(&c->unacked);
			changing += length(&c->changing);
		}
	assert_int_equal(unacked, queue->unacked);
	assert_int_equal(changing, queue->under_way);
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
		check_lane(w, &queue->lanes[i]);
	if (!queue->consumers)
		return;
	for (size_t i = 0; i < w->store.count; i++)
		if (w->store.rows[i].t.queue == queue->number && !w->store.rows[i].t.parked)
			check_row(w, queue, &w->store.rows[i].t, idle);
}

void world_check(struct world *w, bool idle)
{
	uint64_t consumers = 0;

	LINK_FOR_EACH(at, &w->b->all_queues)
	{
		struct queue *queue = LINK_OWNER(at, struct queue, all);

		check_queue(w, queue, idle);
		consumers += queue->consumers;
	}
	assert_int_equal(consumers, w->b->consumer_count);
	if (!idle)
		return;
	assert_true(link_is_empty(&w->b->dirty));
	assert_true(link_is_empty(&w->b->turns));
	/* The alarm is not set to an instant that has passed: the loop would spin. */
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++) {
		assert_true(broker_next(w->b, i, false) > w->now.at[i]);
		assert_true(broker_next(w->b, i, true) > w->now.at[i]);
	}
	assert_true(broker_next_real(w->b) > w->now.real);
	for (unsigned int i = 0; idle && i < PROTO_CLOCKS; i++)
		check_wake_system(w, i);
}
