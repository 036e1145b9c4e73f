/* SPDX-License-Identifier: MIT */
/*
 * What becomes of a wake.
 *
 * 	loaded --delivered--> unacked --acknowledged--> row removed, or of the next wake
 * 	   ^                     |------retried-------> ready later, attempt + 1; or parked
 * 	   |                     |------detached------> loaded again, uncounted
 * 	   |                     '------lost, overdue-> attempt + 1 (of the oldest), or parked
 * 	   '--- once the store has said that the row changed, "changing" ends
 *
 * A wake fills its consumer's window until the store has changed its row.
 *
 * A reschedule gives the row another number, so an answer to the old wake cannot concern the new
 * one.
 */
#include "outcomes.h"

#include <stdlib.h>

#include "changes.h"
#include "heap.h"
#include "lanes.h"
#include "list.h"
#include "opened.h"
#include "queue_table.h"
#include "windows.h"

#define WAKE_OF(l) LINK_OWNER(l, struct wake, link)

/* The most overdue wakes that one turn takes back. */
#define OVERDUE_SLICE 1024

uint64_t wake_late(const struct broker *b, const struct wake *wake)
{
	uint64_t now = b->now.at[wake->t.clock];

	return now > wake->t.due ? now - wake->t.due : 0;
}

uint64_t wake_overruns(const struct broker *b, const struct wake *wake)
{
	return wake->t.every ? wake_late(b, wake) / wake->t.every : 0;
}

uint64_t wake_next_due(const struct wake *wake, uint64_t overruns)
{
	const struct store_timer *t = &wake->t;
	uint64_t span, due;

	if (!t->every || (t->count && t->number >= t->count))
		return PROTO_FOREVER;
	if (__builtin_mul_overflow(t->every, overruns + 1, &span) ||
		__builtin_add_overflow(t->due, span, &due) || due > INT64_MAX)
		return PROTO_FOREVER;
	return due;
}

bool wake_is_too_late(const struct broker *b, const struct wake *wake)
{
	return wake->t.max_late != PROTO_FOREVER && wake->t.attempt == 0 && !wake->begun &&
		wake->t.timer == wake->t.id && wake_late(b, wake) > wake->t.max_late;
}

static void end_unacked(struct broker *b, struct wake *wake)
{
	link_remove(&wake->link);
	wake->lane->queue->unacked--;
	BROKER_COUNT(b, wake->lane->queue->user, unacked, (uint64_t)-1);
	window_arm(b, wake->consumer);
}

void wake_leave_window(struct wake *wake)
{
	struct consumer *c = wake->consumer;

	if (!c)
		return;
	wake->consumer = NULL;
	if (wake->state == WAKE_CHANGING)
		link_move(&wake->lane->queue->changing, &wake->link);
	c->used--;
	window_update(c);
}

void wake_give_back(struct broker *b, struct wake *wake)
{
	struct lane *lane = wake->lane;
	bool reread = wake->unsure && !wake->gone;

	end_unacked(b, wake);
	wake_leave_window(wake);
	if (wake->gone || wake->unsure)
		wake_free(b, wake);
	else
		lane_add(b, lane, &wake->t, wake);
	if (reread)
		lane_reset(b, lane);
}

/* Asks the store to change the wake's row, and takes the wake out of its list. Return: NULL: no
 * memory, and the wake is unchanged. */
static struct change *change_row(struct broker *b, struct wake *wake, enum store_change_type type)
{
	struct queue *queue = wake->lane->queue;
	struct change *change = changes_add(b, type);

	if (!change)
		return NULL;
	change->wake = wake;
	change->c.timer.queue = wake->t.queue;
	change->c.timer.id = wake->t.id;
	change->c.timer.number = wake->t.number;
	change->c.timer.ready = wake->t.ready;
	change->c.timer.attempt = wake->t.attempt;
	change->c.term = wake->term;
	change->c.known = &wake->t; /* the wake stays in memory until done() */
	if (wake->state == WAKE_LOADED)
		lane_remove(wake->lane, wake);
	else
		end_unacked(b, wake);
	wake->state = WAKE_CHANGING;
	link_insert(wake->consumer ? &wake->consumer->changing : &queue->changing, &wake->link);
	queue->under_way++;
	return change;
}

static bool used_up(const struct wake *wake, const struct consumer *c, uint32_t attempts)
{
	uint32_t most = wake->t.max_attempts;

	if (c->max_attempts && (!most || c->max_attempts < most))
		most = c->max_attempts;
	return most && attempts >= most;
}

struct change *wake_count_attempt(struct broker *b, struct wake *wake, uint64_t ready)
{
	uint32_t attempts = wake->t.attempt + 1;
	bool park = used_up(wake, wake->consumer, attempts);
	struct change *change = change_row(b, wake, park ? STORE_PARK : STORE_DELAY);

	if (!change)
		return NULL;
	change->c.timer.attempt = attempts;
	change->c.timer.ready = ready;
	change->c.timer.due = wake_next_due(wake, wake->overruns);
	return change;
}

/* A timer with one wake is parked. A timer with a period goes on with its next wake. */
bool wake_miss(struct broker *b, struct wake *wake)
{
	bool one_shot = !wake->t.every || wake->t.count == 1;
	uint64_t due = wake_next_due(wake, wake_overruns(b, wake));
	enum store_change_type type = one_shot ? STORE_PARK
		: due == PROTO_FOREVER	       ? STORE_REMOVE
					       : STORE_ADVANCE;
	struct change *change = change_row(b, wake, type);

	if (!change)
		return false;
	change->c.timer.due = due;
	change->missed = true;
	wake->lane->queue->missing++;
	BROKER_COUNT(b, wake->lane->queue->user, missed, 1);
	return true;
}

/* The wake that the client names; NULL: the client does not have it, or not any more. */
static struct wake *find_named(struct broker *b, struct client *client, uint32_t queue,
	uint64_t timer, uint32_t number, uint64_t term)
{
	const struct opened *opened = opened_of(client, queue);
	struct wake *wake = NULL;

	if (opened && opened->consumer)
		wake = wake_find_unacked(b, opened->consumer, timer, number);
	if (wake && wake->term != term)
		wake = NULL;
	/* The timer was cancelled, replaced or rescheduled: the wake leaves the window. */
	if (wake && wake->gone) {
		wake_give_back(b, wake);
		wake = NULL;
	}
	return wake;
}

static void answers(struct change *change, struct request *request, uint32_t record)
{
	change->request = request;
	change->record = record;
	request->waiting++;
}

uint32_t wake_ack(struct broker *b, struct client *client, const struct proto_queue_ack *ack,
	struct request *request, uint32_t record)
{
	struct wake *wake = find_named(b, client, ack->queue, ack->id, ack->number, ack->term);
	struct change *change;
	uint64_t due;

	if (!wake)
		return PROTO_E_NO_SUCH_TIMER;
	due = wake_next_due(wake, wake->overruns);
	change = change_row(b, wake, due == PROTO_FOREVER ? STORE_REMOVE : STORE_ADVANCE);
	if (!change)
		return PROTO_E_DESCRIPTORS;
	change->c.timer.due = due;
	answers(change, request, record);
	return PROTO_OK;
}

uint32_t wake_retry(struct broker *b, struct client *client, const struct proto_queue_retry *retry,
	struct request *request, uint32_t record)
{
	struct wake *wake = find_named(
		b, client, retry->queue, retry->id, retry->number, retry->term);
	struct change *change;
	uint64_t ready;

	if (!wake)
		return PROTO_E_NO_SUCH_TIMER;
	if (__builtin_add_overflow(
		    b->now.at[wake->t.clock] + b->now.uncertainty, retry->delay, &ready) ||
		ready > INT64_MAX)
		return PROTO_E_RANGE;
	change = wake_count_attempt(b, wake, ready);
	if (!change)
		return PROTO_E_DESCRIPTORS;
	answers(change, request, record);
	BROKER_COUNT(b, wake->lane->queue->user, retried, 1);
	return PROTO_OK;
}

/* Takes the oldest wake back from a consumer that does not acknowledge. The window has room again
 * at once: the wake does not wait in it for the store. Return: false: no memory. */
static bool take_back(struct broker *b, struct consumer *c)
{
	struct wake *wake = WAKE_OF(c->unacked.next);

	if (wake->gone) {
		wake_give_back(b, wake);
		return true;
	}
	if (!wake_count_attempt(b, wake, b->now.at[wake->t.clock]))
		return false;
	wake->avoided_consumer = c->id;
	wake_leave_window(wake);
	return true;
}

bool wakes_take_overdue(struct broker *b)
{
	for (unsigned int n = 0; n < OVERDUE_SLICE; n++) {
		struct heap_node *node = heap_first(&b->overdue);

		if (!node || node->key > b->now.real)
			return false;
		if (!take_back(b, LINK_OWNER(node, struct consumer, overdue)))
			heap_set(&b->overdue, node, b->now.real + BROKER_RETRY_US);
	}
	return true;
}

void wake_changed(struct broker *b, struct change *change)
{
	struct wake *wake = change->wake;
	struct queue *queue = wake->lane->queue;
	const struct store_change *c = &change->c;

	link_remove(&wake->link);
	queue->under_way--;
	queue->missing -= change->missed;
	queue_touch(queue);
	wake_leave_window(wake);
	link_remove(&wake->link);
	/* The row was removed, or belongs to another wake; or the queue has no consumer any more.
	 */
	if (wake->gone || c->status || !queue->consumers || !queue->held) {
		struct lane *lane = wake->lane;
		/* The row may still exist: under another term, or changed by another host. */
		bool reread = c->status && !wake->gone &&
			(wake->unsure || wake->term != queue->term);

		wake_free(b, wake);
		if (reread && queue->consumers)
			lane_reset(b, lane);
		return;
	}
	wake->term = queue->term;
	wake->unsure = false;
	if (c->type == STORE_DELAY) {
		wake->t.ready = c->timer.ready;
		wake->t.attempt = c->timer.attempt;
		lane_add(b, wake->lane, &wake->t, wake);
		return;
	}
	if (c->type == STORE_REMOVE || c->timer.due == PROTO_FOREVER) {
		wake_free(b, wake);
		return;
	}
	/* The timer's next wake. */
	wake->begun = false;
	wake->avoided_consumer = 0;
	wake->t.attempt = 0;
	wake->t.number++;
	wake->t.due = wake->t.ready = c->timer.due;
	lane_add(b, wake->lane, &wake->t, wake);
}

static void set_gone(struct broker *b, struct wake *wake)
{
	if (wake->state == WAKE_LOADED) {
		queue_touch(wake->lane->queue);
		lane_remove(wake->lane, wake);
		wake_free(b, wake);
		return;
	}
	/* The answer to its acknowledgement will be "no such timer". */
	wake->gone = true;
}

bool wake_row_gone(struct broker *b, uint64_t id)
{
	struct wake *wake = wake_find(b, id);

	if (wake)
		set_gone(b, wake);
	return wake;
}

void wakes_revived_gone(struct broker *b, struct queue *queue, uint64_t timer)
{
	LINK_FOR_EACH(at, &queue->revived)
	{
		struct wake *wake = LINK_OWNER(at, struct wake, revived);

		if (wake->t.timer == timer)
			set_gone(b, wake);
	}
}

void wakes_purged(struct broker *b, uint32_t number)
{
	struct queue *queue = queue_find(b, number);

	if (!queue)
		return;
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
		lane_reset(b, &queue->lanes[i]);
	for (unsigned int i = 0; i < 2; i++)
		LINK_FOR_EACH(at, i ? &queue->full : &queue->with_room)
		{
			struct consumer *c = LINK_OWNER(at, struct consumer, of_queue);

			LINK_FOR_EACH(w, &c->unacked)
			WAKE_OF(w)->unsure = true;
		}
}
