/* SPDX-License-Identifier: MIT */
/*
 * The broker's life: clients come and go, time passes, the store answers.
 */
#include <errno.h>
#include <stdlib.h>

#include "state.h"

/* What a client may have waiting for the store: packets, and bytes of them. Its put packets are as
 * many as the store remembers. */
#define PENDING_PACKETS STORE_PUTS
#define PENDING_BYTES	((size_t)4 << 20)

int broker_new(struct broker **ret, const struct broker_config *config, struct store *store,
	const struct broker_outlet *outlet)
{
	struct broker *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->clients = calloc(config->limits.max_clients, sizeof(struct client *));
	if (!b->clients) {
		free(b);
		return -ENOMEM;
	}
	b->config = *config;
	b->store = store;
	b->outlet = outlet;
	*ret = b;
	return 0;
}

static void free_changes(struct change *change)
{
	while (change) {
		struct change *next = change->next;

		free(change);
		change = next;
	}
}

struct broker *broker_free(struct broker *b)
{
	if (!b)
		return NULL;
	for (uint32_t i = 0; i < b->client_count; i++)
		if (b->clients[i])
			client_free(b, b->clients[i]);
	free_changes(b->first);
	free_changes(b->committing);
	for (size_t i = 0; i < b->wake_room; i++)
		while (b->wakes[i])
			wake_free(b, b->wakes[i]);
	while (b->queues) {
		struct queue *queue = b->queues;

		b->queues = queue->next;
		free(queue);
	}
	free(b->wakes);
	free(b->clients);
	free(b);
	return NULL;
}

uint32_t broker_connect(struct broker *b, uint32_t uid, uint32_t *ret_client)
{
	struct client *client;
	uint32_t number = 0, own = 0;

	if (b->clients_connected >= b->config.limits.max_clients)
		return PROTO_E_CLIENTS;
	for (uint32_t i = 0; i < b->client_count; i++)
		own += b->clients[i] && b->clients[i]->uid == uid;
	if (uid != 0 && own >= b->config.limits.max_clients_per_user)
		return PROTO_E_CLIENTS_USER;
	while (number < b->client_count && b->clients[number])
		number++;
	if (number == b->config.limits.max_clients)
		return PROTO_E_CLIENTS; /* some that have gone wait for the store */
	client = calloc(1, sizeof(*client));
	if (!client)
		return PROTO_E_DESCRIPTORS;
	client->broker = b;
	client->number = number + 1;
	client->uid = uid;
	b->clients[number] = client;
	if (number == b->client_count)
		b->client_count++;
	b->clients_connected++;
	*ret_client = client->number;
	return PROTO_OK;
}

void client_free(struct broker *b, struct client *client)
{
	while (client->known) {
		struct known_put *known = client->known;

		client->known = known->next;
		free(known);
	}
	b->clients[client->number - 1] = NULL;
	free(client->queues);
	free(client);
}

/* What the client asked for goes on; nobody hears the answer. */
static void orphan_requests(struct change *change, const struct client *client)
{
	for (; change; change = change->next)
		if (change->request && change->request->client == client)
			change->request->client = NULL;
}

void broker_disconnect(struct broker *b, uint32_t number, const struct broker_now *now)
{
	struct client *client = b->clients[number - 1];

	b->now = *now;
	b->clients_connected--;
	while (client->consumers)
		consumer_detach(b, client->consumers, true);
	orphan_requests(b->first, client);
	orphan_requests(b->committing, client);
	client->gone = true;
	client->closing = true;
	client->wants_puts = false;
	if (!client->reading && !client->finding)
		client_free(b, client);
}

bool broker_reads(const struct broker *b, uint32_t number)
{
	const struct client *client = b->clients[number - 1];

	return !client->blocked && !client->closing && !client->reading && !client->finding &&
		!client->wants_puts && client->pending < PENDING_BYTES &&
		client->pending_count < PENDING_PACKETS;
}

void broker_writable(struct broker *b, uint32_t number)
{
	b->clients[number - 1]->blocked = false;
}

bool broker_serve(struct broker *b, const struct broker_now *now)
{
	bool more;

	b->now = *now;
	requests_find_puts(b);
	consumers_take_overdue(b);
	for (struct queue *queue = b->queues; queue; queue = queue->next)
		for (unsigned int i = 0; i < PROTO_CLOCKS && !queue->dead; i++)
			lane_refill(b, &queue->lanes[i]);
	more = consumers_deliver(b);
	commits_begin(b);
	return more;
}

static bool has_room(const struct queue *queue)
{
	for (const struct consumer *c = queue->consumers; c; c = c->next_of_queue)
		if (c->used < c->window && !c->client->blocked)
			return true;
	return false;
}

uint64_t broker_next(const struct broker *b, unsigned int clock, bool wake_system)
{
	uint64_t next = PROTO_FOREVER;

	if (b->now.held[clock])
		return next;
	for (const struct queue *queue = b->queues; queue; queue = queue->next) {
		const struct lane *lane = &queue->lanes[clock];

		if (queue->dead || !has_room(queue))
			continue;
		for (const struct wake *wake = lane->first; wake; wake = wake->next) {
			uint64_t latest = wake->t.ready + wake->t.slack;

			if (wake->t.ready >= next)
				break;
			if (wake_system && !(wake->t.flags & PROTO_WAKE_SYSTEM))
				continue;
			if (latest >= wake->t.ready && latest < next)
				next = latest;
		}
		/* What is not in memory has to be read when it is due. */
		if (!wake_system && !lane->loading && !lane->retry && lane->next < next)
			next = lane->next;
	}
	return next;
}

uint64_t broker_next_real(const struct broker *b)
{
	uint64_t next = b->first && b->retry_commit > b->now.real ? b->retry_commit : PROTO_FOREVER;

	for (const struct queue *queue = b->queues; queue; queue = queue->next)
		for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
			if (queue->lanes[i].retry && queue->lanes[i].retry < next)
				next = queue->lanes[i].retry;
	for (const struct queue *queue = b->queues; queue; queue = queue->next)
		for (const struct consumer *c = queue->consumers; c; c = c->next_of_queue)
			if (c->ack_within && c->oldest &&
				c->oldest->sent_real + c->ack_within < next)
				next = c->oldest->sent_real + c->ack_within;
	return next;
}

bool broker_idle(const struct broker *b)
{
	return !b->first && !b->committing;
}
