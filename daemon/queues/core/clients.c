/* SPDX-License-Identifier: MIT */
/*
 * Clients: connecting, disconnecting, and the limit of requests that wait for the store.
 */
#include "clients.h"

#include <stdlib.h>

#include "answers.h"
#include "consumers.h"
#include "errors.h"
#include "list.h"
#include "opened.h"
#include "requests.h"
#include "users.h"
#include "windows.h"

/* The most requests of a client that wait for the store. There may not be more put packets among
 * them than the store remembers. */
#define PENDING_PACKETS STORE_PUTS
#define PENDING_BYTES	((size_t)512 << 10)

static void await_hello(struct client *client)
{
	struct broker *b = client->broker;

	client->hello_by = b->now.real + PROTO_HELLO_TIMEOUT_US;
	link_move(&b->silent, &client->silent);
}

enum proto_status client_connect(
	struct broker *b, uint32_t uid, uint32_t max_clients, uint32_t *ret_client)
{
	uint32_t most = max_clients ? max_clients : b->config.limits.max_clients_per_user;
	struct user *user = user_get(b, uid);
	struct client *client;
	uint32_t number = 0;

	if (b->clients_connected >= b->config.limits.max_clients)
		return PROTO_E_CLIENTS;
	if (uid != 0 && user && user->client_count >= most)
		return PROTO_E_CLIENTS_USER;
	while (number < b->client_count && b->clients[number])
		number++;
	if (number == b->config.limits.max_clients)
		return PROTO_E_CLIENTS; /* the store still reads for clients that have gone */
	client = user ? calloc(1, sizeof(*client)) : NULL;
	if (!client)
		return PROTO_E_DESCRIPTORS;
	client->broker = b;
	client->user = user;
	client->number = number + 1;
	client->uid = uid;
	link_init(&client->silent);
	link_init(&client->greeting);
	link_init(&client->requests);
	link_init(&client->read_turn);
	link_insert(&user->clients, &client->of_user);
	user->client_count++;
	await_hello(client);
	b->clients[number] = client;
	if (number == b->client_count)
		b->client_count++;
	b->clients_connected++;
	*ret_client = client->number;
	return PROTO_OK;
}

/* The client's requests are carried out, but their answers are not sent. */
static void orphan_requests(struct client *client)
{
	LINK_FOR_EACH(at, &client->requests)
	{
		struct request *request = LINK_OWNER(at, struct request, of_client);

		if (request == client->reading)
			continue;
		link_remove(at);
		request->client = NULL;
	}
}

void client_free(struct broker *b, struct client *client)
{
	link_remove(&client->of_user);
	link_remove(&client->silent);
	link_remove(&client->greeting);
	client->user->client_count--;
	if (client->reading)
		request_free(client->reading);
	client->reading = NULL;
	orphan_requests(client);
	while (client->known) {
		struct known_put *known = client->known;

		client->known = known->next;
		free(known);
	}
	b->clients[client->number - 1] = NULL;
	opened_unref(client->opened);
	free(client);
}

void client_disconnect(struct broker *b, struct client *client)
{
	b->clients_connected--;
	while (client->consumers)
		consumer_detach(b, client->consumers, true);
	if (!link_is_empty(&client->read_turn)) {
		link_remove(&client->read_turn);
		request_free(client->reading);
		client->reading = NULL;
	}
	orphan_requests(client);
	client->gone = true;
	client->closing = true;
	link_remove(&client->silent);
	link_remove(&client->greeting);
	if (!client->reading && !client->finding)
		client_free(b, client);
}

bool client_may_ask(const struct client *client)
{
	return !client->blocked && !client->closing && !client->reading && !client->finding &&
		(client->unread || link_is_empty(&client->greeting)) &&
		client->pending < PENDING_BYTES && client->pending_count < PENDING_PACKETS &&
		client->user->pending < BROKER_PENDING_PER_USER;
}

static struct client *first_silent(const struct broker *b)
{
	return link_is_empty(&b->silent) ? NULL : LINK_OWNER(b->silent.next, struct client, silent);
}

static void end_silent(struct broker *b, struct client *client)
{
	link_remove(&client->silent);
	answer_error(b, client, PROTO_E_HELLO_TIMEOUT, 0, errors_text(PROTO_E_HELLO_TIMEOUT));
	client->closing = true;
	if (b->outlet->end)
		b->outlet->end(b->outlet->userdata, client->number);
}

void clients_end_silent(struct broker *b)
{
	struct client *client;

	while ((client = first_silent(b)) && client->hello_by <= b->now.real) {
		if (client_may_ask(client))
			end_silent(b, client);
		else /* the broker does not read from it now: its hello may be unread */
			await_hello(client);
	}
}

uint64_t clients_next_silent(const struct broker *b)
{
	const struct client *client = first_silent(b);

	return client ? client->hello_by : PROTO_FOREVER;
}

void client_writable(struct client *client)
{
	if (!client->blocked)
		return;
	client->blocked = false;
	windows_update(client);
}
