/* SPDX-License-Identifier: MIT */
/*
 * Connections: hello, whose turn it is, the queues that a client has opened, the puts that it sent
 * over an earlier connection, and how much each may have waiting.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

/* What a client may have waiting for the store: packets, and bytes of them. Its put packets are as
 * many as the store remembers. */
#define PENDING_PACKETS STORE_PUTS
#define PENDING_BYTES	((size_t)4 << 20)

/* systemd's dynamic users: their uids are recycled, and with them would be their queues. */
#define DYNAMIC_UID_MIN 61184
#define DYNAMIC_UID_MAX 65519

void send_out(struct broker *b, struct client *client, size_t size)
{
	int r = b->outlet->send(b->outlet->userdata, client->number, b->out, size);

	/* A client is not read from while it has not read: there was room for this answer. */
	if (r < 0)
		client->closing = true;
}

void send_error(
	struct broker *b, struct client *client, uint32_t status, uint64_t serial, const char *text)
{
	struct proto_error error = {.status = status, .serial = serial};
	struct queue_codec_writer w;

	for (size_t i = 0; i < sizeof(error.text) && text[i]; i++)
		error.text[i] = text[i];
	queue_codec_begin(&w, b->out, PROTO_ERROR, 0);
	queue_codec_put(&w, &error);
	send_out(b, client, queue_codec_end(&w, 0));
}

void answer_begin(struct broker *b, struct queue_codec_writer *w, uint16_t opcode, uint64_t serial)
{
	queue_codec_begin(w, b->out, (uint16_t)(opcode | PROTO_ANSWER), serial);
}

struct user *user_get(struct broker *b, uint32_t uid)
{
	struct user **slot = &b->users[uid % BROKER_HASH], *user = *slot;

	while (user && user->uid != uid)
		user = user->next;
	if (user)
		return user;
	user = calloc(1, sizeof(*user));
	if (!user)
		return NULL;
	user->uid = uid;
	link_init(&user->turn);
	link_init(&user->turns);
	link_init(&user->clients);
	user->next = *slot;
	*slot = user;
	return user;
}

void user_resume(struct user *user)
{
	LINK_FOR_EACH(at, &user->clients)
	{
		struct client *client = LINK_OWNER(at, struct client, of_user);
		const struct broker_outlet *outlet = client->broker->outlet;

		if (!client->gone)
			outlet->resume(outlet->userdata, client->number);
	}
}

void broker_set_limits(struct broker *b, const struct broker_limits *limits)
{
	uint32_t max_clients = b->config.limits.max_clients; /* tables have this size */

	b->config.limits = *limits;
	b->config.limits.max_clients = max_clients;
}

uint32_t broker_connect(struct broker *b, uint32_t uid, uint32_t max_clients, uint32_t *ret_client)
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
		return PROTO_E_CLIENTS; /* some that have gone wait for the store */
	client = user ? calloc(1, sizeof(*client)) : NULL;
	if (!client)
		return PROTO_E_DESCRIPTORS;
	client->broker = b;
	client->user = user;
	client->number = number + 1;
	client->uid = uid;
	link_init(&client->greeting);
	link_init(&client->requests);
	link_insert(&user->clients, &client->of_user);
	user->client_count++;
	b->clients[number] = client;
	if (number == b->client_count)
		b->client_count++;
	b->clients_connected++;
	*ret_client = client->number;
	return PROTO_OK;
}

/* What the client asked for goes on; nobody hears the answer. */
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

void broker_disconnect(struct broker *b, uint32_t number, const struct broker_now *now)
{
	struct client *client = b->clients[number - 1];

	b->now = *now;
	b->clients_connected--;
	while (client->consumers)
		consumer_detach(b, client->consumers, true);
	orphan_requests(client);
	client->gone = true;
	client->closing = true;
	link_remove(&client->greeting);
	if (!client->reading && !client->finding)
		client_free(b, client);
}

static bool client_may_ask(const struct client *client)
{
	return !client->blocked && !client->closing && !client->reading && !client->finding &&
		(client->unread || link_is_empty(&client->greeting)) &&
		client->pending < PENDING_BYTES && client->pending_count < PENDING_PACKETS &&
		client->user->pending < BROKER_PENDING_PER_USER;
}

bool broker_reads(const struct broker *b, uint32_t number)
{
	return client_may_ask(b->clients[number - 1]);
}

void broker_writable(struct broker *b, uint32_t number)
{
	struct client *client = b->clients[number - 1];

	if (!client->blocked)
		return;
	client->blocked = false;
	consumers_update(client);
}

/* The put of an earlier connection, answered as it was then. Return: whether it is one. */
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
	send_out(b, client, queue_codec_end(&w, 0));
	return true;
}

void client_note_unsure(struct broker *b, const uint8_t token[static STORE_TOKEN_SIZE])
{
	if (b->unsure_count < BROKER_UNSURE)
		memcpy(b->unsure[b->unsure_count], token, STORE_TOKEN_SIZE);
	if (b->unsure_count <= BROKER_UNSURE)
		b->unsure_count++;
}

bool client_is_unsure(const struct broker *b, const uint8_t token[static STORE_TOKEN_SIZE])
{
	for (unsigned int i = 0; i < b->unsure_count && i < BROKER_UNSURE; i++)
		if (!memcmp(b->unsure[i], token, STORE_TOKEN_SIZE))
			return true;
	return b->unsure_count > BROKER_UNSURE;
}

/* Whether the put is one of an earlier connection, and stored, is not known. A client's first one
 * is known not to be stored, unless it was sent before. */
static void answer_unknown(struct broker *b, struct client *client, const struct proto_header *h)
{
	const char *why;
	bool away = h->cursor == 1 && !client_is_unsure(b, client->token) &&
		b->store->ops->state(b->store, &why) == STORE_AWAY;
	const struct proto_queue_stored unknown = {
		.status = away ? PROTO_Q_STORE_AWAY : PROTO_Q_STORE_UNKNOWN};
	struct queue_codec_writer w;

	answer_begin(b, &w, PROTO_QUEUE_PUT, h->serial);
	for (uint32_t i = 0; i < h->count; i++)
		queue_codec_put(&w, &unknown);
	BROKER_COUNT(b, client->user, refused, h->count);
	send_out(b, client, queue_codec_end(&w, 0));
}

/* A connection's serials grow. One that an earlier connection sent and that the store knows is
 * answered as it was then; one that the store does not know was not stored, unless it is older than
 * what the store remembers. */
bool client_takes_put(struct broker *b, struct client *client, const struct proto_header *h)
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
	send_error(b, client, PROTO_E_SEQUENCE, h->serial,
		"cursor: a put of that number was answered long ago");
	client->closing = true;
	return false;
}

static int greet(struct broker *b, struct client *client, const struct queue_codec_packet *p)
{
	static const uint8_t none[PROTO_QUEUE_TOKEN_SIZE];
	struct proto_queue_hello_answer answer = {
		.magic = PROTO_QUEUE_MAGIC,
		.version = PROTO_QUEUE_VERSION,
		.capabilities = b->config.can_wake_system ? PROTO_CAN_WAKE_SYSTEM : 0,
		.instance = b->config.instance,
		.pid = b->config.pid,
	};
	struct queue_codec_writer w;
	struct proto_queue_hello hello;

	queue_codec_get(p, 0, &hello);
	if (hello.magic != PROTO_QUEUE_MAGIC || hello.reserved) {
		send_error(b, client, PROTO_E_PACKET, p->header.serial,
			"hello: magic is not that of timerqd, or reserved is not 0");
		return 1;
	}
	if (hello.version < PROTO_QUEUE_VERSION) {
		send_error(b, client, PROTO_E_VERSION, p->header.serial,
			"version: this timerqd speaks version 1");
		return 1;
	}
	client->greeted = true;
	client->has_token = memcmp(hello.token, none, sizeof(none)) != 0;
	for (unsigned int i = 0; i < 4; i++)
		client->token[i] = (uint8_t)(client->uid >> i * 8);
	memcpy(client->token + 4, hello.token, sizeof(hello.token));
	client->last_put = hello.answered;
	client->asked_at = UINT64_MAX;
	if (client->has_token)
		link_insert(&b->greeting, &client->greeting);
	answer_begin(b, &w, PROTO_QUEUE_HELLO, p->header.serial);
	queue_codec_put(&w, &answer);
	send_out(b, client, queue_codec_end(&w, 0));
	return client->closing;
}

static void put_found(struct store_reader *r, uint64_t serial,
	const struct proto_queue_stored *answers, size_t n, int error)
{
	struct client *client = r->userdata;
	struct known_put *known;

	if (n) {
		known = malloc(sizeof(*known) + n * sizeof(*answers));
		if (!known)
			return; /* a put that is sent again then ends the connection */
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
	/* A store that cannot be read is asked again. Meanwhile the client may ask for all else. */
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

/* Whether a put of that token is on its way to the store, from an earlier connection. */
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
	/* They can have ended only if a commit has. */
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

void clients_find_puts(struct broker *b)
{
	if (b->now.real < b->retry_puts)
		return;
	b->retry_puts = 0;
	LINK_FOR_EACH(at, &b->greeting)
	find_puts(b, LINK_OWNER(at, struct client, greeting));
}

/* Whether that uid is nobody's for good. */
static bool owns_nothing(const struct broker *b, uint32_t uid)
{
	return (uid >= DYNAMIC_UID_MIN && uid <= DYNAMIC_UID_MAX) ||
		(b->config.overflow_uid && uid == b->config.overflow_uid);
}

struct opened_list *opened_unref(struct opened_list *opened)
{
	if (!opened || --opened->references)
		return NULL;
	for (uint32_t i = 0; i < opened->count; i++) {
		struct store *store = opened->broker->store;

		if (store)
			store->ops->unref_queue(store, opened->at[i].number);
	}
	free(opened->at);
	free(opened);
	return NULL;
}

/* Makes room for one more. */
static bool reserve_queue(struct broker *b, struct client *client)
{
	struct opened_list *opened = client->opened;
	struct opened *at;
	uint32_t room;

	if (!opened) {
		opened = calloc(1, sizeof(*opened));
		if (!opened)
			return false;
		opened->broker = b;
		opened->references = 1;
		client->opened = opened;
	}
	if (opened->count < opened->room)
		return true;
	room = opened->room ? 2 * opened->room : 4;
	at = realloc(opened->at, room * sizeof(*at));
	if (!at)
		return false;
	opened->at = at;
	opened->room = room;
	return true;
}

static uint32_t open_queue(struct broker *b, struct client *client,
	const struct proto_queue_open *open, const char *at)
{
	uint32_t uid = open->uid == PROTO_QUEUE_OWN ? client->uid : open->uid, number;
	char name[PROTO_QUEUE_NAME_MAX + 1] = "";

	if (open->reserved || open->reserved2)
		return PROTO_E_FLAGS;
	if (!queue_codec_name_valid(at, open->name_size))
		return PROTO_Q_NAME;
	if (uid != client->uid && client->uid != 0)
		return PROTO_E_PERMISSION;
	if (owns_nothing(b, uid))
		return PROTO_Q_USER;
	if (client->opened && client->opened->count >= PROTO_QUEUE_OPEN_MAX)
		return PROTO_Q_QUEUES;
	memcpy(name, at, open->name_size);
	if (!reserve_queue(b, client) || b->store->ops->open_queue(b->store, uid, name, &number))
		return PROTO_E_DESCRIPTORS;
	client->opened->at[client->opened->count++] = (struct opened){.number = number, .uid = uid};
	return PROTO_OK;
}

static int handle_open(struct broker *b, struct client *client, const struct queue_codec_packet *p)
{
	struct queue_codec_writer w;

	answer_begin(b, &w, PROTO_QUEUE_OPEN, p->header.serial);
	for (uint32_t i = 0; i < p->header.count; i++) {
		struct proto_queue_opened opened = {0};
		struct proto_queue_open open;

		queue_codec_get(p, i, &open);
		opened.status = open_queue(b, client, &open, queue_codec_bytes(p, open.name));
		opened.queue = opened.status ? 0 : client->opened->count;
		BROKER_COUNT(b, client->user, refused, opened.status != 0);
		queue_codec_put(&w, &opened);
	}
	send_out(b, client, queue_codec_end(&w, 0));
	return client->closing;
}

void answer_done(struct broker *b, struct client *client, const struct proto_header *h, uint64_t id,
	uint32_t status, uint64_t cursor)
{
	struct proto_queue_done done = {.id = id, .status = status};
	struct queue_codec_writer w;

	answer_begin(b, &w, h->opcode & (uint16_t)~PROTO_ANSWER, h->serial);
	queue_codec_put(&w, &done);
	send_out(b, client, queue_codec_end(&w, cursor));
}

static int handle_consume(
	struct broker *b, struct client *client, const struct queue_codec_packet *p)
{
	struct proto_queue_consume consume;
	uint32_t status = PROTO_Q_QUEUE;

	queue_codec_get(p, 0, &consume);
	if (opened_of(client, consume.queue))
		status = consume.reserved ? PROTO_E_FLAGS : consumer_attach(client, &consume, b);
	answer_done(b, client, &p->header, 0, status, 0);
	return client->closing;
}

static int handle_detach(
	struct broker *b, struct client *client, const struct queue_codec_packet *p)
{
	struct proto_queue_detach detach;
	const struct opened *opened;
	uint32_t status = PROTO_Q_QUEUE;

	queue_codec_get(p, 0, &detach);
	opened = opened_of(client, detach.queue);
	if (detach.reserved) {
		status = PROTO_E_FLAGS;
	} else if (opened && opened->consumer) {
		consumer_detach(b, opened->consumer, false);
		status = PROTO_OK;
	}
	answer_done(b, client, &p->header, 0, status, 0);
	return client->closing;
}

/* Whether the packet has to come now; if not, why the client ends. */
static const char *check_turn(const struct client *client, const struct proto_header *h)
{
	if (!client->greeted && h->opcode != PROTO_QUEUE_HELLO)
		return "opcode: a hello has to come first";
	if (client->greeted && h->opcode == PROTO_QUEUE_HELLO)
		return "opcode: there was a hello already";
	if (h->serial != client->serial + 1)
		return "serial: not one more than that of the request before";
	return NULL;
}

int broker_handle(struct broker *b, uint32_t number, const void *packet, size_t size,
	const struct broker_now *now)
{
	struct client *client = b->clients[number - 1];
	struct queue_codec_packet p = {0};
	enum codec_fault fault = queue_codec_open(packet, size, CODEC_FROM_CLIENT, &p);
	const char *text;

	b->now = *now;
	if (fault) {
		send_error(b, client, PROTO_E_PACKET, 0, codec_fault_text(fault));
		return 1;
	}
	text = check_turn(client, &p.header);
	if (text) {
		send_error(b, client, PROTO_E_SEQUENCE, p.header.serial, text);
		return 1;
	}
	client->serial = p.header.serial;
	switch (p.header.opcode) {
	case PROTO_QUEUE_HELLO:
		return greet(b, client, &p);
	case PROTO_QUEUE_OPEN:
		return handle_open(b, client, &p);
	case PROTO_QUEUE_CONSUME:
		return handle_consume(b, client, &p);
	case PROTO_QUEUE_DETACH:
		return handle_detach(b, client, &p);
	case PROTO_QUEUE_LIST:
	case PROTO_QUEUE_PURGE:
	case PROTO_QUEUE_QUEUES:
		return handle_reading(b, client, packet, size, &p);
	case PROTO_QUEUE_STATUS:
		return handle_status(b, client, &p.header);
	default:
		return handle_batch(b, client, packet, size, &p);
	}
}
