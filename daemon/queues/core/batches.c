/* SPDX-License-Identifier: MIT */
/*
 * Packets that change something. A packet is checked and becomes changes of the store. It is
 * answered when the store has answered. Each record is accepted or refused separately.
 */
#include "batches.h"

#include <string.h>

#include "answers.h"
#include "changes.h"
#include "list.h"
#include "opened.h"
#include "outcomes.h"
#include "puts.h"
#include "requests.h"

static void refuse(struct request *request, uint32_t record, uint32_t status)
{
	request->answers[record].status = status;
}

/* Makes a change for one record. Return: NULL: the record was refused. */
static struct change *add_change(struct broker *b, struct request *request, uint32_t record,
	uint32_t queue, enum store_change_type type)
{
	const struct opened *opened = opened_of(request->client, queue);
	struct change *change = opened ? changes_add(b, type) : NULL;

	if (!change) {
		refuse(request, record, opened ? PROTO_E_DESCRIPTORS : PROTO_Q_QUEUE);
		return NULL;
	}
	change->request = request;
	change->record = record;
	change->c.timer.queue = opened->number;
	if (request_answers_stored(request))
		change->c.answer = &request->answers[record];
	request->waiting++;
	return change;
}

/* The limits for the owner of a queue; none for root. */
static void limit_put(struct broker *b, struct change *change, uint32_t owner)
{
	const struct client *client = change->request->client;
	struct broker_own own = {0};

	if (owner == 0)
		return;
	if (b->outlet->own)
		own = b->outlet->own(
			b->outlet->userdata, client->uid == owner ? client->number : 0, owner);
	change->c.limit_timers = own.max_timers ? own.max_timers
						: b->config.limits.max_timers_per_user;
	change->c.limit_bytes = own.max_bytes ? own.max_bytes : b->config.limits.max_bytes_per_user;
}

static void fill_put(struct broker *b, struct change *change, const struct queue_codec_packet *p,
	const struct proto_queue_put *put, uint64_t due)
{
	const struct opened *opened = opened_of(change->request->client, put->queue);
	struct store_timer *t = &change->c.timer;

	t->due = t->ready = due;
	t->slack = put->slack;
	t->every = put->every;
	t->max_late = put->max_late;
	t->number = 1;
	t->count = put->count;
	t->max_attempts = put->max_attempts;
	t->clock = put->clock;
	t->flags = put->flags & PROTO_WAKE_SYSTEM;
	t->key_size = put->key_size;
	t->payload_size = put->payload_size;
	memcpy(t->label, put->label, sizeof(t->label));
	t->key = queue_codec_bytes(p, put->data);
	t->payload = t->key + put->key_size;
	change->c.keep = put->flags & PROTO_QUEUE_KEEP;
	limit_put(b, change, opened->uid);
}

static uint32_t put_record(
	struct broker *b, struct request *request, uint32_t i, const struct queue_codec_packet *p)
{
	struct proto_queue_put put;
	struct change *change;
	uint32_t status;
	uint64_t due;

	queue_codec_get(p, i, &put);
	status = queue_codec_check_put(p, &put);
	if (status)
		return status;
	due = put.due;
	if (b->store->ops->fleet &&
		(put.clock == PROTO_CLOCK_MONOTONIC || put.flags & PROTO_WAKE_SYSTEM))
		return PROTO_Q_FLEET;
	if (put.flags & PROTO_RELATIVE &&
		__builtin_add_overflow(due, b->now.at[put.clock] + b->now.uncertainty, &due))
		return PROTO_E_RANGE;
	if (due > INT64_MAX)
		return PROTO_E_RANGE;
	if (put.flags & PROTO_WAKE_SYSTEM && !b->config.can_wake_system)
		return PROTO_E_WAKE_SYSTEM;
	change = add_change(b, request, i, put.queue, STORE_PUT);
	if (!change)
		return request->answers[i].status;
	fill_put(b, change, p, &put, due);
	return PROTO_OK;
}

/* Whether the id is too large for a timer. */
static bool is_no_id(uint64_t id)
{
	return id > INT64_MAX;
}

static uint32_t cancel_record(
	struct broker *b, struct request *request, uint32_t i, const struct queue_codec_packet *p)
{
	static const uint8_t zeroes[sizeof(((struct proto_queue_cancel *)NULL)->reserved)];
	struct proto_queue_cancel cancel;
	struct change *change;

	queue_codec_get(p, i, &cancel);
	request->answers[i].id = cancel.id;
	if (memcmp(cancel.reserved, zeroes, sizeof(zeroes)))
		return PROTO_E_FLAGS;
	if (cancel.key_size &&
		!queue_codec_key_valid(queue_codec_bytes(p, cancel.key), cancel.key_size))
		return PROTO_Q_KEY;
	if (opened_of(request->client, cancel.queue) && !cancel.key_size && is_no_id(cancel.id))
		return PROTO_E_NO_SUCH_TIMER;
	change = add_change(b, request, i, cancel.queue, STORE_CANCEL);
	if (!change)
		return request->answers[i].status;
	change->c.timer.id = cancel.key_size ? 0 : cancel.id;
	change->c.timer.key_size = cancel.key_size;
	change->c.timer.key = queue_codec_bytes(p, cancel.key);
	return PROTO_OK;
}

static uint32_t reschedule_record(
	struct broker *b, struct request *request, uint32_t i, const struct queue_codec_packet *p)
{
	struct proto_queue_reschedule r;
	struct change *change;
	uint32_t status;

	queue_codec_get(p, i, &r);
	status = queue_codec_check_reschedule(p, &r);
	if (status)
		return status;
	if (opened_of(request->client, r.queue) && !r.key_size && is_no_id(r.id))
		return PROTO_E_NO_SUCH_TIMER;
	change = add_change(b, request, i, r.queue, STORE_RESCHEDULE);
	if (!change)
		return request->answers[i].status;
	change->c.relative = r.flags & PROTO_RELATIVE;
	change->c.timer.id = r.key_size ? 0 : r.id;
	change->c.timer.key_size = r.key_size;
	change->c.timer.key = queue_codec_bytes(p, r.key);
	change->c.timer.due = r.due;
	change->c.timer.slack = r.slack;
	change->c.timer.every = r.every;
	change->c.timer.count = r.count;
	return PROTO_OK;
}

static uint32_t ack_record(
	struct broker *b, struct request *request, uint32_t i, const struct queue_codec_packet *p)
{
	struct proto_queue_ack ack;

	queue_codec_get(p, i, &ack);
	request->answers[i].id = ack.id;
	if (!opened_of(request->client, ack.queue))
		return PROTO_Q_QUEUE;
	return wake_ack(b, request->client, &ack, request, i);
}

static uint32_t retry_record(
	struct broker *b, struct request *request, uint32_t i, const struct queue_codec_packet *p)
{
	struct proto_queue_retry retry;

	queue_codec_get(p, i, &retry);
	request->answers[i].id = retry.id;
	if (!opened_of(request->client, retry.queue))
		return PROTO_Q_QUEUE;
	return wake_retry(b, request->client, &retry, request, i);
}

static uint32_t revive_record(
	struct broker *b, struct request *request, uint32_t i, const struct queue_codec_packet *p)
{
	struct proto_queue_revive revive;
	struct change *change;

	queue_codec_get(p, i, &revive);
	request->answers[i].id = revive.id;
	if (revive.reserved)
		return PROTO_E_FLAGS;
	if (opened_of(request->client, revive.queue) && is_no_id(revive.id))
		return PROTO_Q_PARKED;
	change = add_change(b, request, i, revive.queue, STORE_REVIVE);
	if (!change)
		return request->answers[i].status;
	change->c.timer.id = revive.id;
	return PROTO_OK;
}

typedef uint32_t handle_record(
	struct broker *b, struct request *request, uint32_t i, const struct queue_codec_packet *p);

static handle_record *handler_of(uint16_t opcode)
{
	switch (opcode) {
	case PROTO_QUEUE_PUT:
		return put_record;
	case PROTO_QUEUE_CANCEL:
		return cancel_record;
	case PROTO_QUEUE_RESCHEDULE:
		return reschedule_record;
	case PROTO_QUEUE_ACK:
		return ack_record;
	case PROTO_QUEUE_RETRY:
		return retry_record;
	default:
		return revive_record;
	}
}

/* Makes each record a change, or refuses it. If all records are refused, the answer goes out at
 * once. */
static void handle_records(
	struct broker *b, struct request *request, const struct queue_codec_packet *p)
{
	handle_record *handle = handler_of(request->opcode);

	request->waiting = 1; /* so that the request does not end before the last record */
	for (uint32_t i = 0; i < request->count; i++)
		refuse(request, i, handle(b, request, i, p));
	if (!--request->waiting)
		request_end(b, request);
}

int batches_handle(struct broker *b, struct client *client, const void *packet, size_t size,
	const struct queue_codec_packet *p)
{
	struct queue_codec_packet own;
	struct request *request;

	if (p->header.opcode == PROTO_QUEUE_PUT && !puts_take(b, client, &p->header))
		return client->closing;
	request = request_new(client, p, packet, size);
	if (!request) {
		answer_error(b, client, PROTO_E_DESCRIPTORS, p->header.serial,
			"timerqd is out of memory");
		return 1;
	}
	/* Changes borrow keys and payloads from the packet for as long as the request lives. */
	own = *p;
	own.records = request->packet + (p->records - (const uint8_t *)packet);
	own.area = request->packet + (p->area - (const uint8_t *)packet);
	if (p->header.opcode == PROTO_QUEUE_PUT && client->has_token && p->header.cursor) {
		request->is_put = true;
		link_insert(&b->puts, &request->put_link);
		request->put.serial = p->header.cursor;
		request->put.answers = request->answers;
		request->put.count = request->count;
		memcpy(request->put.token, client->token, sizeof(request->put.token));
	}
	handle_records(b, request, &own);
	return client->closing;
}
