/* SPDX-License-Identifier: MIT */
#include "fleet.h"

#include "answers.h"
#include "consumers.h"
#include "lanes.h"
#include "list.h"
#include "outcomes.h"
#include "queue_table.h"

/* Another host may serve the queue: tells the queue's consumers here. They become consumers again.
 */
static void lose(struct broker *b, struct queue *queue)
{
	queue->held = false;
	queue->term = 0;
	if (queue->consumers)
		BROKER_COUNT(b, queue->user, standby, 1);
	while (queue->consumers) {
		struct link *list = link_is_empty(&queue->with_room) ? &queue->full
								     : &queue->with_room;
		struct consumer *c = LINK_OWNER(list->next, struct consumer, of_queue);
		struct client *client = c->client;
		struct proto_queue_lost lost = {.queue = c->number};
		struct queue_codec_writer w;
		bool last = queue->consumers == 1;

		queue_codec_begin(&w, b->out, PROTO_QUEUE_LOST, 0);
		queue_codec_put(&w, &lost);
		/* The queue may be freed with its last consumer. */
		consumer_detach(b, c, false);
		answer_send(b, client, queue_codec_end(&w, 0));
		if (last)
			return;
	}
}

static void lease_changed(void *userdata, uint32_t number, bool held, uint64_t term)
{
	struct broker *b = userdata;
	struct queue *queue = queue_find(b, number);

	if (!queue)
		return;
	if (queue->held && (!held || queue->term != term))
		lose(b, queue);
	queue = queue_find(b, number);
	if (!queue || !held || !queue->consumers)
		return;
	if (!queue->held)
		BROKER_COUNT(b, queue->user, standby, UINT64_MAX); /* one less */
	queue->held = true;
	queue->term = term;
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
		lane_reset(b, &queue->lanes[i]);
}

static void rows_changed(void *userdata, uint32_t number)
{
	struct broker *b = userdata;

	if (number) {
		wakes_purged(b, number);
		return;
	}
	LINK_FOR_EACH(at, &b->all_queues)
	wakes_purged(b, LINK_OWNER(at, struct queue, all)->number);
}

/* Ids may be used again: disconnects all clients. They connect again, and forget which wakes they
 * have seen. */
static void history_changed(void *userdata)
{
	struct broker *b = userdata;

	for (uint32_t i = 0; i < b->client_count; i++) {
		struct client *client = b->clients[i];

		if (!client || !client->greeted || client->closing)
			continue;
		client->closing = true;
		if (b->outlet->end)
			b->outlet->end(b->outlet->userdata, client->number);
	}
}

void fleet_watch(struct broker *b)
{
	const struct store_watcher watcher = {
		.lease = lease_changed,
		.changed = rows_changed,
		.history = history_changed,
		.userdata = b,
	};

	if (b->store->ops->fleet)
		b->store->ops->fleet->watch(b->store, &watcher);
}
