/* SPDX-License-Identifier: MIT */
/*
 * Consumers: attaching, detaching, and deliveries.
 *
 * Users take turns. Within a user, queues take turns, and within a queue, consumers. So a user with
 * thousands of queues delays another user's wakes by one queue's packets a round.
 */
#include "consumers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "lanes.h"
#include "list.h"
#include "outcomes.h"
#include "queue_table.h"
#include "queues.h"
#include "windows.h"

#define CONSUMER_OF(l) LINK_OWNER(l, struct consumer, of_queue)

/* The most packets in one call. Between two calls the shell handles requests and the store. */
#define SLICE_PACKETS 16

/* The most packets of one queue before the next user has a turn. */
#define QUEUE_PACKETS 4

/* Chooses the next consumer for a wake. If possible, not the one that let the wake become overdue.
 * Return: NULL: no consumer has room. */
static struct consumer *next_consumer(const struct queue *queue, const struct wake *wake)
{
	const struct link *first = queue->with_room.next;

	if (link_is_empty(&queue->with_room))
		return NULL;
	if (CONSUMER_OF(first)->id == wake->avoided_consumer && first->next != &queue->with_room)
		first = first->next;
	return CONSUMER_OF(first);
}

static void write_wake(
	struct broker *b, struct wake *wake, const struct consumer *c, struct queue_codec_writer *w)
{
	const struct store_timer *t = &wake->t;
	struct proto_queue_wake record = {
		.id = t->timer,
		.due = t->due,
		.late = wake_late(b, wake),
		.overruns = wake_overruns(b, wake),
		.term = wake->term,
		.number = t->number,
		.attempt = t->attempt + 1,
		.queue = c->number,
		.data = queue_codec_add_bytes(w, wake->data, (size_t)t->key_size + t->payload_size),
		.payload_size = t->payload_size,
		.key_size = t->key_size,
		.clock = t->clock,
	};

	wake->overruns = record.overruns;
	if (wake_next_due(wake, wake->overruns) == PROTO_FOREVER)
		record.flags = PROTO_WAKE_LAST;
	memcpy(record.label, t->label, sizeof(record.label));
	queue_codec_put(w, &record);
}

/* Puts as many ready wakes into a packet as the consumer's window and the packet hold, and takes
 * them out of their lanes. Return: how many. */
static uint32_t gather(struct broker *b, struct consumer *c, struct wake **wakes)
{
	struct queue *queue = c->queue;
	bool alone = queue->with_room.next == queue->with_room.prev;
	struct queue_codec_writer w;
	struct wake *wake;
	uint32_t n = 0;

	queue_codec_begin(&w, b->out, PROTO_QUEUE_WAKE, 0);
	while (c->used + n < c->window && (wake = queue_oldest(b, queue))) {
		if (wake_is_too_late(b, wake)) {
			if (!queue_is_open(queue) || !wake_miss(b, wake))
				break;
			continue;
		}
		if (n && wake->avoided_consumer == c->id && !alone)
			break;
		if (!queue_codec_fits(&w, (size_t)wake->t.key_size + wake->t.payload_size))
			break;
		write_wake(b, wake, c, &w);
		lane_remove(wake->lane, wake);
		wakes[n++] = wake;
	}
	if (n)
		b->out_size = queue_codec_end(&w, 0);
	return n;
}

/* The packet was sent: the consumer has its wakes now. */
static void delivered(struct broker *b, struct consumer *c, struct wake **wakes, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct wake *wake = wakes[i];

		wake->state = WAKE_UNACKED;
		wake->begun = true;
		wake->avoided_consumer = 0;
		wake->consumer = c;
		wake->sent_real = b->now.real;
		link_insert(&c->unacked, &wake->link);
	}
	c->used += n;
	c->queue->unacked += n;
	BROKER_COUNT(b, c->queue->user, unacked, n);
	BROKER_COUNT(b, c->queue->user, delivered, n);
	window_update(c);
	window_arm(b, c);
}

/* Sends one packet to one consumer of the queue. Return: whether the queue may have more to send.
 */
static bool deliver_packet(struct broker *b, struct queue *queue)
{
	struct wake *wakes[PROTO_RECORDS_MAX(struct proto_queue_wake)];
	struct wake *oldest = queue_is_open(queue) ? queue_oldest(b, queue) : NULL;
	struct consumer *c = oldest ? next_consumer(queue, oldest) : NULL;
	uint32_t n;
	int r;

	if (!c || !queue_may_deliver(b, queue))
		return false;
	n = gather(b, c, wakes);
	if (!n)
		return false;
	r = b->outlet->send(b->outlet->userdata, c->client->number, b->out, b->out_size);
	if (!r) {
		delivered(b, c, wakes, n);
		return true;
	}
	if (r == -EAGAIN)
		c->client->blocked = true;
	else
		c->client->closing = true;
	for (uint32_t i = 0; i < n; i++)
		lane_add(b, wakes[i]->lane, &wakes[i]->t, wakes[i]);
	windows_update(c->client);
	return true; /* another consumer may have room */
}

bool consumers_deliver(struct broker *b)
{
	unsigned int packets = 0;

	while (packets < SLICE_PACKETS && !link_is_empty(&b->turns)) {
		struct user *user = LINK_OWNER(b->turns.next, struct user, turn);
		struct queue *queue = LINK_OWNER(user->turns.next, struct queue, turn);
		unsigned int n = 0;

		while (n < QUEUE_PACKETS && deliver_packet(b, queue))
			n++;
		packets += n ? n : 1;
		link_move(&b->turns, &user->turn);
		link_move(&user->turns, &queue->turn);
		if (n == QUEUE_PACKETS)
			continue;
		link_remove(&queue->turn);
		if (link_is_empty(&user->turns))
			link_remove(&user->turn);
		/* The next turn sets the instants of its lanes. */
		queue_touch(queue);
	}
	return !link_is_empty(&b->turns) || !link_is_empty(&b->dirty);
}

uint32_t consumer_attach(
	struct client *client, const struct proto_queue_consume *request, struct broker *b)
{
	struct opened *opened = &client->opened->at[request->queue - 1];
	struct queue *queue;
	struct consumer *c;

	if (request->window < 1 || request->window > PROTO_QUEUE_WINDOW_MAX)
		return PROTO_Q_WINDOW;
	if (request->ack_within > INT64_MAX)
		return PROTO_E_RANGE;
	for (c = client->consumers; c; c = c->next_of_client)
		if (c->queue->number == opened->number)
			return PROTO_Q_ATTACHED;
	queue = queue_get(b, opened->number, opened->uid);
	c = queue ? calloc(1, sizeof(*c)) : NULL;
	if (!c || heap_reserve(&b->overdue, b->consumer_count + 1)) {
		free(c);
		if (queue)
			queue_touch(queue);
		return PROTO_E_DESCRIPTORS;
	}
	*c = (struct consumer){
		.client = client,
		.queue = queue,
		.next_of_client = client->consumers,
		.id = ++b->consumers_made,
		.number = request->queue,
		.window = request->window,
		.max_attempts = request->max_attempts,
		.ack_within = request->ack_within,
	};
	link_init(&c->of_queue);
	link_init(&c->unacked);
	link_init(&c->changing);
	client->consumers = c;
	opened->consumer = c;
	queue->consumers++;
	if (queue->consumers == 1 && !queue->held)
		BROKER_COUNT(b, queue->user, standby, 1);
	if (queue->consumers == 1 && b->store->ops->fleet)
		b->store->ops->fleet->want(b->store, queue->number, true);
	b->consumer_count++;
	window_update(c);
	return PROTO_OK;
}

void consumer_detach(struct broker *b, struct consumer *c, bool count)
{
	struct queue *queue = c->queue;
	struct wake *oldest = LINK_OWNER(c->unacked.next, struct wake, link);
	struct consumer **at;

	if (count && !link_is_empty(&c->unacked) && !oldest->gone)
		wake_count_attempt(b, oldest, oldest->t.ready);
	LINK_FOR_EACH(l, &c->unacked)
	wake_give_back(b, LINK_OWNER(l, struct wake, link));
	/* Wakes whose rows are being changed are in no window from now on. */
	LINK_FOR_EACH(l, &c->changing)
	wake_leave_window(LINK_OWNER(l, struct wake, link));
	for (at = &c->client->consumers; *at != c; at = &(*at)->next_of_client)
		;
	*at = c->next_of_client;
	c->client->opened->at[c->number - 1].consumer = NULL;
	heap_set(&b->overdue, &c->overdue, PROTO_FOREVER);
	link_remove(&c->of_queue);
	queue->consumers--;
	if (!queue->consumers && !queue->held)
		BROKER_COUNT(b, queue->user, standby, UINT64_MAX); /* one less */
	b->consumer_count--;
	free(c);
	if (queue->consumers)
		queue_touch(queue);
	else
		queue_release(b, queue);
}
