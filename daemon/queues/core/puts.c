/* SPDX-License-Identifier: MIT */
#include "puts.h"

#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "clients.h"
#include "list.h"

/* If an earlier connection sent this put and it was stored, sends the stored answer. Return:
 * whether it did. */
static bool answer_known(struct broker *b, struct client *client, const struct proto_header *h)
{
	struct known_put *known = client->known;
	struct queue_codec_writer w;

	while (known && known->serial != h->cursor)
		known = known->next;
	if (!known)
		return false;
	answer_begin(b, &w, PROTO_QUEUE_PUT, h->serial);
	for (size_t i = 0; i < known->n; i++)
		queue_codec_put(&w, &known->answers[i]);
	answer_send(b, client, queue_codec_end(&w, 0));
	return true;
}

void puts_note_unsure(struct broker *b, const uint8_t token[static STORE_TOKEN_SIZE])
{
	if (b->unsure_count < BROKER_UNSURE)
		memcpy(b->unsure[b->unsure_count], token, STORE_TOKEN_SIZE);
	if (b->unsure_count <= BROKER_UNSURE)
		b->unsure_count++;
}

bool puts_are_unsure(const struct broker *b, const uint8_t token[static STORE_TOKEN_SIZE])
{
	for (unsigned int i = 0; i < b->unsure_count && i < BROKER_UNSURE; i++)
		if (!memcmp(b->unsure[i], token, STORE_TOKEN_SIZE))
			return true;
	return b->unsure_count > BROKER_UNSURE;
}

/* Answers a put while it is not known whether an earlier connection sent it and the store has it. A
 * token's first put cannot be in the store, unless it was sent before. */
static void answer_unknown(struct broker *b, struct client *client, const struct proto_header *h)
{
	const char *why;
	bool away = h->cursor == 1 && !puts_are_unsure(b, client->token) &&
		b->store->ops->state(b->store, &why) == STORE_AWAY;
	const struct proto_queue_stored unknown = {
		.status = away ? PROTO_Q_STORE_AWAY : PROTO_Q_STORE_UNKNOWN};
	struct queue_codec_writer w;

	answer_begin(b, &w, PROTO_QUEUE_PUT, h->serial);
	for (uint32_t i = 0; i < h->count; i++)
		queue_codec_put(&w, &unknown);
	BROKER_COUNT(b, client->user, refused, h->count);
	answer_send(b, client, queue_codec_end(&w, 0));
}

/* The numbers of a connection's puts grow. If the store knows a put of an earlier connection, the
 * client gets the stored answer. If the store does not know a put, it was not stored, unless it is
 * older than all puts that the store remembers. */
bool puts_take(struct broker *b, struct client *client, const struct proto_header *h)
{
	if (!client->has_token || !h->cursor)
		return true;
	if (h->cursor > client->last_put) {
		client->last_put = h->cursor;
		if (client->unread) {
			answer_unknown(b, client, h);
			return false;
		}
		if (answer_known(b, client, h))
			return false;
		if (client->last_stored < STORE_PUTS ||
			h->cursor > client->last_stored - STORE_PUTS)
			return true;
	}
	answer_error(b, client, PROTO_E_SEQUENCE, h->serial,
		"cursor: a put of that number was answered long ago");
	client->closing = true;
	return false;
}

static void put_found(struct store_reader *r, uint64_t serial,
	const struct proto_queue_stored *answers, size_t n, int error)
{
	struct client *client = r->userdata;
	struct known_put *known;

	if (n) {
		known = malloc(sizeof(*known) + n * sizeof(*answers));
		if (!known)
			return; /* if the client sends this put again, its connection ends */
		known->serial = serial;
		known->n = n;
		memcpy(known->answers, answers, n * sizeof(*answers));
		known->next = client->known;
		client->known = known;
		return;
	}
	client->finding = false;
	if (client->gone) {
		client_free(client->broker, client);
		return;
	}
	/* A store that cannot be read is asked again. Meanwhile the client may ask for anything but
	 * puts. */
	client->unread = error;
	if (error) {
		client->broker->retry_puts = client->broker->now.real + BROKER_RETRY_US;
		client->asked_at = UINT64_MAX;
		link_insert(&client->broker->greeting, &client->greeting);
	} else {
		client->last_stored = serial;
	}
	client->broker->outlet->resume(client->broker->outlet->userdata, client->number);
}

/* Whether a put of that token, from an earlier connection, still waits for the store. */
static bool has_puts_under_way(const struct broker *b, const struct client *client)
{
	for (const struct link *at = b->puts.next; at != &b->puts; at = at->next) {
		const struct request *request = LINK_OWNER(at, struct request, put_link);

		if (!memcmp(request->put.token, client->token, sizeof(client->token)))
			return true;
	}
	return false;
}

static void find_puts(struct broker *b, struct client *client)
{
	/* Puts end only when a commit ends, so there is nothing new before that. */
	if (client->asked_at == b->commits)
		return;
	client->asked_at = b->commits;
	if (has_puts_under_way(b, client))
		return;
	client->put_reader = (struct store_reader){.put = put_found, .userdata = client};
	if (b->store->ops->find_puts(b->store, client->token, &client->put_reader)) {
		b->retry_puts = b->now.real + BROKER_RETRY_US;
		client->asked_at = UINT64_MAX;
		client->unread = true;
		b->outlet->resume(b->outlet->userdata, client->number);
		return;
	}
	client->finding = true;
	link_remove(&client->greeting);
}

void puts_find(struct broker *b)
{
	if (b->now.real < b->retry_puts)
		return;
	b->retry_puts = 0;
	LINK_FOR_EACH(at, &b->greeting)
	find_puts(b, LINK_OWNER(at, struct client, greeting));
}
