/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "dispatch.h"
#include "requests.h"

/* How many asynchronous cancellations share a packet. */
#define CANCELS_SHARED 64

static void append(struct requests *q, struct call *call)
{
	call->next = NULL;
	if (q->last)
		q->last->next = call;
	else
		q->first = call;
	q->last = call;
	q->calls++;
}

/* Takes a call off the queue. previous: its predecessor in the queue, or NULL. */
static void take_off(struct requests *q, struct call *call, struct call *previous)
{
	if (previous)
		previous->next = call->next;
	else
		q->first = call->next;
	if (q->last == call)
		q->last = previous;
	q->calls--;
}

void requests_init(struct requests *q)
{
	*q = (struct requests){0};
}

void requests_destroy(struct requests *q)
{
	struct call *call;

	for (uint32_t i = 0; i < q->length; i++)
		call_free(q->ring[(q->head + i) % REQUESTS_MAX].call);
	while ((call = q->first)) {
		q->first = call->next;
		call_free(call);
	}
	requests_init(q);
}

struct call *call_new(uint16_t opcode, size_t n)
{
	struct call *call = calloc(1, sizeof(*call) + n * sizeof(call->cancels[0]));

	if (call) {
		call->opcode = opcode;
		call->n = call->room = n;
	}
	return call;
}

struct call *call_free(struct call *call)
{
	if (call && (call->opcode == PROTO_LIST || call->opcode == PROTO_LIST_MATCHING))
		free(call->page.records);
	free(call);
	return NULL;
}

void call_finish(struct call *call, int result)
{
	call->done = true;
	call->result = result;
	if (call->detached)
		call_free(call);
}

void requests_queue(struct session *s, struct call *call)
{
	call->after = s->timers.queued;
	append(&s->requests, call);
}

void requests_detach(struct session *s, struct call *call)
{
	struct requests *q = &s->requests;

	call->detached = true;
	if (call->opcode == PROTO_CANCEL && call->cancels[0].timer)
		return;
	for (struct call *at = q->first, *previous = NULL; at; previous = at, at = at->next)
		if (at == call) {
			take_off(q, call, previous);
			call_free(call);
			return;
		}
}

int requests_queue_cancel(struct session *s, const struct timer *timer)
{
	struct call *call = s->requests.last;

	if (!call || call->opcode != PROTO_CANCEL || !call->detached || call->n == call->room) {
		call = call_new(PROTO_CANCEL, CANCELS_SHARED);
		if (!call)
			return -ENOMEM;
		call->n = 0;
		call->detached = true;
		requests_queue(s, call);
	}
	call->cancels[call->n++] = (struct cancel_item){
		.timer = registry_name(&s->timers, timer),
		.id = timer->id,
	};
	return 0;
}

void requests_forget_rearms(struct session *s, uint64_t timer)
{
	for (struct call *call = s->requests.first; call; call = call->next)
		if (call->opcode == PROTO_REARM && call->rearm.timer == timer &&
			!call->rearm.record.id)
			call->rearm.timer = 0;
}

static struct request *add_request(struct session *s, uint16_t opcode)
{
	struct requests *q = &s->requests;
	struct request *request = &q->ring[(q->head + q->length++) % REQUESTS_MAX];

	if (q->length == 1)
		clock_offsets_reset(&s->offsets);
	*request = (struct request){
		.serial = ++s->connection.serial,
		.opcode = opcode,
		.first = TIMERS_NONE,
	};
	return request;
}

static void write_registration(struct session *s, struct timer *timer, struct codec_writer *w)
{
	struct proto_register record = {
		.cookie = registry_name(&s->timers, timer),
		.due = timer->due,
		.slack = timer->slack,
		.every = timer->every,
		.count = timer->count,
		.clock = timer->clock,
		.flags = timer->flags,
	};

	record.flags |= clock_offsets_send(&s->offsets, timer->clock, timer->due, &record.due);
	if (timer->label)
		memcpy(record.label, timer->label, strnlen(timer->label, sizeof(record.label)));
	codec_put(w, &record, sizeof(record));
}

static void send_registrations(struct session *s)
{
	struct request *request = add_request(s, PROTO_REGISTER);
	struct codec_writer w;
	struct timer *timer;

	request->first = s->timers.unsent;
	codec_begin(&w, s->connection.out, PROTO_REGISTER, request->serial);
	while ((timer = registry_at(&s->timers, s->timers.unsent)) && !codec_full(&w)) {
		write_registration(s, timer, &w);
		registry_sent(&s->timers);
	}
	request->count = w.header.count;
	s->connection.out_size = codec_end(&w, 0);
}

/* Writes a registration packet again. The timers of a sent request are still in sequence in the
 * list. */
static void write_registrations(struct session *s, const struct request *request)
{
	struct timer *timer = registry_at(&s->timers, request->first);
	struct codec_writer w;

	codec_begin(&w, s->connection.out, PROTO_REGISTER, request->serial);
	for (uint16_t i = 0; i < request->count; i++) {
		write_registration(s, timer, &w);
		timer = registry_at(&s->timers, timer->next);
	}
	s->connection.out_size = codec_end(&w, 0);
}

static void write_call(struct session *s, struct request *request)
{
	struct call *call = request->call;
	const struct timer *timer;
	struct proto_rearm rearm;
	struct proto_list list = {0};
	struct codec_writer w;
	uint64_t cursor = 0;

	codec_begin(&w, s->connection.out, call->opcode, request->serial);
	switch (call->opcode) {
	case PROTO_CANCEL:
		for (size_t i = 0; i < call->n; i++)
			codec_put(&w, &(struct proto_cancel){.id = call->cancels[i].id},
				sizeof(struct proto_cancel));
		break;
	case PROTO_REARM:
		rearm = call->rearm.record;
		timer = registry_find(&s->timers, call->rearm.timer);
		if (timer)
			rearm.flags |= clock_offsets_send(
				&s->offsets, timer->clock, rearm.due, &rearm.due);
		codec_put(&w, &rearm, sizeof(rearm));
		break;
	case PROTO_LIST:
		if (call->page.match.flags & PROTO_MATCH_EVERYBODY)
			list.flags = PROTO_LIST_ALL;
		cursor = call->page.cursor;
		codec_put(&w, &list, sizeof(list));
		break;
	case PROTO_LIST_MATCHING:
	case PROTO_CANCEL_MATCHING:
		cursor = call->page.cursor;
		codec_put(&w, &call->page.match, sizeof(call->page.match));
		break;
	}
	request->count = w.header.count;
	s->connection.out_size = codec_end(&w, cursor);
}

static void send_call(struct session *s, struct call *call)
{
	struct request *request = add_request(s, call->opcode);

	request->call = call;
	write_call(s, request);
}

/* Repeats the oldest request that must be repeated. */
static void repeat_request(struct session *s)
{
	struct requests *q = &s->requests;
	struct request *request = &q->ring[(q->head + q->length - q->again--) % REQUESTS_MAX];

	if (request->opcode == PROTO_REGISTER)
		write_registrations(s, request);
	else
		write_call(s, request);
}

int requests_resume(struct session *s, uint64_t serial)
{
	struct requests *q = &s->requests;

	if (serial != s->connection.serial - q->length)
		return -EPROTO;
	q->again = q->length;
	clock_offsets_reset(&s->offsets);
	s->connection.out_size = 0; /* an unsent packet is repeated too */
	return 0;
}

/*
 * The first call if it may be sent now, otherwise NULL. All registrations that were queued before
 * the call must be sent, and a re-arming needs the timer's id. The call goes before all
 * registrations that were queued after it, so a waiting thread is not delayed by them.
 */
static struct call *next_call(struct session *s)
{
	struct call *call = s->requests.first;
	const struct timer *timer;

	if (!call ||
		(s->timers.unsent_count && s->timers.queued - s->timers.unsent_count < call->after))
		return NULL;
	if (call->opcode == PROTO_REARM && !call->rearm.record.id) {
		timer = registry_find(&s->timers, call->rearm.timer);
		if (timer && timer->state == TIMER_SENT)
			return NULL;
	}
	return call;
}

bool requests_ready(struct session *s)
{
	return s->connection.state == CONNECTION_UP && !s->connection.blocked &&
		(s->requests.again ||
			(s->requests.length < REQUESTS_MAX &&
				(s->timers.unsent_count || next_call(s))));
}

/* Checks a call before it is sent, and fills in the id of a re-arming. Return: 0: send it; a
 * negative
 * errno: the result of the call. */
static int check_call(struct session *s, struct call *call)
{
	const struct timer *timer;

	if (!requests_supports(s, call->opcode))
		return -ENOSYS;
	if (call->opcode != PROTO_REARM || call->rearm.record.id)
		return 0;
	timer = registry_find(&s->timers, call->rearm.timer);
	if (!timer || timer->state != TIMER_HELD || timer->released)
		return -ENOENT;
	call->rearm.record.id = timer->id;
	return 0;
}

static void send_next_call(struct session *s, struct call *call)
{
	int r;

	take_off(&s->requests, call, NULL);
	r = check_call(s, call);
	if (r < 0)
		call_finish(call, r);
	else
		send_call(s, call);
}

bool requests_supports(const struct session *s, uint16_t opcode)
{
	return (opcode != PROTO_LIST_MATCHING && opcode != PROTO_CANCEL_MATCHING) ||
		s->connection.capabilities & PROTO_CAN_MATCH;
}

void requests_send(struct session *s)
{
	/* While GREETING the hello may still wait for the socket. */
	while (s->connection.state != CONNECTION_DOWN && connection_send(&s->connection)) {
		struct call *call;

		if (!requests_ready(s))
			return;
		if (s->requests.again) {
			repeat_request(s);
			continue;
		}
		call = next_call(s);
		if (call)
			send_next_call(s, call);
		else
			send_registrations(s);
	}
}

struct request *requests_find(struct requests *q, uint64_t serial, uint16_t opcode)
{
	struct request *oldest = &q->ring[q->head % REQUESTS_MAX];

	if (!q->length || oldest->serial != serial || oldest->opcode != opcode)
		return NULL;
	return oldest;
}

void requests_done(struct requests *q)
{
	q->head++;
	q->length--;
	/* The answer may be for a request that was to be repeated: do not repeat it. */
	if (q->again > q->length)
		q->again = q->length;
}

struct timer *requests_cancelled(struct session *s, const struct cancel_item *item)
{
	struct timer *timer = item->timer ? registry_find(&s->timers, item->timer)
					  : registry_find_id(&s->timers, item->id);
	bool holds = timer && (timer->state == TIMER_HELD || timer->state == TIMER_ENDED) &&
		timer->id == item->id;

	return holds && !dispatch_is_last_of(s, timer) ? timer : NULL;
}

/* The connection ended before a cancel request was answered. Timers of this handle count as
 * cancelled, because the daemon no longer holds them. The request is not repeated: at a new daemon
 * the same id can belong to another timer. */
static void cancels_lost(struct session *s, struct call *call)
{
	for (size_t i = 0; i < call->n; i++) {
		struct cancel_item *item = &call->cancels[i];
		struct timer *timer = requests_cancelled(s, item);

		item->error = timer ? 0 : -ENOENT;
		if (timer)
			registry_drop(&s->timers, timer);
	}
	call_finish(call, 0);
}

static void rearm_lost(struct session *s, struct call *call)
{
	struct timer *timer = registry_find(&s->timers, call->rearm.timer);

	bool known = timer &&
		(call->rearm.record.id
				? timer->state == TIMER_HELD && timer->id == call->rearm.record.id
				: timer->state == TIMER_SENT || timer->state == TIMER_HELD);

	if (known)
		registry_rearm(timer, &call->rearm.record);
	call_finish(call, known ? 0 : -ENOENT);
}

static void call_lost(struct session *s, struct call *call)
{
	switch (call->opcode) {
	case PROTO_CANCEL:
		cancels_lost(s, call);
		return;
	case PROTO_REARM:
		rearm_lost(s, call);
		return;
	case PROTO_LIST:
	case PROTO_LIST_MATCHING:
		/* The handler has seen timers of the former daemon: a new one cannot continue. */
		if (call->page.cursor) {
			call_finish(call, -ECONNRESET);
			return;
		}
		break;
	case PROTO_CANCEL_MATCHING:
		call->page.cursor = 0; /* start over; cancelling twice does no harm */
		break;
	}
	if (call->detached)
		call_finish(call, 0);
	else
		append(&s->requests, call);
}

void requests_lost(struct session *s)
{
	struct requests *q = &s->requests;
	struct requests old = *q;
	struct call *call, *next;

	clock_offsets_reset(&s->offsets);
	requests_init(q);
	for (uint32_t i = 0; i < old.length; i++) {
		call = old.ring[(old.head + i) % REQUESTS_MAX].call;
		if (call)
			call_lost(s, call);
	}
	for (call = old.first; call; call = next) {
		next = call->next;
		call_lost(s, call);
	}
	registry_requeue(&s->timers);
}
