/* SPDX-License-Identifier: MIT */
/*
 * Which queues have something to do. A turn updates only queues that have changed ("dirty" ones)
 * and queues whose first wake has become ready (found by heaps of lanes). So thousands of waiting
 * queues cost nothing.
 */
#include "queues.h"

#include <stdlib.h>

#include "heap.h"
#include "lanes.h"
#include "list.h"
#include "queue_table.h"
#include "users.h"

#define WAKE_OF(l) LINK_OWNER(l, struct wake, link)

/* The most queues that one turn updates. */
#define UPDATE_SLICE 1024

/* The most missed wakes of a queue whose change is not stored yet. Without this bound they would
 * fill the memory while the store fails. */
#define MISSING_MAX BROKER_BACKLOG

/* Reserves room, so that setting an instant never fails. */
static bool reserve_heaps(struct broker *b)
{
	size_t room = b->queue_count + 1;

	for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
		if (heap_reserve(&b->ready[i], room) || heap_reserve(&b->latest[i], room) ||
			heap_reserve(&b->latest_wake_system[i], room))
			return false;
	return heap_reserve(&b->retries, PROTO_CLOCKS * room) == 0;
}

struct queue *queue_get(struct broker *b, uint32_t number, uint32_t uid)
{
	struct queue *queue = queue_find(b, number);
	struct user *user;

	if (queue)
		return queue;
	user = user_get(b, uid);
	if (!user || !reserve_heaps(b) || !queue_table_reserve(b))
		return NULL;
	queue = calloc(1, sizeof(*queue));
	if (!queue)
		return NULL;
	b->store->ops->ref_queue(b->store, number);
	queue->broker = b;
	queue->user = user;
	queue->number = number;
	queue->held = !b->store->ops->fleet;
	link_init(&queue->dirty);
	link_init(&queue->turn);
	link_init(&queue->with_room);
	link_init(&queue->full);
	link_init(&queue->changing);
	link_init(&queue->revived);
	link_insert(&b->all_queues, &queue->all);
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
		lane_init(&queue->lanes[i], queue, i);
	queue_table_enter(b, queue);
	b->queue_count++;
	return queue;
}

bool queue_is_open(const struct queue *queue)
{
	return queue->held && !link_is_empty(&queue->with_room) && queue->missing < MISSING_MAX;
}

/* Whether the oldest wake is still being loaded: a lane has a due row, but no row in memory. */
static bool waits_for_load(const struct broker *b, const struct queue *queue)
{
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++) {
		const struct lane *lane = &queue->lanes[i];

		if (lane->loading && link_is_empty(&lane->wakes) && !b->now.held[i] &&
			lane->next <= b->now.at[i])
			return true;
	}
	return false;
}

struct wake *queue_oldest(const struct broker *b, const struct queue *queue)
{
	struct wake *oldest = NULL;
	uint64_t longest = 0;

	if (waits_for_load(b, queue))
		return NULL;
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++) {
		struct wake *wake = lane_ready(b, &queue->lanes[i]);
		uint64_t since = wake ? b->now.at[i] - wake->t.ready : 0;

		if (wake && (!oldest || since > longest)) {
			oldest = wake;
			longest = since;
		}
	}
	return oldest;
}

/* The smallest ready + slack of the loaded wakes. */
static uint64_t latest_of(const struct lane *lane, bool wake_system)
{
	uint64_t latest = PROTO_FOREVER;

	if (wake_system && !lane->wake_system)
		return latest;
	for (const struct link *at = lane->wakes.next; at != &lane->wakes; at = at->next) {
		const struct store_timer *t = &WAKE_OF(at)->t;
		uint64_t end;

		if (t->ready >= latest)
			break;
		if (wake_system && !(t->flags & PROTO_WAKE_SYSTEM))
			continue;
		if (!__builtin_add_overflow(t->ready, t->slack, &end) && end < latest)
			latest = end;
	}
	return latest;
}

/* Sets the instants at which a turn must update the queue because of its lanes. waits: only another
 * event can change anything. */
static void set_instants(struct broker *b, struct queue *queue, bool waits)
{
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++) {
		struct lane *lane = &queue->lanes[i];
		uint64_t ready = PROTO_FOREVER, latest = PROTO_FOREVER, system = PROTO_FOREVER;

		if (!waits && !link_is_empty(&lane->wakes)) {
			ready = WAKE_OF(lane->wakes.next)->t.ready;
			latest = latest_of(lane, false);
			system = latest_of(lane, true);
		}
		/* A row that is not in memory must be loaded when it is due, or earlier. */
		if (!waits && !lane->loading && !lane->retry.at) {
			uint64_t read_at = lane_read_at(b, lane);

			latest = read_at < latest ? read_at : latest;
			if (lane->next_wake_system < system)
				system = lane->next_wake_system;
		}
		heap_set(&b->ready[i], &lane->ready, ready);
		heap_set(&b->latest[i], &lane->latest, latest);
		heap_set(&b->latest_wake_system[i], &lane->latest_wake_system, system);
	}
}

void queue_activate(struct broker *b, struct queue *queue)
{
	set_instants(b, queue, true);
	link_move(&queue->user->turns, &queue->turn);
	if (link_is_empty(&queue->user->turn))
		link_insert(&b->turns, &queue->user->turn);
}

static void leave_turns(struct queue *queue)
{
	link_remove(&queue->turn);
	if (link_is_empty(&queue->user->turns))
		link_remove(&queue->user->turn);
}

static void update_queue(struct broker *b, struct queue *queue)
{
	if (!queue->consumers) {
		queue_release(b, queue);
		return;
	}
	for (unsigned int i = 0; i < PROTO_CLOCKS && queue->held; i++)
		lane_refill(b, &queue->lanes[i]);
	if (queue_is_open(queue) && queue_may_deliver(b, queue) && queue_oldest(b, queue)) {
		if (link_is_empty(&queue->turn))
			queue_activate(b, queue);
		return;
	}
	leave_turns(queue);
	/* A lease that is over but not lost may be renewed; then the store tells the broker. */
	set_instants(b, queue,
		!queue_is_open(queue) || !queue_may_deliver(b, queue) || waits_for_load(b, queue));
}

/* Looks at lanes with a due row that wakes the machine and is not in memory. */
static void update_wake_system(struct broker *b, unsigned int clock)
{
	struct heap_node *node;

	while (!b->now.held[clock] && (node = heap_first(&b->latest_wake_system[clock])) &&
		node->key <= b->now.at[clock]) {
		struct lane *lane = LINK_OWNER(node, struct lane, latest_wake_system);

		heap_set(&b->latest_wake_system[clock], node, PROTO_FOREVER);
		lane_recheck_beyond(lane);
		queue_touch(lane->queue);
	}
}

bool queues_touch_due(struct broker *b)
{
	struct heap_node *failed;

	while ((failed = heap_first(&b->retries)) && failed->key <= b->now.real) {
		heap_set(&b->retries, failed, PROTO_FOREVER);
		queue_touch(LINK_OWNER(failed, struct lane, retry)->queue);
	}
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++) {
		struct heap_node *node;

		while (!b->now.held[i] && (node = heap_first(&b->ready[i])) &&
			node->key <= b->now.at[i]) {
			heap_set(&b->ready[i], node, PROTO_FOREVER);
			queue_touch(LINK_OWNER(node, struct lane, ready)->queue);
		}
		while (!b->now.held[i] && (node = heap_first(&b->latest[i])) &&
			node->key <= b->now.at[i]) {
			heap_set(&b->latest[i], node, PROTO_FOREVER);
			queue_touch(LINK_OWNER(node, struct lane, latest)->queue);
		}
		update_wake_system(b, i);
	}
	for (unsigned int n = 0; n < UPDATE_SLICE && !link_is_empty(&b->dirty); n++) {
		struct queue *queue = LINK_OWNER(b->dirty.next, struct queue, dirty);

		link_remove(&queue->dirty);
		update_queue(b, queue);
	}
	return !link_is_empty(&b->dirty);
}

bool queue_may_deliver(const struct broker *b, const struct queue *queue)
{
	const struct store_fleet *fleet = b->store->ops->fleet;
	uint64_t term;

	return !fleet ||
		(fleet->delivers(b->store, queue->number, b->now.real, &term) &&
			term == queue->term);
}

void queue_free(struct broker *b, struct queue *queue)
{
	queue_table_remove(b, queue);
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
		heap_set(&b->retries, &queue->lanes[i].retry, PROTO_FOREVER);
	link_remove(&queue->dirty);
	link_remove(&queue->all);
	if (b->store)
		b->store->ops->unref_queue(b->store, queue->number);
	b->queue_count--;
	free(queue);
}

void queue_release(struct broker *b, struct queue *queue)
{
	bool loading = false;

	/* Changes of the queue's wakes have to be stored under the lease. */
	if (b->store->ops->fleet && !queue->under_way) {
		b->store->ops->fleet->want(b->store, queue->number, false);
		queue->held = false;
		queue->term = 0;
	}
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++) {
		lane_reset(b, &queue->lanes[i]);
		loading = loading || queue->lanes[i].loading;
	}
	leave_turns(queue);
	set_instants(b, queue, true);
	/* Wakes that are being changed, and a load, point to their lane. */
	if (!loading && !queue->under_way)
		queue_free(b, queue);
	else
		link_remove(&queue->dirty);
}
