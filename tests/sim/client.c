/* SPDX-License-Identifier: MIT */
/*
 * Clients that behave like libtoytimer on the wire: requests have serials, several are in flight,
 * and after a RESUMED event a client sends requests again. They send each kind of request,
 * sometimes invalid ones.
 */
#include <string.h>

#include "plain.h"
#include "world.h"

/* Packets that a client builds. */
#define RECORDS_MAX 4

#define SECOND UINT64_C(1000000)

static struct socket *socket_of(struct world *w, const struct client *client)
{
	return &w->sockets[client->socket];
}

/* Sends a packet that breaks the order of the protocol. Return: false if the socket is full. */
static bool send_bytes(struct world *w, struct client *client, const void *bytes, size_t size)
{
	struct packet *packet = packet_new(bytes, size);
	bool sent = queue_push(&socket_of(w, client)->up, packet);

	if (!sent)
		world_happened(w, EVENT_UP_FULL);

	packet_unref(packet);
	return sent;
}

static bool can_ask(struct world *w, const struct client *client)
{
	const struct socket *socket = &w->sockets[client->socket];

	return client->state != CLIENT_DOWN && !client->again && client->count < CLIENT_FLIGHT &&
		socket->daemon_open && socket->up.count < QUEUE_MAX;
}

/* Sends a request, and keeps it until the answer comes. */
static void send_request(
	struct world *w, struct client *client, const struct codec_writer *writer, size_t size)
{
	struct packet *packet = packet_new(writer->buffer, size);

	queue_push(&socket_of(w, client)->up, packet);
	client->flight[(client->first + client->count++) % CLIENT_FLIGHT] = packet;
	client->serial++;
	world_say(w, "client %u asks %s of %u, serial %" PRIu64, client->pid,
		codec_opcode_name(writer->header.opcode), writer->header.count, client->serial);
}

/* A valid hello, or one with a fault. */
static struct proto_hello some_hello(struct dice *dice)
{
	return (struct proto_hello){
		.magic = PROTO_MAGIC + dice_once_in(dice, 4),
		.version = (uint16_t)dice_below(dice, 3),
		.reserved = dice_once_in(dice, 4),
	};
}

void client_connect(struct world *w, struct client *client, struct dice *dice)
{
	bool silent = dice_once_in(dice, 10), wrong = dice_once_in(dice, 10);
	struct proto_hello good = {.magic = PROTO_MAGIC, .version = PROTO_VERSION};
	struct proto_hello record = wrong ? some_hello(dice) : good;
	uint8_t bytes[256];
	struct codec_writer writer;
	uint32_t i = 0;

	while (i < 2 * w->clients_count && (w->sockets[i].daemon_open || w->sockets[i].client_open))
		i++;
	if (client->state != CLIENT_DOWN || i == 2 * w->clients_count)
		return;
	w->sockets[i] = (struct socket){
		.client_open = true,
		.daemon_open = true,
		.cookie = ++w->cookies,
		.uid = client->uid,
		.pid = client->pid,
	};
	client->socket = i;
	client->state = CLIENT_GREETING;
	client->serial = 0;
	client->guilty = silent || wrong;
	if (client->was_up)
		world_happened(w, EVENT_RECONNECTED);
	client->was_up = true;
	world_say(w, "client %u of uid %u connects", client->pid, client->uid);
	if (silent)
		return;
	codec_begin(&writer, bytes, PROTO_HELLO, 1);
	codec_put(&writer, &record, sizeof(record));
	send_request(w, client, &writer, codec_end(&writer, 0));
}

void client_die(struct world *w, struct client *client)
{
	struct socket *socket = socket_of(w, client);

	if (client->state == CLIENT_DOWN)
		return;
	world_say(w, "client %u closes", client->pid);
	w->counts.events[EVENT_CUT_UNREAD] += socket->daemon_open && socket->down.count;
	w->counts.events[EVENT_CUT_UNANSWERED] += socket->daemon_open && client->count;
	w->counts.events[EVENT_CUT_SENT] += socket->daemon_open && socket->up.count;
	socket->client_open = false;
	queue_clear(&socket->down);
	while (client->count) {
		packet_unref(client->flight[client->first]);
		client->first = (client->first + 1) % CLIENT_FLIGHT;
		client->count--;
	}
	client->state = CLIENT_DOWN;
	client->stalled = client->guilty = false;
	client->again = 0;
	for (uint32_t i = 0; i < CLIENT_TIMERS; i++)
		client->timers[i].state = CLIENT_TIMER_NONE;
}

/* Sends again the requests that need it, as long as the socket has room. */
void client_flush(struct world *w, struct client *client)
{
	struct socket *socket = socket_of(w, client);

	while (client->state != CLIENT_DOWN && client->again && socket->daemon_open &&
		queue_push(&socket->up,
			client->flight[(client->first + client->count - client->again) %
				CLIENT_FLIGHT]))
		client->again--;
}

bool client_read(struct world *w, struct client *client)
{
	struct socket *socket = socket_of(w, client);
	struct packet *packet;

	if (client->state == CLIENT_DOWN)
		return false;
	packet = queue_pop(&socket->down);
	if (packet) {
		client_take(w, client, packet);
		packet_unref(packet);
	} else if (!socket->daemon_open) {
		client_die(w, client);
	}
	client_flush(w, client);
	return packet != NULL;
}

static uint64_t some_span(struct dice *dice)
{
	switch (dice_below(dice, 6)) {
	case 0:
		return dice_below(dice, 20);
	case 1:
		return SECOND * dice_below(dice, 4);
	case 2:
		return dice_below(dice, UINT64_C(100000));
	default:
		return dice_below(dice, UINT64_C(8000000));
	}
}

static uint64_t some_slack(struct dice *dice)
{
	if (dice_once_in(dice, 20))
		return PROTO_FOREVER;
	return dice_once_in(dice, 2) ? 0 : dice_below(dice, UINT64_C(2000000));
}

static uint64_t some_due(struct world *w, struct dice *dice, uint8_t clock, uint8_t *flags)
{
	uint64_t now = w->now.at[clock < PROTO_CLOCKS ? clock : 0];

	*flags = dice_once_in(dice, 2) ? PROTO_RELATIVE : 0;
	if (dice_once_in(dice, 40)) /* the end of time, or just before it */
		return PROTO_FOREVER - (*flags ? now : 0) + dice_below(dice, 3) - 1;
	if (*flags)
		return some_span(dice);
	if (dice_once_in(dice, 3)) /* equal dues must be frequent */
		return (now / SECOND + dice_below(dice, 5)) * SECOND;
	return dice_once_in(dice, 10) ? dice_below(dice, now + 1) : now + some_span(dice);
}

static uint64_t some_period(struct dice *dice)
{
	if (dice_once_in(dice, 60))
		return UINT64_MAX - dice_below(dice, 3);
	return dice_below(dice, 5) < 3 ? 0 : 1 + dice_below(dice, UINT64_C(3000000));
}

/* Makes one field of the record invalid. */
static void spoil(struct proto_register *r, struct dice *dice)
{
	switch (dice_below(dice, 5)) {
	case 0:
		r->clock = (uint8_t)(PROTO_CLOCKS +
			(dice_once_in(dice, 2) ? 0 : dice_below(dice, 200)));
		break;
	case 1:
		r->flags |= (uint8_t)(8 << dice_below(dice, 5));
		break;
	case 2:
		plain_label(PLAIN_LABELS_GOOD +
				(unsigned int)dice_below(dice, PLAIN_LABELS - PLAIN_LABELS_GOOD),
			r->label);
		break;
	case 3:
		r->every = 0;
		r->count = 2;
		break;
	default:
		r->reserved = 1;
	}
}

static void ask_register(
	struct world *w, struct client *client, struct dice *dice, struct codec_writer *writer)
{
	uint64_t n = 1 + dice_below(dice, RECORDS_MAX);

	codec_begin(writer, writer->buffer, PROTO_REGISTER, client->serial + 1);
	for (uint32_t i = 0; i < CLIENT_TIMERS && writer->header.count < n; i++) {
		struct client_timer *t = &client->timers[i];
		struct proto_register r = {.clock = (uint8_t)dice_below(dice, PROTO_CLOCKS)};

		if (t->state == CLIENT_TIMER_ASKED || t->state == CLIENT_TIMER_HELD ||
			t->state == CLIENT_TIMER_GONE)
			continue;
		r.cookie = ++client->cookies;
		r.slack = some_slack(dice);
		r.every = some_period(dice);
		r.count = r.every && dice_once_in(dice, 2) ? 1 + (uint32_t)dice_below(dice, 4) : 0;
		r.due = some_due(w, dice, r.clock, &r.flags);
		if (dice_once_in(dice, 8))
			r.flags |= PROTO_WAKE_SYSTEM;
		if (dice_once_in(dice, r.clock == PROTO_CLOCK_REALTIME ? 4 : 64))
			r.flags |= PROTO_TELL_CLOCK_SET;
		if (dice_once_in(dice, 3))
			plain_label((unsigned int)dice_below(dice, PLAIN_LABELS_GOOD), r.label);
		if (dice_once_in(dice, 16))
			spoil(&r, dice);
		*t = (struct client_timer){
			.state = CLIENT_TIMER_ASKED,
			.clock = r.clock,
			.until = r.every ? r.count : 1,
			.cookie = r.cookie,
			.every = r.every,
		};
		codec_put(writer, &r, sizeof(r));
	}
}

/* An id: mostly of a live timer of the client. */
static uint64_t some_id(struct world *w, struct client *client, struct dice *dice)
{
	const struct client *of = client;

	if (dice_once_in(dice, 8))
		of = &w->clients[dice_below(dice, w->clients_count)];
	if (dice_once_in(dice, 10))
		return of->stale[dice_below(dice, CLIENT_STALE)];
	if (dice_once_in(dice, 50))
		return dice_any(dice);
	return of->timers[dice_below(dice, CLIENT_TIMERS)].id;
}

static void ask_cancel(
	struct world *w, struct client *client, struct dice *dice, struct codec_writer *writer)
{
	codec_begin(writer, writer->buffer, PROTO_CANCEL, client->serial + 1);
	for (uint64_t n = 1 + dice_below(dice, RECORDS_MAX); n--;)
		codec_put(writer, &(struct proto_cancel){some_id(w, client, dice)},
			sizeof(struct proto_cancel));
}

static void ask_rearm(
	struct world *w, struct client *client, struct dice *dice, struct codec_writer *writer)
{
	codec_begin(writer, writer->buffer, PROTO_REARM, client->serial + 1);
	for (uint64_t n = 1 + dice_below(dice, RECORDS_MAX); n--;) {
		struct proto_rearm r = {.id = some_id(w, client, dice)};
		uint8_t clock = client->timers[dice_below(dice, CLIENT_TIMERS)].clock;

		r.due = some_due(w, dice, clock, &r.flags);
		r.slack = some_slack(dice);
		r.every = some_period(dice);
		r.count = r.every && dice_once_in(dice, 2) ? 1 + (uint32_t)dice_below(dice, 4) : 0;
		if (dice_once_in(dice, 30))
			r.flags |= (uint8_t)(2 << dice_below(dice, 7));
		codec_put(writer, &r, sizeof(r));
	}
}

static void ask_match(struct client *client, struct dice *dice, struct codec_writer *writer)
{
	bool cancel = dice_once_in(dice, 3);
	struct proto_match m = {0};

	if (dice_once_in(dice, 3)) {
		m.flags |= PROTO_MATCH_USER;
		m.uid = dice_once_in(dice, 2) ? client->uid : 0;
	} else if (dice_once_in(dice, 4)) {
		m.flags |= PROTO_MATCH_EVERYBODY;
	}
	if (cancel || dice_once_in(dice, 2)) {
		m.flags |= PROTO_MATCH_LABEL;
		plain_label(1 + (unsigned int)dice_below(dice, PLAIN_LABELS_GOOD), m.label);
	}
	if (dice_once_in(dice, 16))
		m.flags ^= 1u << dice_below(dice, 32);
	codec_begin(writer, writer->buffer, cancel ? PROTO_CANCEL_MATCHING : PROTO_LIST_MATCHING,
		client->serial + 1);
	codec_put(writer, &m, sizeof(m));
}

void client_ask(struct world *w, struct client *client, struct dice *dice)
{
	uint8_t bytes[sizeof(struct proto_header) + RECORDS_MAX * sizeof(struct proto_register)];
	struct codec_writer writer = {.buffer = bytes};
	uint64_t what = dice_below(dice, 100);

	if (!can_ask(w, client) || client->serial == 0)
		return;
	if (what < 50) {
		ask_register(w, client, dice, &writer);
	} else if (what < 75) {
		ask_cancel(w, client, dice, &writer);
	} else if (what < 90) {
		ask_rearm(w, client, dice, &writer);
	} else if (what < 93) {
		ask_match(client, dice, &writer);
	} else if (what < 97) {
		struct proto_list list = {.flags = dice_once_in(dice, 3) ? PROTO_LIST_ALL : 0};

		if (dice_once_in(dice, 16))
			list.flags |= 2u << dice_below(dice, 31);
		codec_begin(&writer, bytes, PROTO_LIST, client->serial + 1);
		codec_put(&writer, &list, sizeof(list));
	} else {
		codec_begin(&writer, bytes, PROTO_STATUS, client->serial + 1);
	}
	if (writer.header.count || writer.header.opcode == PROTO_STATUS)
		send_request(w, client, &writer, codec_end(&writer, 0));
}

/* A valid request with one fault. Return: its size. */
static size_t almost(uint8_t bytes[static 256], uint64_t serial, struct dice *dice)
{
	struct codec_writer writer;

	memset(bytes, 0, 256);
	codec_begin(&writer, bytes, PROTO_CANCEL, serial);
	codec_put(&writer, &(struct proto_cancel){dice_any(dice)}, sizeof(struct proto_cancel));
	codec_put(&writer, &(struct proto_cancel){dice_any(dice)}, sizeof(struct proto_cancel));
	switch (dice_below(dice, 7)) {
	case 0:
		writer.header.count = 0;
		break;
	case 1:
		writer.header.serial = 0;
		break;
	case 2:
		writer.header.status = 1;
		break;
	case 3:
		writer.header.record_size = 4;
		break;
	case 4:
		writer.header.opcode |= PROTO_ANSWER;
		break;
	case 5:
		return codec_end(&writer, 0) - 8;
	default:
		return codec_end(&writer, 0) + 8;
	}
	return codec_end(&writer, 0);
}

void client_misbehave(struct world *w, struct client *client, struct dice *dice)
{
	uint8_t bytes[256];
	struct proto_hello hello = some_hello(dice);
	uint64_t serial = client->serial + dice_below(dice, 4);
	struct codec_writer writer;
	size_t size;

	if (client->state == CLIENT_DOWN || !socket_of(w, client)->daemon_open)
		return;
	switch (dice_below(dice, 4)) {
	case 0:
		codec_begin(&writer, bytes, PROTO_STATUS, serial + 2);
		size = codec_end(&writer, 0);
		break;
	case 1:
		size = almost(bytes, client->serial + 1, dice);
		break;
	case 2:
		codec_begin(&writer, bytes, PROTO_HELLO, serial + 1);
		codec_put(&writer, &hello, sizeof(hello));
		size = codec_end(&writer, 0);
		break;
	default:
		size = (size_t)dice_below(dice, sizeof(bytes));
		for (size_t i = 0; i < size; i++)
			bytes[i] = (uint8_t)dice_any(dice);
	}
	world_say(w, "client %u misbehaves", client->pid);
	client->guilty |= send_bytes(w, client, bytes, size);
}

/* Checks that everything has ended that had enough time since then. */
void client_check_settled(
	const struct world *w, const struct client *client, const struct now *since)
{
	if (client->state == CLIENT_DOWN || client->guilty)
		return;
	if (client->state != CLIENT_UP || client->count)
		world_fail(w, "a request was not answered");
	for (uint32_t i = 0; i < CLIENT_TIMERS; i++) {
		const struct client_timer *t = &client->timers[i];

		if (t->state == CLIENT_TIMER_GONE)
			world_fail(w, "a client was not told that its timer was cancelled");
		if (t->state == CLIENT_TIMER_HELD && t->due <= since->at[t->clock])
			world_fail(w, "a timer that was acknowledged did not wake its client");
	}
}
