/* SPDX-License-Identifier: MIT */
/*
 * Lanes: the first rows of a queue on one clock, in memory and in order.
 *
 * The horizon is a position in the lane's order. Every row up to the horizon is in memory: loaded,
 * with a consumer, or being changed. So a new row either gets its position in memory, or lies
 * beyond the horizon and a later load finds it. The store's results come in the order in which they
 * took effect (store.h), so a load has seen exactly the changes that were answered before it.
 */
#include "lanes.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "list.h"
#include "queue_table.h"

#define WAKE_OF(l) LINK_OWNER(l, struct wake, link)

static size_t slot_of(const struct broker *b, uint64_t id)
{
	/* Ids are given one after another; a multiplicative hash spreads them (Knuth, vol. 3). */
	return (size_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (b->wake_room - 1);
}

static size_t slot_of_name(const struct broker *b, uint64_t timer, uint32_t number)
{
	return slot_of(b, timer ^ (uint64_t)number << 32);
}

struct wake *wake_find(const struct broker *b, uint64_t id)
{
	struct wake *wake = b->wake_room ? b->by_id[slot_of(b, id)] : NULL;

	while (wake && (wake->t.id != id || wake->gone))
		wake = wake->next_by_id;
	return wake;
}

static bool is_unacked(
	const struct wake *wake, const struct consumer *consumer, uint64_t timer, uint32_t number)
{
	return wake->t.timer == timer && wake->t.number == number && wake->state == WAKE_UNACKED &&
		wake->consumer == consumer;
}

struct wake *wake_find_unacked(
	const struct broker *b, const struct consumer *consumer, uint64_t timer, uint32_t number)
{
	struct wake *wake = b->wake_room ? b->by_id[slot_of(b, timer)] : NULL;

	while (wake && !is_unacked(wake, consumer, timer, number))
		wake = wake->next_by_id;
	if (wake || !b->wake_room)
		return wake;
	wake = b->by_name[slot_of_name(b, timer, number)];
	while (wake && !is_unacked(wake, consumer, timer, number))
		wake = wake->next_by_name;
	return wake;
}

static bool is_revived(const struct store_timer *t)
{
	return t->timer != t->id;
}

static void enter(struct broker *b, struct wake *wake)
{
	struct wake **slot = &b->by_id[slot_of(b, wake->t.id)];

	wake->next_by_id = *slot;
	*slot = wake;
	if (!is_revived(&wake->t))
		return;
	slot = &b->by_name[slot_of_name(b, wake->t.timer, wake->t.number)];
	wake->next_by_name = *slot;
	*slot = wake;
}

static bool grow(struct broker *b)
{
	size_t before = b->wake_room, room = before ? before * 2 : 1024;
	struct wake **old = b->by_id;
	struct wake **by_id = calloc(room, sizeof(*by_id));
	struct wake **by_name = calloc(room, sizeof(*by_name));

	if (!by_id || !by_name) {
		free(by_id);
		free(by_name);
		return before > 0; /* longer chains */
	}
	free(b->by_name);
	b->by_id = by_id;
	b->by_name = by_name;
	b->wake_room = room;
	for (size_t i = 0; i < before; i++)
		while (old[i]) {
			struct wake *wake = old[i];

			old[i] = wake->next_by_id;
			enter(b, wake);
		}
	free(old);
	return true;
}

struct wake *wake_new(struct broker *b, struct lane *lane, const struct store_timer *t)
{
	struct wake *wake;

	if (b->wake_count >= b->wake_room && !grow(b))
		return NULL;
	wake = malloc(sizeof(*wake) + t->key_size + t->payload_size);
	if (!wake)
		return NULL;
	*wake = (struct wake){.t = *t, .lane = lane, .term = lane->queue->term};
	link_init(&wake->link);
	link_init(&wake->revived);
	if (t->key_size)
		memcpy(wake->data, t->key, t->key_size);
	if (t->payload_size)
		memcpy(wake->data + t->key_size, t->payload, t->payload_size);
	wake->t.key = (const char *)wake->data;
	wake->t.payload = wake->data + t->key_size;
	enter(b, wake);
	b->wake_count++;
	if (is_revived(t))
		link_insert(&lane->queue->revived, &wake->revived);
	return wake;
}

void wake_free(struct broker *b, struct wake *wake)
{
	struct wake **at = &b->by_id[slot_of(b, wake->t.id)];

	while (*at != wake)
		at = &(*at)->next_by_id;
	*at = wake->next_by_id;
	if (is_revived(&wake->t)) {
		at = &b->by_name[slot_of_name(b, wake->t.timer, wake->t.number)];
		while (*at != wake)
			at = &(*at)->next_by_name;
		*at = wake->next_by_name;
		link_remove(&wake->revived);
	}
	b->wake_count--;
	free(wake);
}

void lane_init(struct lane *lane, struct queue *queue, unsigned int clock)
{
	*lane = (struct lane){
		.queue = queue,
		.clock = (uint8_t)clock,
		.next_wake_system = PROTO_FOREVER,
	};
	link_init(&lane->wakes);
}

static bool is_before(uint64_t ready_a, uint64_t id_a, uint64_t ready_b, uint64_t id_b)
{
	return ready_a != ready_b ? ready_a < ready_b : id_a < id_b;
}

bool lane_reaches(const struct lane *lane, uint64_t ready, uint64_t id)
{
	return !is_before(lane->horizon_ready, lane->horizon_id, ready, id);
}

void lane_note_beyond(struct lane *lane, uint64_t ready, uint8_t flags)
{
	if (ready < lane->next)
		lane->next = ready;
	if (flags & PROTO_WAKE_SYSTEM && ready < lane->next_wake_system)
		lane->next_wake_system = ready;
}

/* Only for a row that wakes the machine, the lane looks beyond its horizon at once. For other rows,
 * a needless turn costs little. */
void lane_recheck_beyond(struct lane *lane)
{
	if (lane->next_wake_system == PROTO_FOREVER)
		return;
	lane->recheck_beyond = true;
	queue_touch(lane->queue);
}

static size_t bytes_of(const struct wake *wake)
{
	return (size_t)wake->t.key_size + wake->t.payload_size;
}

/* Inserts a wake. The position is searched from the end, because most wakes come last. */
static void insert(struct lane *lane, struct wake *wake)
{
	struct link *after = lane->wakes.prev;

	while (after != &lane->wakes &&
		is_before(wake->t.ready, wake->t.id, WAKE_OF(after)->t.ready, WAKE_OF(after)->t.id))
		after = after->prev;
	link_insert(after->next, &wake->link);
	wake->state = WAKE_LOADED;
	wake->consumer = NULL;
	lane->count++;
	lane->bytes += bytes_of(wake);
	lane->wake_system += (wake->t.flags & PROTO_WAKE_SYSTEM) != 0;
}

void lane_remove(struct lane *lane, struct wake *wake)
{
	link_remove(&wake->link);
	lane->count--;
	lane->bytes -= bytes_of(wake);
	lane->wake_system -= (wake->t.flags & PROTO_WAKE_SYSTEM) != 0;
}

/* Moves the horizon back. The results of the load under way become invalid. */
static void set_horizon(struct lane *lane, uint64_t ready, uint64_t id)
{
	lane->horizon_ready = ready;
	lane->horizon_id = id;
	lane->discard = lane->loading;
}

static bool is_too_much(const struct broker *b, const struct lane *lane)
{
	bool backlog = lane_ready(b, lane);

	return lane->count > (backlog ? 2 * BROKER_BACKLOG : 2 * BROKER_AHEAD) ||
		lane->bytes > (backlog ? 2 * BROKER_BACKLOG_BYTES : 2 * BROKER_AHEAD_BYTES);
}

/* Drops wakes from the lane's end while there are too many. Their rows are beyond the horizon then.
 */
static void trim(struct broker *b, struct lane *lane)
{
	while (lane->count > 1 && is_too_much(b, lane)) {
		struct wake *last = WAKE_OF(lane->wakes.prev), *before;

		lane_note_beyond(lane, last->t.ready, last->t.flags);
		lane_remove(lane, last);
		wake_free(b, last);
		before = WAKE_OF(lane->wakes.prev);
		set_horizon(lane, before->t.ready, before->t.id);
	}
}

void lane_add(struct broker *b, struct lane *lane, const struct store_timer *t, struct wake *wake)
{
	bool within = lane_reaches(lane, t->ready, t->id);

	queue_touch(lane->queue);
	if (within && !wake)
		wake = wake_new(b, lane, t);
	if (within && wake) {
		insert(lane, wake);
		trim(b, lane);
		return;
	}
	/* No memory: a load from just before the row will find it again. */
	if (within)
		set_horizon(lane, t->ready, t->id - 1);
	lane_note_beyond(lane, t->ready, t->flags);
	if (wake)
		wake_free(b, wake);
}

struct wake *lane_ready(const struct broker *b, const struct lane *lane)
{
	struct wake *first = WAKE_OF(lane->wakes.next);

	if (link_is_empty(&lane->wakes) || b->now.held[lane->clock] ||
		first->t.ready > b->now.at[lane->clock])
		return NULL;
	return first;
}

static void retry_later(struct broker *b, struct lane *lane)
{
	heap_set(&b->retries, &lane->retry, b->now.real + BROKER_RETRY_US);
}

static void rows_loaded(struct store_reader *r, const struct store_timer *rows, size_t n,
	const struct store_beyond *beyond, bool more, int error)
{
	struct lane *lane = r->userdata;
	struct queue *queue = lane->queue;
	struct broker *b = queue->broker;

	(void)more;
	lane->loading = false;
	queue_touch(queue);
	if (!queue->consumers || !queue->held)
		return;
	if (lane->discard) {
		lane_recheck_beyond(lane);
		return;
	}
	/* The rows that could not be read stay beyond the horizon. */
	if (error) {
		lane_recheck_beyond(lane);
		retry_later(b, lane);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		/* After lane_reset() a wake may be in memory already, out of its lane. */
		if (!wake_find(b, rows[i].id)) {
			struct wake *wake = wake_new(b, lane, &rows[i]);

			if (!wake) {
				retry_later(b, lane);
				return;
			}
			insert(lane, wake);
		}
		lane->horizon_ready = rows[i].ready;
		lane->horizon_id = rows[i].id;
	}
	lane->next = beyond->ready;
	lane->next_wake_system = beyond->wake_system;
	/* All rows that are ready by `until` are in memory; new rows among them go into memory,
	 * too. */
	if (lane->next > lane->until && !lane_reaches(lane, lane->until, UINT64_MAX)) {
		lane->horizon_ready = lane->until;
		lane->horizon_id = UINT64_MAX;
	}
}

static bool has_much(const struct lane *lane, size_t most, size_t bytes)
{
	return lane->count >= most / 2 || lane->bytes >= bytes / 2;
}

uint64_t lane_read_at(const struct broker *b, const struct lane *lane)
{
	uint64_t ahead = b->config.load_ahead / 2;

	if (lane->next == PROTO_FOREVER || has_much(lane, BROKER_AHEAD, BROKER_AHEAD_BYTES))
		return lane->next;
	return lane->next > ahead ? lane->next - ahead : 0;
}

/* The instant up to which rows may be loaded. */
static uint64_t load_until(const struct broker *b, const struct lane *lane)
{
	return b->config.load_ahead ? b->now.at[lane->clock] + b->config.load_ahead : INT64_MAX;
}

void lane_refill(struct broker *b, struct lane *lane)
{
	bool backlog = lane_ready(b, lane);
	bool due = lane->next <= b->now.at[lane->clock] && !b->now.held[lane->clock];
	size_t most = backlog || due ? BROKER_BACKLOG : BROKER_AHEAD;
	size_t bytes = backlog || due ? BROKER_BACKLOG_BYTES : BROKER_AHEAD_BYTES;
	bool is_far = b->config.load_ahead && lane_read_at(b, lane) > b->now.at[lane->clock];
	bool enough = lane->next == PROTO_FOREVER || is_far || has_much(lane, most, bytes);
	struct store_position horizon = {
		.ready = lane->horizon_ready,
		.id = lane->horizon_id,
		.clock = lane->clock,
	};

	if (lane->loading || lane->retry.at || (enough && !lane->recheck_beyond))
		return;
	lane->discard = lane->recheck_beyond = false;
	lane->reader = (struct store_reader){.rows = rows_loaded, .userdata = lane};
	lane->until = load_until(b, lane);
	lane->loading = b->store->ops->load(b->store, lane->queue->number, &horizon, lane->until,
				enough ? 0 : most - lane->count, &lane->reader) == 0;
	if (!lane->loading) {
		lane_recheck_beyond(lane);
		retry_later(b, lane);
	}
}

void lane_reset(struct broker *b, struct lane *lane)
{
	LINK_FOR_EACH(at, &lane->wakes)
	{
		struct wake *wake = WAKE_OF(at);

		lane_remove(lane, wake);
		wake_free(b, wake);
	}
	set_horizon(lane, 0, 0);
	lane->next = 0;
	lane->next_wake_system = PROTO_FOREVER;
	lane->recheck_beyond = false;
	queue_touch(lane->queue);
}
