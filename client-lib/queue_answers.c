/* SPDX-License-Identifier: MIT */
/*
 * Applies the packets of timerqd to the handle. See answers.c, which does so for timerd.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue_state.h"

static void get_result(
	const struct queue_codec_packet *p, uint16_t opcode, uint32_t i, struct queue_result *ret)
{
	uint32_t status = p->header.status;
	struct proto_queue_stored stored;
	struct proto_queue_opened opened;
	struct proto_queue_done done;

	*ret = (struct queue_result){0};
	switch (opcode) {
	case PROTO_QUEUE_PUT:
	case PROTO_QUEUE_RESCHEDULE:
		queue_codec_get(p, i, &stored);
		ret->error = queue_errno(status ?: stored.status);
		if (ret->error)
			break;
		ret->id = stored.id;
		ret->due = stored.due;
		ret->flags = stored.flags;
		break;
	case PROTO_QUEUE_OPEN:
		queue_codec_get(p, i, &opened);
		ret->status = status ?: opened.status;
		ret->error = queue_errno(ret->status);
		ret->id = opened.queue;
		break;
	default:
		queue_codec_get(p, i, &done);
		ret->error = queue_errno(status ?: done.status);
		ret->id = done.id;
		break;
	}
}

/* Checks the answer to a request that opens queues or attaches a consumer again. If a queue gets
 * another number, or if a consumer is refused, the connection is of no use. Return: 0, or an errno
 * that ends the connection. */
static int check_begun(
	struct toytimer_queue *q, const struct queue_request *r, const struct queue_codec_packet *p)
{
	for (uint32_t i = 0; i < r->count; i++) {
		struct queue_result result;

		get_result(p, r->opcode, i, &result);
		if (r->opcode == PROTO_QUEUE_CONSUME && result.error == -EALREADY)
			continue;
		q->refused = result.error;
		if (result.error)
			return result.error;
		if (r->opcode == PROTO_QUEUE_OPEN && result.id != r->slots[i].index + 1)
			return -EPROTO;
	}
	return 0;
}

/* Copies the whole answer packet of a listing or a status. Return: 0 or -ENOMEM. */
static int take_reply(
	struct toytimer_queue *q, struct queue_request *r, const struct queue_codec_packet *p)
{
	struct queue_batch *batch = r->slots[0].batch;
	const struct queue_result none = {0};
	uint8_t *copy;

	if (batch) {
		copy = malloc(q->base.session.connection.in_size);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, q->base.session.connection.in, q->base.session.connection.in_size);
		batch->reply = copy;
		batch->reply_size = q->base.session.connection.in_size;
		batch->cursor = p->header.cursor;
		batch->reply_error = queue_errno(p->header.status);
		queue_finish_slot(q, &r->slots[0], &none);
	}
	queue_request_free(queue_sent_take(q, r->serial, r->opcode));
	return 0;
}

static bool has_reply(uint16_t opcode)
{
	return opcode == PROTO_QUEUE_LIST || opcode == PROTO_QUEUE_QUEUES ||
		opcode == PROTO_QUEUE_STATUS;
}

/* Adds the queue that was opened. Return: 0, -ENOMEM or -EPROTO. */
static int add_use(
	struct toytimer_queue *q, struct queue_request *r, const struct queue_result *result)
{
	struct queue_use *uses;

	if (result->error)
		return 0;
	if (result->id != q->use_count + 1)
		return -EPROTO;
	uses = reallocarray(q->uses, q->use_count + 1, sizeof(*uses));
	if (!uses)
		return -ENOMEM;
	q->uses = uses;
	uses[q->use_count++] = *r->opening;
	return 0;
}

/* Takes the answer to attaching. If the caller has stopped waiting, detaches the consumer. */
static int end_consuming(
	struct toytimer_queue *q, const struct queue_request *r, const struct queue_result *result)
{
	struct queue_use *use = &q->uses[r->consuming - 1];
	struct proto_queue_detach detach = {.queue = r->consuming};
	struct queue_request *next;

	if (result->error || use->consumed) {
		use->attached = use->consumed && !result->error;
		q->consumers += use->attached;
		return 0;
	}
	next = queue_request_one(PROTO_QUEUE_DETACH, &detach, NULL);
	if (!next)
		return -ENOMEM;
	queue_request_queue(q, next);
	return 0;
}

static int take_answer(struct toytimer_queue *q, const struct queue_codec_packet *p)
{
	uint16_t opcode = p->header.opcode & (uint16_t)~PROTO_ANSWER;
	struct queue_request *r = queue_sent_find(q, p->header.serial, opcode);
	struct queue_result result;
	int error = 0;

	if (!r)
		return -EPROTO;
	if (has_reply(opcode))
		return take_reply(q, r, p);
	if (p->header.count != r->count)
		return -EPROTO;
	if (r->internal && opcode != PROTO_QUEUE_ACK)
		error = check_begun(q, r, p);
	get_result(p, opcode, 0, &result);
	if (r->opening)
		error = add_use(q, r, &result);
	if (r->consuming)
		error = end_consuming(q, r, &result);
	if (error == -ENOMEM)
		return error;
	queue_sent_take(q, r->serial, opcode);
	for (uint32_t i = 0; i < r->count && error == 0; i++) {
		get_result(p, opcode, i, &result);
		if (r->slots[i].batch)
			r->slots[i].batch->cursor = p->header.cursor;
		queue_finish_slot(q, &r->slots[i], &result);
	}
	queue_request_free(r);
	return error;
}

static int take_wakes(struct toytimer_queue *q)
{
	const struct connection *c = &q->base.session.connection;
	struct queue_wakes *wakes = malloc(sizeof(*wakes) + c->in_size);

	if (!wakes)
		return -ENOMEM;
	*wakes = (struct queue_wakes){.number = ++q->wakes_packets};
	memcpy(wakes->bytes, c->in, c->in_size);
	queue_codec_open(wakes->bytes, c->in_size, CODEC_FROM_DAEMON, &wakes->packet);
	*q->wakes_end = wakes;
	q->wakes_end = &wakes->next;
	return 0;
}

/* timerqd has lost the lease of a queue of this consumer: the handle connects and attaches again.
 */
static int take_lost(const struct queue_codec_packet *p)
{
	struct proto_queue_lost lost;

	queue_codec_get(p, 0, &lost);
	return queue_errno(lost.status) ?: -ECONNRESET;
}

/* Another database, or one that lost commits in a failover, may give ids again. So the handle
 * forgets the wakes of the former history. */
static void note_history(struct toytimer_queue *q, const struct queue_codec_packet *p)
{
	struct proto_queue_hello_answer answer;

	queue_codec_get(p, 0, &answer);
	if (q->history && answer.history && answer.history != q->history)
		helds_destroy(&q->helds);
	q->history = answer.history ?: q->history;
}

static int take_hello(struct toytimer_queue *q, const struct queue_codec_packet *p)
{
	int r;

	if (q->base.session.connection.state != CONNECTION_GREETING)
		return -EPROTO;
	r = connection_greeted(&q->base.session.connection);
	if (r == 0)
		note_history(q, p);
	if (r == 0)
		r = queue_begin(q);
	if (r == -ENOMEM) /* the packet stays, and is applied again later */
		q->base.session.connection.state = CONNECTION_GREETING;
	return r;
}

int queue_take(struct session *s)
{
	struct toytimer_queue *q = queue_of(s);
	struct queue_codec_packet p;
	struct proto_error error;

	if (queue_codec_open(s->connection.in, s->connection.in_size, CODEC_FROM_DAEMON, &p))
		return -EPROTO;
	switch (p.header.opcode) {
	case PROTO_ERROR:
		queue_codec_get(&p, 0, &error);
		return queue_refusal(error.status) ?: -EPROTO;
	case PROTO_GOING_AWAY:
		return -ECONNRESET;
	case PROTO_QUEUE_HELLO | PROTO_ANSWER:
		return take_hello(q, &p);
	}
	if (s->connection.state != CONNECTION_UP)
		return -EPROTO;
	if (p.header.opcode & PROTO_ANSWER)
		return take_answer(q, &p);
	return p.header.opcode == PROTO_QUEUE_LOST ? take_lost(&p) : take_wakes(q);
}
