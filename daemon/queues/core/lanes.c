/* SPDX-License-Identifier: MIT */
/*
 * Lanes: the first rows of a queue on one clock, in memory and in order.
 *
 * The horizon is a place in the lane's order. Every row up to it is in memory: loaded, with a
 * consumer, or being changed. So a new row is either put into its place in memory, or lies behind
 * the horizon and will be found by a later load. A row cannot be missed: a load begins at the
 * horizon, and whatever comes to be behind the horizon while a load is under way makes the lane
 * `stale`, so that it loads again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

static size_t slot_of(const struct broker *b, uint64_t id)
{
	/* Ids are given one after another; a multiplicative hash spreads them (Knuth, vol. 3). */
	return (size_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (b->wake_room - 1);
}

struct wake *wake_find(const struct broker *b, uint64_t id)
{
	struct wake *wake = b->wake_room ? b->wakes[slot_of(b, id)] : NULL;

	while (wake && wake->t.id != id)
		wake = wake->hash_next;
	return wake;
}

static bool grow(struct broker *b)
{
	size_t before = b->wake_room, room = before ? before * 2 : 1024;
	struct wake **old = b->wakes, **wakes = calloc(room, sizeof(*wakes));

	if (!wakes)
		return before > 0; /* longer chains */
	b->wakes = wakes;
	b->wake_room = room;
	for (size_t i = 0; i < before; i++)
		while (old[i]) {
			struct wake *wake = old[i], **slot = &wakes[slot_of(b, wake->t.id)];

			old[i] = wake->hash_next;
			wake->hash_next = *slot;
			*slot = wake;
		}
	free(old);
	return true;
}

struct wake *wake_new(struct broker *b, struct lane *lane, const struct store_timer *t)
{
	struct wake *wake, **slot;

	if (b->wake_count >= b->wake_room && !grow(b))
		return NULL;
	wake = malloc(sizeof(*wake) + t->key_size + t->payload_size);
	if (!wake)
		return NULL;
	*wake = (struct wake){.t = *t, .lane = lane};
	if (t->key_size)
		memcpy(wake->data, t->key, t->key_size);
	if (t->payload_size)
		memcpy(wake->data + t->key_size, t->payload, t->payload_size);
	wake->t.key = (const char *)wake->data;
	wake->t.payload = wake->data + t->key_size;
	slot = &b->wakes[slot_of(b, t->id)];
	wake->hash_next = *slot;
	*slot = wake;
	b->wake_count++;
	lane->queue->revived += t->timer != t->id;
	return wake;
}

void wake_free(struct broker *b, struct wake *wake)
{
	struct wake **at = &b->wakes[slot_of(b, wake->t.id)];

	while (*at != wake)
		at = &(*at)->hash_next;
	*at = wake->hash_next;
	b->wake_count--;
	wake->lane->queue->revived -= wake->t.timer != wake->t.id;
	free(wake);
}

static bool is_before(uint64_t ready_a, uint64_t id_a, uint64_t ready_b, uint64_t id_b)
{
	return ready_a != ready_b ? ready_a < ready_b : id_a < id_b;
}

static size_t bytes_of(const struct wake *wake)
{
	return (size_t)wake->t.key_size + wake->t.payload_size;
}

/* Puts a wake into its place, looked for from the end: most come last. */
static void insert(struct lane *lane, struct wake *wake)
{
	struct wake *after = lane->last;

	while (after && is_before(wake->t.ready, wake->t.id, after->t.ready, after->t.id))
		after = after->prev;
	wake->prev = after;
	wake->next = after ? after->next : lane->first;
	*(wake->next ? &wake->next->prev : &lane->last) = wake;
	*(after ? &after->next : &lane->first) = wake;
	wake->state = WAKE_LOADED;
	wake->consumer = NULL;
	lane->count++;
	lane->bytes += bytes_of(wake);
}

void lane_remove(struct lane *lane, struct wake *wake)
{
	*(wake->prev ? &wake->prev->next : &lane->first) = wake->next;
	*(wake->next ? &wake->next->prev : &lane->last) = wake->prev;
	wake->next = wake->prev = NULL;
	lane->count--;
	lane->bytes -= bytes_of(wake);
}

/* Drops what is too much from the lane's end; it is behind the horizon then. */
static void trim(struct broker *b, struct lane *lane)
{
	while (lane->count > 1 &&
		(lane->count > 2 * BROKER_BACKLOG || lane->bytes > 2 * BROKER_BACKLOG_BYTES)) {
		struct wake *last = lane->last;

		lane->next = last->t.ready < lane->next ? last->t.ready : lane->next;
		lane_remove(lane, last);
		wake_free(b, last);
		lane->horizon_ready = lane->last->t.ready;
		lane->horizon_id = lane->last->t.id;
	}
}

void lane_add(struct broker *b, struct lane *lane, const struct store_timer *t, struct wake *wake)
{
	bool within = !is_before(lane->horizon_ready, lane->horizon_id, t->ready, t->id);

	if (within && !wake)
		wake = wake_new(b, lane, t);
	if (within && wake) {
		insert(lane, wake);
		trim(b, lane);
		return;
	}
	if (within) {
		/* No memory: the row is found again by loading from just before it. */
		lane->horizon_ready = t->ready;
		lane->horizon_id = t->id - 1;
	}
	if (wake)
		wake_free(b, wake);
	lane->next = t->ready < lane->next ? t->ready : lane->next;
	lane->stale = true;
}

struct wake *lane_ready(const struct broker *b, const struct lane *lane)
{
	struct wake *first = lane->first;

	if (!first || b->now.held[lane->clock] || first->t.ready > b->now.at[lane->clock])
		return NULL;
	return first;
}

static void rows_loaded(struct store_reader *r, const struct store_timer *rows, size_t n,
	uint64_t next, bool more, int error)
{
	struct lane *lane = r->userdata;
	struct queue *queue = lane->queue;
	struct broker *b = queue->broker;

	(void)more;
	lane->loading = false;
	if (queue->dead) {
		queue_release(b, queue);
		return;
	}
	/* What could not be read stays behind the horizon, and is tried again. */
	if (error)
		lane->retry = b->now.real + BROKER_RETRY_US;
	if (error || lane->discard)
		return;
	for (size_t i = 0; i < n; i++) {
		struct wake *wake = wake_find(b, rows[i].id);

		/* A row that was added meanwhile may be here already. */
		if (!wake) {
			wake = wake_new(b, lane, &rows[i]);
			if (!wake)
				return;
			insert(lane, wake);
		}
		lane->horizon_ready = rows[i].ready;
		lane->horizon_id = rows[i].id;
	}
	/* What was added behind the horizon while the store was reading may be missing. */
	if (!lane->stale || next < lane->next)
		lane->next = next;
}

int lane_refill(struct broker *b, struct lane *lane)
{
	bool backlog = lane->first && lane_ready(b, lane);
	size_t most = backlog || lane->next <= b->now.at[lane->clock] ? BROKER_BACKLOG
								      : BROKER_AHEAD;
	size_t bytes = backlog ? BROKER_BACKLOG_BYTES : BROKER_AHEAD_BYTES;
	int r;

	if (lane->loading || lane->retry > b->now.real || lane->next == PROTO_FOREVER ||
		lane->count >= most / 2 || lane->bytes >= bytes / 2)
		return 0;
	lane->stale = lane->discard = false;
	lane->retry = 0;
	r = b->store->ops->load(b->store, lane->queue->number, lane->clock, lane->horizon_ready,
		lane->horizon_id, INT64_MAX, most - lane->count, &lane->reader);
	lane->loading = r == 0;
	return r;
}

void lane_reset(struct broker *b, struct lane *lane)
{
	while (lane->first) {
		struct wake *wake = lane->first;

		lane_remove(lane, wake);
		wake_free(b, wake);
	}
	lane->horizon_ready = lane->horizon_id = 0;
	lane->next = 0;
	lane->discard = true;
}

struct queue *queue_find(const struct broker *b, uint32_t number)
{
	struct queue *queue = b->queues;

	while (queue && (queue->number != number || queue->dead))
		queue = queue->next;
	return queue;
}

struct queue *queue_get(struct broker *b, uint32_t number, uint32_t uid)
{
	struct queue *queue = queue_find(b, number);

	if (queue)
		return queue;
	queue = calloc(1, sizeof(*queue));
	if (!queue)
		return NULL;
	queue->broker = b;
	queue->number = number;
	queue->uid = uid;
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++) {
		struct lane *lane = &queue->lanes[i];

		lane->queue = queue;
		lane->clock = (uint8_t)i;
		lane->reader = (struct store_reader){.rows = rows_loaded, .userdata = lane};
		/* Nothing is in memory; what there is has to be asked for. */
		lane->next = 0;
	}
	queue->next = b->queues;
	b->queues = queue;
	return queue;
}

void queue_release(struct broker *b, struct queue *queue)
{
	struct queue **at = &b->queues;

	queue->dead = true;
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
		lane_reset(b, &queue->lanes[i]);
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
		if (queue->lanes[i].loading)
			return;
	/* Wakes that are being changed point to their lane. */
	if (queue->changing)
		return;
	while (*at != queue)
		at = &(*at)->next;
	*at = queue->next;
	if (b->turn == queue)
		b->turn = queue->next;
	free(queue);
}
