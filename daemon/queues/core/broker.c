/* SPDX-License-Identifier: MIT */
/*
 * The broker's life, its turn, and the instants that it waits for.
 */
#include "broker.h"

#include <errno.h>
#include <stdlib.h>

#include "clients.h"
#include "commits.h"
#include "consumers.h"
#include "fleet.h"
#include "heap.h"
#include "lanes.h"
#include "list.h"
#include "outcomes.h"
#include "packets.h"
#include "puts.h"
#include "queues.h"
#include "requests.h"
#include "state.h"
#include "users.h"

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
	link_init(&b->all_queues);
	link_init(&b->dirty);
	link_init(&b->turns);
	link_init(&b->silent);
	link_init(&b->greeting);
	link_init(&b->puts);
	b->config = *config;
	b->store = store;
	b->outlet = outlet;
	fleet_watch(b);
	*ret = b;
	return 0;
}

static void free_changes(struct change *change)
{
	while (change) {
		struct change *next = change->next;

		if (change->request && !--change->request->waiting)
			request_free(change->request);
		free(change);
		change = next;
	}
}

static void free_consumers(struct client *client)
{
	while (client->consumers) {
		struct consumer *c = client->consumers;

		client->consumers = c->next_of_client;
		free(c);
	}
}

/* Nothing is delivered or stored after this, so queues and heaps need not be consistent. */
struct broker *broker_free(struct broker *b)
{
	if (!b)
		return NULL;
	b->store = NULL; /* it may have been closed */
	for (uint32_t i = 0; i < b->client_count; i++)
		if (b->clients[i]) {
			free_consumers(b->clients[i]);
			client_free(b, b->clients[i]);
		}
	free_changes(b->first);
	free_changes(b->locked);
	free(b->locked_queues);
	free_changes(b->committing);
	for (size_t i = 0; i < b->wake_room; i++)
		while (b->by_id[i])
			wake_free(b, b->by_id[i]);
	LINK_FOR_EACH(at, &b->all_queues)
	queue_free(b, LINK_OWNER(at, struct queue, all));
	for (unsigned int i = 0; i < BROKER_HASH; i++)
		while (b->users[i]) {
			struct user *user = b->users[i];

			b->users[i] = user->next;
			free(user);
		}
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++) {
		heap_free(&b->ready[i]);
		heap_free(&b->latest[i]);
		heap_free(&b->latest_wake_system[i]);
	}
	heap_free(&b->overdue);
	heap_free(&b->retries);
	free(b->queues);
	free(b->by_id);
	free(b->by_name);
	free(b->clients);
	free(b);
	return NULL;
}

enum proto_status broker_connect(struct broker *b, uint32_t uid, uint32_t max_clients,
	const struct broker_now *now, uint32_t *ret_client)
{
	b->now = *now;
	return client_connect(b, uid, max_clients, ret_client);
}

void broker_refused_client(struct broker *b, uint32_t uid)
{
	struct user *user = user_get(b, uid);

	if (user)
		BROKER_COUNT(b, user, refused, 1);
}

void broker_set_limits(struct broker *b, const struct broker_limits *limits)
{
	uint32_t max_clients = b->config.limits.max_clients; /* tables have this size */

	b->config.limits = *limits;
	b->config.limits.max_clients = max_clients;
}

static struct client *client_of(const struct broker *b, uint32_t number)
{
	return b->clients[number - 1];
}

void broker_disconnect(struct broker *b, uint32_t client, const struct broker_now *now)
{
	b->now = *now;
	client_disconnect(b, client_of(b, client));
}

bool broker_reads(const struct broker *b, uint32_t client)
{
	return client_may_ask(client_of(b, client));
}

int broker_handle(struct broker *b, uint32_t client, const void *packet, size_t size,
	const struct broker_now *now)
{
	b->now = *now;
	return packets_handle(b, client_of(b, client), packet, size);
}

void broker_writable(struct broker *b, uint32_t client)
{
	client_writable(client_of(b, client));
}

bool broker_serve(struct broker *b, const struct broker_now *now)
{
	bool more;

	b->now = *now;
	clients_end_silent(b);
	puts_find(b);
	more = wakes_take_overdue(b);
	more = queues_touch_due(b) || more;
	more = consumers_deliver(b) || more;
	commits_begin(b);
	return more;
}

uint64_t broker_next(const struct broker *b, unsigned int clock, bool wake_system)
{
	const struct heap *heap = wake_system ? &b->latest_wake_system[clock] : &b->latest[clock];
	const struct heap_node *first = heap_first(heap);

	return b->now.held[clock] || !first ? PROTO_FOREVER : first->key;
}

static uint64_t earlier(uint64_t a, const struct heap_node *node)
{
	return node && node->key < a ? node->key : a;
}

uint64_t broker_next_real(const struct broker *b)
{
	uint64_t next = PROTO_FOREVER;

	if (b->first && b->retry_commit > b->now.real)
		next = b->retry_commit;
	/* When a commit is under way, its end tries the locked changes again. */
	if (b->locked && !b->commit_under_way && b->retry_locked < next)
		next = b->retry_locked;
	if (!link_is_empty(&b->greeting) && b->retry_puts && b->retry_puts < next)
		next = b->retry_puts;
	if (clients_next_silent(b) < next)
		next = clients_next_silent(b);
	next = earlier(next, heap_first(&b->overdue));
	return earlier(next, heap_first(&b->retries));
}

bool broker_idle(const struct broker *b)
{
	return !b->first && !b->locked && !b->commit_under_way;
}

bool broker_waits_for_locks(const struct broker *b)
{
	return b->locked && !b->first && !b->commit_under_way;
}

bool broker_holds_timers(const struct broker *b)
{
	struct store_usage usage;

	b->store->ops->usage(b->store, PROTO_QUEUE_OWN, &usage);
	return usage.timers > 0;
}

uint64_t broker_next_aside(const struct broker *b)
{
	return broker_holds_timers(b) ? commits_next_aside(b) : PROTO_FOREVER;
}
