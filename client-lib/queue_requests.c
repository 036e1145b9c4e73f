/* SPDX-License-Identifier: MIT */
/*
 * Packets that are not answered yet: `unsent`, in the order of sending, and `sent`, in the order of
 * serials. After a loss, the sent packets go to the front of `unsent`; puts keep their numbers.
 * Packets about wakes are dropped then: timerqd takes the wakes back and sends them again.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue_state.h"

#define SLOTS_LEAST 4

/* If a packet waits longer than this, its spans are shortened by the time that it waited. */
#define SOON_US 1000

static void list_init(struct queue_list *list)
{
	*list = (struct queue_list){0};
	list->end = &list->first;
}

static void list_append(struct queue_list *list, struct queue_request *r)
{
	r->next = NULL;
	*list->end = r;
	list->end = &r->next;
	list->length++;
}

static void list_remove(struct queue_list *list, struct queue_request **at)
{
	struct queue_request *r = *at;

	*at = r->next;
	if (!*at)
		list->end = at;
	list->length--;
}

/* Moves all packets of `front` to the front of `list`. */
static void list_prepend(struct queue_list *list, struct queue_list *front)
{
	if (!front->first)
		return;
	*front->end = list->first;
	if (!list->first)
		list->end = front->end;
	list->first = front->first;
	list->length += front->length;
	list_init(front);
}

void queue_lists_init(struct toytimer_queue *q)
{
	list_init(&q->unsent);
	list_init(&q->sent);
}

static void list_destroy(struct queue_list *list)
{
	for (struct queue_request *r = list->first, *next; r; r = next) {
		next = r->next;
		queue_request_free(r);
	}
	list_init(list);
}

void queue_lists_destroy(struct toytimer_queue *q)
{
	list_destroy(&q->unsent);
	list_destroy(&q->sent);
}

struct queue_request *queue_request_new(uint16_t opcode)
{
	struct queue_request *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->packet = malloc(QUEUE_CODEC_BUFFER);
	if (!r->packet) {
		free(r);
		return NULL;
	}
	r->opcode = opcode;
	r->counted = toytimer_now(TOYTIMER_BOOTTIME);
	queue_codec_begin(&r->writer, r->packet, opcode, 1);
	return r;
}

struct queue_request *queue_request_free(struct queue_request *r)
{
	if (!r)
		return NULL;
	for (uint32_t i = 0; i < r->count; i++)
		free(r->slots[i].completion);
	free(r->slots);
	free(r->opening);
	free(r->packet);
	free(r);
	return NULL;
}

struct queue_request *queue_request_one(uint16_t opcode, const void *record, const char *key)
{
	struct queue_request *r = queue_request_new(opcode);

	if (!r || !queue_request_slot(r))
		return queue_request_free(r);
	if (key)
		queue_codec_add_bytes(&r->writer, key, strlen(key));
	if (record)
		queue_codec_put(&r->writer, record);
	r->count = 1;
	return r;
}

struct queue_slot *queue_request_slot(struct queue_request *r)
{
	if (r->count == r->room) {
		uint32_t room = r->room ? 2 * r->room : SLOTS_LEAST;
		struct queue_slot *slots = reallocarray(r->slots, room, sizeof(*slots));

		if (!slots)
			return NULL;
		r->slots = slots;
		r->room = room;
	}
	r->slots[r->count] = (struct queue_slot){0};
	return &r->slots[r->count];
}

void queue_request_queue(struct toytimer_queue *q, struct queue_request *r)
{
	list_append(&q->unsent, r);
}

int queue_filling(
	struct toytimer_queue *q, uint16_t opcode, size_t bytes, struct queue_request **ret)
{
	struct queue_request **filling = opcode == PROTO_QUEUE_PUT ? &q->filling_put
								   : &q->filling_ack;

	/* Spans of one packet count from one moment: a packet that waits for a connection is not
	 * filled further. */
	if (*filling && queue_codec_fits(&(*filling)->writer, bytes) &&
		(opcode != PROTO_QUEUE_PUT ||
			toytimer_now(TOYTIMER_BOOTTIME) - (*filling)->counted < SOON_US)) {
		*ret = *filling;
		return 0;
	}
	if (opcode == PROTO_QUEUE_PUT && q->unsent.length >= QUEUE_UNSENT_MAX)
		return -EAGAIN;
	*ret = queue_request_new(opcode);
	/* Its first slot has memory now: a packet without a record would end the connection. */
	if (!*ret || !queue_request_slot(*ret)) {
		*ret = queue_request_free(*ret);
		return -ENOMEM;
	}
	*filling = *ret;
	queue_request_queue(q, *ret);
	return 0;
}

/* Whether a call, a handler or a remembered wake needs the answer. */
static bool is_wanted(const struct queue_request *r)
{
	for (uint32_t i = 0; i < r->count; i++)
		if (r->slots[i].batch || r->slots[i].completion || r->slots[i].wake.id)
			return true;
	return false;
}

static bool forget(struct queue_request *r, const struct queue_batch *batch)
{
	bool found = false;

	for (uint32_t i = 0; i < r->count; i++)
		if (r->slots[i].batch == batch) {
			r->slots[i].batch = NULL;
			found = true;
		}
	return found;
}

void queue_batch_detach(struct toytimer_queue *q, struct queue_batch *batch)
{
	struct queue_request **at = &q->unsent.first, *r;

	for (r = q->sent.first; r; r = r->next)
		forget(r, batch);
	while ((r = *at)) {
		/* A put that was sent before may be stored: it stays, for its number. A detaching
		 * stays too: the library has forgotten the consumer. */
		if (forget(r, batch) && !is_wanted(r) && !r->number &&
			r->opcode != PROTO_QUEUE_DETACH) {
			list_remove(&q->unsent, at);
			queue_request_free(r);
		} else {
			at = &r->next;
		}
	}
	batch->pending = 0;
	free(batch->reply);
	batch->reply = NULL;
}

static void detach_cancelled(struct toytimer *t, void *userdata)
{
	queue_batch_detach(queue_of(&t->session), userdata);
}

int queue_await(struct toytimer_queue *q, struct queue_batch *batch, uint64_t deadline)
{
	int r = 0;

	while (r == 0 && batch->pending)
		r = handle_await(&q->base, deadline, detach_cancelled, batch);
	if (r < 0 && r != -ECHILD && batch->pending)
		queue_batch_detach(q, batch);
	else if (r < 0 && r != -ECHILD)
		r = 0; /* the answer came nevertheless */
	return r;
}

struct queue_request *queue_sent_find(struct toytimer_queue *q, uint64_t serial, uint16_t opcode)
{
	for (struct queue_request *r = q->sent.first; r; r = r->next)
		if (r->serial == serial)
			return r->opcode == opcode ? r : NULL;
	return NULL;
}

struct queue_request *queue_sent_take(struct toytimer_queue *q, uint64_t serial, uint16_t opcode)
{
	struct queue_request **at = &q->sent.first, *r = queue_sent_find(q, serial, opcode);

	if (!r)
		return NULL;
	while (*at != r)
		at = &(*at)->next;
	list_remove(&q->sent, at);
	q->sent_puts -= r->opcode == PROTO_QUEUE_PUT;
	return r;
}

uint64_t queue_puts_answered(const struct toytimer_queue *q)
{
	const struct queue_list *lists[] = {&q->sent, &q->unsent};
	uint64_t answered = q->number;

	for (unsigned int i = 0; i < 2; i++)
		for (const struct queue_request *r = lists[i]->first; r; r = r->next)
			if (r->number && r->number - 1 < answered)
				answered = r->number - 1;
	return answered;
}

/* The next packet to send. When QUEUE_PUTS_MAX packets of puts are in flight, the next put waits,
 * and acknowledgements and retries overtake it. */
static struct queue_request **next_unsent(struct toytimer_queue *q)
{
	struct queue_request **at = &q->unsent.first;

	if (q->sent_puts < QUEUE_PUTS_MAX || !*at || (*at)->opcode != PROTO_QUEUE_PUT)
		return at;
	while (*at && (*at)->opcode != PROTO_QUEUE_ACK && (*at)->opcode != PROTO_QUEUE_RETRY)
		at = &(*at)->next;
	return at;
}

/* Keeps as much memory as the packet needs. It is copied: realloc() would shrink a mapping, and
 * each packet would cost three system calls. Once a mapping was freed, glibc takes the next buffers
 * from the heap (M_MMAP_THRESHOLD in mallopt(3)). */
static void shrink(struct queue_request *r)
{
	uint8_t *less = malloc(r->size);

	if (!less)
		return;
	memcpy(less, r->packet, r->size);
	free(r->packet);
	r->packet = less;
}

static void end(struct toytimer_queue *q, struct queue_request *r)
{
	if (r->ended)
		return;
	if (q->filling_put == r)
		q->filling_put = NULL;
	if (q->filling_ack == r)
		q->filling_ack = NULL;
	if (r->opcode == PROTO_QUEUE_PUT)
		r->cursor = r->number = ++q->number;
	r->size = queue_codec_end(&r->writer, r->cursor);
	r->ended = true;
	shrink(r);
}

/* Finds the offsets of the flags and the due in a record that may have a span. */
static bool find_span(const struct queue_request *r, size_t *ret_flags, size_t *ret_due)
{
	switch (r->opcode) {
	case PROTO_QUEUE_PUT:
		*ret_flags = offsetof(struct proto_queue_put, flags);
		*ret_due = offsetof(struct proto_queue_put, due);
		return true;
	case PROTO_QUEUE_RESCHEDULE:
		*ret_flags = offsetof(struct proto_queue_reschedule, flags);
		*ret_due = offsetof(struct proto_queue_reschedule, due);
		return true;
	default:
		return false;
	}
}

/* A span counts from the call, so the time that the packet waited is subtracted. One microsecond
 * less is subtracted: the clock is rounded, and no span may end early. */
static void shorten_spans(struct queue_request *r)
{
	uint64_t now = toytimer_now(TOYTIMER_BOOTTIME), waited = now - r->counted - 1;
	uint8_t *record = r->packet + sizeof(struct proto_header);
	size_t flags, due;

	if (!find_span(r, &flags, &due) || now - r->counted < SOON_US)
		return;
	r->counted = now - 1;
	for (uint32_t i = 0; i < r->count; i++, record += r->writer.header.record_size) {
		uint64_t span;

		if (!(record[flags] & PROTO_RELATIVE))
			continue;
		memcpy(&span, record + due, sizeof(span));
		span = le64toh(span);
		span = htole64(span > waited ? span - waited : 0);
		memcpy(record + due, &span, sizeof(span));
	}
}

static void send_one(struct toytimer_queue *q, struct queue_request **at)
{
	struct connection *c = &q->base.session.connection;
	struct queue_request *r = *at;
	uint64_t serial;

	end(q, r);
	list_remove(&q->unsent, at);
	r->serial = ++c->serial;
	serial = htole64(r->serial);
	memcpy(r->packet + offsetof(struct proto_header, serial), &serial, sizeof(serial));
	shorten_spans(r);
	memcpy(c->out, r->packet, r->size);
	c->out_size = r->size;
	list_append(&q->sent, r);
	q->sent_puts += r->opcode == PROTO_QUEUE_PUT;
}

bool queue_ready(struct session *s)
{
	return s->connection.state == CONNECTION_UP && !s->connection.blocked &&
		*next_unsent(queue_of(s));
}

void queue_send(struct session *s)
{
	while (s->connection.state != CONNECTION_DOWN && connection_send(&s->connection)) {
		if (!queue_ready(s))
			return;
		send_one(queue_of(s), next_unsent(queue_of(s)));
	}
}

bool queue_awaits(const struct session *s)
{
	return queue_of(s)->sent.first;
}

static int begin_open(struct toytimer_queue *q, uint32_t from, struct queue_request **ret)
{
	struct queue_request *r = queue_request_new(PROTO_QUEUE_OPEN);

	if (!r)
		return -ENOMEM;
	r->internal = true;
	for (uint32_t i = from; i < q->use_count; i++) {
		struct proto_queue_open open = {.uid = q->uses[i].uid};
		size_t size = strlen(q->uses[i].name);
		struct queue_slot *slot = queue_request_slot(r);

		if (!slot) {
			queue_request_free(r);
			return -ENOMEM;
		}
		if (!queue_codec_fits(&r->writer, size))
			break;
		open.name_size = (uint16_t)size;
		open.name = queue_codec_add_bytes(&r->writer, q->uses[i].name, size);
		queue_codec_put(&r->writer, &open);
		slot->index = i;
		r->count++;
	}
	*ret = r;
	return 0;
}

static int begin_consume(struct toytimer_queue *q, uint32_t i, struct queue_request **ret)
{
	const toytimer_queue_consumer *c = &q->uses[i].consumer;
	struct proto_queue_consume consume = {
		.queue = i + 1,
		.window = c->window,
		.max_attempts = c->max_attempts,
		.ack_within = c->ack_within,
	};
	struct queue_request *r = queue_request_one(PROTO_QUEUE_CONSUME, &consume, NULL);

	if (!r)
		return -ENOMEM;
	r->internal = true;
	r->slots[0].index = i;
	*ret = r;
	return 0;
}

int queue_begin(struct toytimer_queue *q)
{
	struct queue_list front;
	struct queue_request *r;
	int error = 0;

	list_init(&front);
	for (uint32_t i = 0; error == 0 && i < q->use_count;) {
		error = begin_open(q, i, &r);
		if (error == 0) {
			i += r->count;
			list_append(&front, r);
		}
	}
	for (uint32_t i = 0; error == 0 && i < q->use_count; i++) {
		if (!q->uses[i].attached)
			continue;
		error = begin_consume(q, i, &r);
		if (error == 0)
			list_append(&front, r);
	}
	if (error < 0)
		list_destroy(&front);
	list_prepend(&q->unsent, &front);
	return error;
}

/* Whether a request has no meaning on the next connection: timerqd has taken its wakes back, or its
 * cursor is of this connection. */
static bool ends_with_connection(const struct queue_request *r)
{
	switch (r->opcode) {
	case PROTO_QUEUE_ACK:
	case PROTO_QUEUE_RETRY:
	case PROTO_QUEUE_DETACH:
		return true;
	case PROTO_QUEUE_LIST:
		return r->cursor;
	default:
		return r->internal;
	}
}

static void fail_all(struct toytimer_queue *q, struct queue_request *r)
{
	for (uint32_t i = 0; i < r->count; i++) {
		struct queue_result result = {.error = -ECONNRESET};

		if (r->opcode == PROTO_QUEUE_DETACH)
			result.error = 0;
		if (r->slots[i].batch)
			r->slots[i].batch->reply_error = -ECONNRESET;
		queue_finish_slot(q, &r->slots[i], &result);
	}
	if (q->filling_ack == r)
		q->filling_ack = NULL;
	queue_request_free(r);
}

static void lose_list(struct toytimer_queue *q, struct queue_list *list)
{
	struct queue_request **at = &list->first;

	while (*at) {
		struct queue_request *r = *at;

		if (!ends_with_connection(r)) {
			at = &r->next;
			continue;
		}
		list_remove(list, at);
		fail_all(q, r);
	}
}

void queue_lost(struct session *s)
{
	struct toytimer_queue *q = queue_of(s);

	queue_drop_wakes(q);
	lose_list(q, &q->sent);
	lose_list(q, &q->unsent);
	list_prepend(&q->unsent, &q->sent);
	q->sent_puts = 0;
	progress_note(&s->progress);
}
