/* SPDX-License-Identifier: MIT */
/*
 * Packets that only read, and purges. The store answers each of them with one page; the client asks
 * for the next page. A user has one read at the store at a time, so that a client that
 * lists delays only the reads of its own user.
 */
#include "reads.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "clients.h"
#include "lanes.h"
#include "opened.h"
#include "outcomes.h"
#include "queue_table.h"
#include "requests.h"

/* Rows and queues in one page of an answer. They fit into a packet with the longest keys and names.
 */
#define LIST_PAGE   400
#define QUEUES_PAGE 300
#define HOST_MAX    64
#define PURGE_PAGE  1000
static_assert(LIST_PAGE * (sizeof(struct proto_queue_listed) + PROTO_QUEUE_KEY_MAX) <
		PROTO_PACKET_MAX - sizeof(struct proto_header),
	"a page is a packet");
static_assert(QUEUES_PAGE * (sizeof(struct proto_queue_info) + PROTO_QUEUE_NAME_MAX + HOST_MAX) <
		PROTO_PACKET_MAX - sizeof(struct proto_header),
	"a page is a packet");

/* The state of a row, as memory knows it. */
static enum proto_queue_state state_of(const struct broker *b, const struct store_timer *t)
{
	const struct wake *wake = wake_find(b, t->id);

	if (t->parked)
		return PROTO_QUEUE_IS_PARKED;
	if (wake && wake->consumer)
		return PROTO_QUEUE_UNACKED;
	if (b->now.held[t->clock])
		return PROTO_QUEUE_HELD;
	return t->ready <= b->now.at[t->clock] ? PROTO_QUEUE_DUE : PROTO_QUEUE_WAITING;
}

static int64_t remaining_of(uint64_t due, uint64_t now)
{
	return (int64_t)due - (int64_t)now; /* both are at most INT64_MAX */
}

static void write_row(
	const struct broker *b, const struct store_timer *t, struct queue_codec_writer *w)
{
	struct proto_queue_listed listed = {
		.id = t->timer,
		.due = t->due,
		.left = remaining_of(t->due, b->now.at[t->clock]),
		.slack = t->slack,
		.every = t->every,
		.fired = t->number - 1,
		.count = t->count,
		.payload_size = t->payload_size,
		.key = queue_codec_add_bytes(w, t->key, t->key_size),
		.key_size = t->key_size,
		.clock = t->clock,
		.flags = t->flags,
		.state = (uint8_t)state_of(b, t),
	};

	listed.attempt = t->attempt + (listed.state == PROTO_QUEUE_UNACKED);
	memcpy(listed.label, t->label, sizeof(listed.label));
	queue_codec_put(w, &listed);
}

/* The status for a read or a purge that failed. */
static uint32_t refusal_of(const struct broker *b, int error)
{
	const char *why;

	if (!error)
		return PROTO_OK;
	if (error == -ENOSPC)
		return PROTO_Q_STORE_FULL;
	if (error == -ENOTCONN || error == -ETIMEDOUT ||
		b->store->ops->state(b->store, &why) == STORE_AWAY)
		return PROTO_Q_STORE_AWAY;
	return error == -EINPROGRESS ? PROTO_Q_STORE_UNKNOWN : PROTO_Q_STORE_FAILED;
}

/* The same for a read or a purge that could not be started. */
static uint32_t status_of_start(const struct broker *b, int error)
{
	return error == -ENOTCONN ? refusal_of(b, error) : error ? PROTO_E_DESCRIPTORS : PROTO_OK;
}

static void begin_next(struct broker *b, struct user *user);

/* Ends the client's read, and begins the next one of its user. Return: the client, for
 * the answer; NULL: it has disconnected. */
static struct client *end_reading(struct broker *b, struct client *client, struct proto_header *ret)
{
	struct request *request = client->reading;

	*ret = (struct proto_header){.opcode = request->opcode, .serial = request->serial};
	client->reading = NULL;
	client->user->reader = NULL;
	request_free(request);
	begin_next(b, client->user);
	if (!client->gone)
		return client;
	client_free(b, client);
	return NULL;
}

static void rows_listed(struct store_reader *r, const struct store_timer *rows, size_t n,
	const struct store_beyond *beyond, bool more, int error)
{
	struct client *client = r->userdata;
	struct broker *b = client->broker;
	struct queue_codec_writer w;
	struct proto_header h;

	(void)beyond;
	client = end_reading(b, client, &h);
	if (!client)
		return;
	answer_begin(b, &w, h.opcode, h.serial);
	w.header.status = (uint16_t)refusal_of(b, error);
	for (size_t i = 0; i < n; i++)
		write_row(b, &rows[i], &w);
	if (n) {
		const struct store_timer *last = &rows[n - 1];

		client->listing->position = (struct store_position){
			.ready = last->ready,
			.id = last->parked ? last->timer : last->id,
			.clock = last->clock,
			.number = last->number,
		};
	}
	client->listing->cursor = more && n ? ++client->cursors : 0;
	answer_send(b, client, queue_codec_end(&w, client->listing->cursor));
	b->outlet->resume(b->outlet->userdata, client->number);
}

static uint64_t first_of(const struct broker *b, const struct store_queue *q, uint64_t *ret_next)
{
	uint64_t oldest = PROTO_FOREVER;

	*ret_next = PROTO_FOREVER;
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++) {
		uint64_t now = b->now.at[i], first = q->first[i], next = q->next[i];

		if (first == PROTO_FOREVER || b->now.held[i])
			continue;
		if (first <= now && (oldest == PROTO_FOREVER || now - first > oldest))
			oldest = now - first;
		if (next == PROTO_FOREVER)
			continue;
		/* It may have become due after the store was asked. */
		next = next > now ? next - now : 0;
		if (next < *ret_next)
			*ret_next = next;
	}
	return oldest;
}

static void write_queue(
	const struct broker *b, const struct store_queue *q, struct queue_codec_writer *w)
{
	const struct queue *queue = queue_find(b, q->number);
	size_t host = q->host ? strlen(q->host) : 0;
	struct proto_queue_info info = {
		.timers = q->timers,
		.due = q->due,
		.parked = q->parked,
		.unacked = queue ? queue->unacked : 0,
		.uid = q->uid,
		.name_size = (uint16_t)strlen(q->name),
	};

	info.oldest = first_of(b, q, &info.next);
	info.consumers = queue ? queue->consumers : 0;
	/* A queue exists while it holds a timer or has a consumer, on any host. */
	if (!info.timers && !info.parked && !info.consumers && !q->term)
		return;
	info.name = queue_codec_add_bytes(w, q->name, info.name_size);
	info.term = q->term;
	info.host_size = (uint16_t)(host < HOST_MAX ? host : HOST_MAX);
	info.host = queue_codec_add_bytes(w, q->host, info.host_size);
	queue_codec_put(w, &info);
}

static void queues_listed(
	struct store_reader *r, const struct store_queue *queues, size_t n, bool more, int error)
{
	struct client *client = r->userdata;
	struct broker *b = client->broker;
	struct queue_codec_writer w;
	struct proto_header h;

	client = end_reading(b, client, &h);
	if (!client)
		return;
	answer_begin(b, &w, h.opcode, h.serial);
	w.header.status = (uint16_t)refusal_of(b, error);
	for (size_t i = 0; i < n; i++)
		write_queue(b, &queues[i], &w);
	answer_send(b, client, queue_codec_end(&w, more && n ? queues[n - 1].number : 0));
	b->outlet->resume(b->outlet->userdata, client->number);
}

static void rows_purged(struct store_reader *r, uint64_t n, uint64_t bytes, bool more, int error)
{
	struct client *client = r->userdata;
	struct broker *b = client->broker;
	struct proto_header h;

	(void)bytes;
	BROKER_COUNT(b, client->user, dropped, n);
	if (n && !client->purges_parked)
		wakes_purged(b, client->purged);
	client = end_reading(b, client, &h);
	if (!client)
		return;
	answer_done(b, client, &h, n, refusal_of(b, error), more);
	b->outlet->resume(b->outlet->userdata, client->number);
}

/* Finds the listing of that cursor. Cursor 0 begins a listing, which replaces the least recently
 * used one. Return: NULL: the listing is over, or is of another queue. */
static struct listing *listing_of(
	struct client *client, uint64_t cursor, uint32_t queue, bool parked)
{
	struct listing *found = &client->listings[0];

	for (size_t i = 0; i < CLIENT_LISTINGS; i++) {
		struct listing *l = &client->listings[i];

		if (cursor ? l->cursor == cursor : l->cursor < found->cursor)
			found = l;
	}
	if (!cursor)
		*found = (struct listing){.queue = queue, .parked = parked};
	else if (found->cursor != cursor || found->queue != queue || found->parked != parked)
		return NULL;
	return found;
}

static uint32_t start_list(struct broker *b, struct client *client)
{
	const struct proto_queue_list *list = &client->read.list;
	const struct opened *opened = opened_of(client, list->queue);
	bool parked = list->flags & PROTO_QUEUE_PARKED;

	if (!opened)
		return PROTO_Q_QUEUE;
	if (list->flags & ~(uint32_t)PROTO_QUEUE_PARKED)
		return PROTO_E_FLAGS;
	if (client->read.opcode == PROTO_QUEUE_PURGE) {
		client->purged = opened->number;
		client->purges_parked = parked;
		return status_of_start(b,
			b->store->ops->purge(
				b->store, opened->number, parked, PURGE_PAGE, &client->reader));
	}
	client->listing = listing_of(client, client->read.cursor, opened->number, parked);
	if (!client->listing)
		return PROTO_E_RANGE;
	return status_of_start(b,
		b->store->ops->list(b->store, opened->number, parked, &client->listing->position,
			LIST_PAGE, &client->reader));
}

static uint32_t start_queues(struct broker *b, struct client *client)
{
	const struct proto_queue_queues *request = &client->read.queues;
	bool all = request->flags & PROTO_QUEUE_ALL;
	uint64_t now[PROTO_CLOCKS];

	if (request->flags & ~(uint32_t)PROTO_QUEUE_ALL || request->reserved)
		return PROTO_E_FLAGS;
	if (all && client->uid != 0)
		return PROTO_E_PERMISSION;
	if (client->read.cursor > UINT32_MAX)
		return PROTO_E_RANGE;
	/* Nothing is due on a clock that is held. */
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
		now[i] = b->now.held[i] ? 0 : b->now.at[i];
	return status_of_start(b,
		b->store->ops->queues(b->store, all ? PROTO_QUEUE_OWN : client->uid,
			(uint32_t)client->read.cursor, QUEUES_PAGE, now, &client->reader));
}

static void refuse(
	struct broker *b, struct client *client, const struct proto_header *h, uint32_t status)
{
	struct queue_codec_writer w;

	if (h->opcode == PROTO_QUEUE_PURGE) {
		answer_done(b, client, h, 0, status, 0);
		return;
	}
	answer_begin(b, &w, h->opcode, h->serial);
	w.header.status = (uint16_t)status;
	answer_send(b, client, queue_codec_end(&w, 0));
}

/* Begins the client's read, or refuses it. */
static void begin_read(struct broker *b, struct client *client)
{
	struct request *request = client->reading;
	struct proto_header h = {.opcode = request->opcode, .serial = request->serial};
	uint32_t status;

	client->user->reader = client;
	status = client->read.opcode == PROTO_QUEUE_QUEUES ? start_queues(b, client)
							   : start_list(b, client);
	if (!status)
		return;
	client->user->reader = NULL;
	client->reading = NULL;
	request_free(request);
	refuse(b, client, &h, status);
}

/* Begins the read that waits longest, if none is at the store. */
static void begin_next(struct broker *b, struct user *user)
{
	while (!user->reader && !link_is_empty(&user->readers)) {
		struct client *client = LINK_OWNER(user->readers.next, struct client, read_turn);

		link_remove(&client->read_turn);
		begin_read(b, client);
		if (!client->reading)
			b->outlet->resume(b->outlet->userdata, client->number);
	}
}

int reads_handle(struct broker *b, struct client *client, const void *packet, size_t size,
	const struct queue_codec_packet *p)
{
	client->reader = (struct store_reader){
		.rows = rows_listed,
		.queues = queues_listed,
		.purged = rows_purged,
		.userdata = client,
	};
	client->read = (struct read){.opcode = p->header.opcode, .cursor = p->header.cursor};
	if (p->header.opcode == PROTO_QUEUE_QUEUES)
		queue_codec_get(p, 0, &client->read.queues);
	else
		queue_codec_get(p, 0, &client->read.list);
	/* This comes before the read begins, because its answer needs the request. */
	client->reading = request_new(client, p, packet, size);
	if (!client->reading)
		refuse(b, client, &p->header, PROTO_E_DESCRIPTORS);
	else if (client->user->reader)
		link_insert(&client->user->readers, &client->read_turn);
	else
		begin_read(b, client);
	return client->closing;
}

int reads_status(struct broker *b, struct client *client, const struct proto_header *h)
{
	/* Root sees the counts of everybody, a user its own. */
	const struct counts *counts = client->uid ? &client->user->counts : &b->counts;
	struct proto_queue_status_answer answer = {
		.uptime = b->now.real - b->config.started,
		.clients = client->uid ? client->user->client_count : b->clients_connected,
		.unacked = counts->unacked,
		.stored = counts->stored,
		.delivered = counts->delivered,
		.acknowledged = counts->acknowledged,
		.retried = counts->retried,
		.missed = counts->missed,
		.dropped = counts->dropped,
		.refused = counts->refused,
		.pid = b->config.pid,
		.clock_off = b->now.clock_off,
		.standby = counts->standby,
	};
	struct queue_codec_writer w;
	struct store_usage usage;
	const char *why;

	b->store->ops->usage(b->store, client->uid ? client->uid : PROTO_QUEUE_OWN, &usage);
	answer.queues = usage.queues;
	answer.timers = usage.timers;
	answer.parked = usage.parked;
	answer.store = (uint32_t)b->store->ops->state(b->store, &why);
	for (size_t i = 0; i < sizeof(answer.version) && b->config.version[i]; i++)
		answer.version[i] = b->config.version[i];
	answer_begin(b, &w, PROTO_QUEUE_STATUS, h->serial);
	queue_codec_put(&w, &answer);
	answer_send(b, client, queue_codec_end(&w, 0));
	return client->closing;
}
