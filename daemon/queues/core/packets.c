/* SPDX-License-Identifier: MIT */
#include "packets.h"

#include <string.h>

#include "answers.h"
#include "batches.h"
#include "consumers.h"
#include "list.h"
#include "opened.h"
#include "reads.h"

/* systemd's dynamic users: systemd reuses their uids, so another service would get their queues. */
#define DYNAMIC_UID_MIN 61184
#define DYNAMIC_UID_MAX 65519

static int greet(struct broker *b, struct client *client, const struct queue_codec_packet *p)
{
	static const uint8_t none[PROTO_QUEUE_TOKEN_SIZE];
	const struct store_fleet *fleet = b->store->ops->fleet;
	struct proto_queue_hello_answer answer = {
		.magic = PROTO_QUEUE_MAGIC,
		.version = PROTO_QUEUE_VERSION,
		.capabilities = b->config.can_wake_system ? PROTO_CAN_WAKE_SYSTEM : 0,
		.instance = b->config.instance,
		.pid = b->config.pid,
		.history = fleet ? fleet->history(b->store) : 0,
	};
	struct queue_codec_writer w;
	struct proto_queue_hello hello;

	queue_codec_get(p, 0, &hello);
	if (hello.magic != PROTO_QUEUE_MAGIC || hello.reserved) {
		answer_error(b, client, PROTO_E_PACKET, p->header.serial,
			"hello: magic is not that of timerqd, or reserved is not 0");
		return 1;
	}
	if (hello.version < PROTO_QUEUE_VERSION) {
		answer_error(b, client, PROTO_E_VERSION, p->header.serial,
			"version: this timerqd speaks version 1");
		return 1;
	}
	client->greeted = true;
	link_remove(&client->silent);
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
	answer_send(b, client, queue_codec_end(&w, 0));
	return client->closing;
}

/* Whether the uid never belongs to one user permanently. */
static bool owns_nothing(const struct broker *b, uint32_t uid)
{
	return (uid >= DYNAMIC_UID_MIN && uid <= DYNAMIC_UID_MAX) ||
		(b->config.overflow_uid && uid == b->config.overflow_uid);
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
	if (!opened_reserve(b, client) || b->store->ops->open_queue(b->store, uid, name, &number))
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
	answer_send(b, client, queue_codec_end(&w, 0));
	return client->closing;
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

/* Return: NULL: the packet may come now; else why the client is disconnected. */
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

int packets_handle(struct broker *b, struct client *client, const void *packet, size_t size)
{
	struct queue_codec_packet p = {0};
	enum codec_fault fault = queue_codec_open(packet, size, CODEC_FROM_CLIENT, &p);
	const char *text;

	if (fault) {
		answer_error(b, client, PROTO_E_PACKET, 0, codec_fault_text(fault));
		return 1;
	}
	text = check_turn(client, &p.header);
	if (text) {
		answer_error(b, client, PROTO_E_SEQUENCE, p.header.serial, text);
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
		return reads_handle(b, client, packet, size, &p);
	case PROTO_QUEUE_STATUS:
		return reads_status(b, client, &p.header);
	default:
		return batches_handle(b, client, packet, size, &p);
	}
}
