/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "handle.h"

/* How many asynchronous cancels share a packet. */
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

/* Takes a call off the queue. previous: the one before it, or NULL. */
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
	if (call->abandoned)
		call_free(call);
}

void requests_queue(struct toytimer *t, struct call *call)
{
	call->after = t->timers.queued;
	append(&t->requests, call);
}

void requests_abandon(struct toytimer *t, struct call *call)
{
	struct requests *q = &t->requests;

	call->abandoned = true;
	if (call->opcode == PROTO_CANCEL && call->cancels[0].timer)
		return;
	for (struct call *at = q->first, *previous = NULL; at; previous = at, at = at->next)
		if (at == call) {
			take_off(q, call, previous);
			call_free(call);
			return;
		}
}

int requests_queue_cancel(struct toytimer *t, const struct timer *timer)
{
	struct call *call = t->requests.last;

	if (!call || call->opcode != PROTO_CANCEL || !call->abandoned || call->n == call->room) {
		call = call_new(PROTO_CANCEL, CANCELS_SHARED);
		if (!call)
			return -ENOMEM;
		call->n = 0;
		call->abandoned = true;
		requests_queue(t, call);
	}
	call->cancels[call->n++] = (struct cancel_item){
		.timer = timers_name(&t->timers, timer),
		.id = timer->id,
	};
	return 0;
}

void requests_forget_rearms(struct toytimer *t, uint64_t timer)
{
	for (struct call *call = t->requests.first; call; call = call->next)
		if (call->opcode == PROTO_REARM && call->rearm.timer == timer &&
			!call->rearm.record.id)
			call->rearm.timer = 0;
}

static struct request *add_request(struct toytimer *t, uint16_t opcode)
{
	struct requests *q = &t->requests;
	struct request *request = &q->ring[(q->head + q->length++) % REQUESTS_MAX];

	if (q->length == 1)
		clock_offsets_reset(&t->offsets);
	*request = (struct request){
		.serial = ++t->connection.serial,
		.opcode = opcode,
		.first = TIMERS_NONE,
	};
	return request;
}

static void write_registration(struct toytimer *t, struct timer *timer, struct codec_writer *w)
{
	struct proto_register record = {
		.cookie = timers_name(&t->timers, timer),
		.due = timer->due,
		.slack = timer->slack,
		.every = timer->every,
		.count = timer->count,
		.clock = timer->clock,
		.flags = timer->flags,
	};

	record.flags |= clock_offsets_send(&t->offsets, timer->clock, timer->due, &record.due);
	if (timer->label)
		memcpy(record.label, timer->label, strnlen(timer->label, sizeof(record.label)));
	codec_put(w, &record, sizeof(record));
}

static void send_registrations(struct toytimer *t)
{
	struct request *request = add_request(t, PROTO_REGISTER);
	struct codec_writer w;
	struct timer *timer;

	request->first = t->timers.unsent;
	codec_begin(&w, t->connection.out, PROTO_REGISTER, request->serial);
	while ((timer = timers_at(&t->timers, t->timers.unsent)) && !codec_full(&w)) {
		write_registration(t, timer, &w);
		timers_sent(&t->timers);
	}
	request->count = w.header.count;
	t->connection.out_size = codec_end(&w, 0);
}

/* The registrations of a request that was sent: they still follow one another in the list. */
static void write_registrations(struct toytimer *t, const struct request *request)
{
	struct timer *timer = timers_at(&t->timers, request->first);
	struct codec_writer w;

	codec_begin(&w, t->connection.out, PROTO_REGISTER, request->serial);
	for (uint16_t i = 0; i < request->count; i++) {
		write_registration(t, timer, &w);
		timer = timers_at(&t->timers, timer->next);
	}
	t->connection.out_size = codec_end(&w, 0);
}

static void write_call(struct toytimer *t, struct request *request)
{
	struct call *call = request->call;
	const struct timer *timer;
	struct proto_rearm rearm;
	struct proto_list list = {0};
	struct codec_writer w;
	uint64_t cursor = 0;

	codec_begin(&w, t->connection.out, call->opcode, request->serial);
	switch (call->opcode) {
	case PROTO_CANCEL:
		for (size_t i = 0; i < call->n; i++)
			codec_put(&w, &(struct proto_cancel){.id = call->cancels[i].id},
				sizeof(struct proto_cancel));
		break;
	case PROTO_REARM:
		rearm = call->rearm.record;
		timer = timers_find(&t->timers, call->rearm.timer);
		if (timer)
			rearm.flags |= clock_offsets_send(
				&t->offsets, timer->clock, rearm.due, &rearm.due);
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
	t->connection.out_size = codec_end(&w, cursor);
}

static void send_call(struct toytimer *t, struct call *call)
{
	struct request *request = add_request(t, call->opcode);

	request->call = call;
	write_call(t, request);
}

/* Sends the first of those that have to be sent again. */
static void send_again(struct toytimer *t)
{
	struct requests *q = &t->requests;
	struct request *request = &q->ring[(q->head + q->length - q->again--) % REQUESTS_MAX];

	if (request->opcode == PROTO_REGISTER)
		write_registrations(t, request);
	else
		write_call(t, request);
}

int requests_resume(struct toytimer *t, uint64_t serial)
{
	struct requests *q = &t->requests;

	if (serial != t->connection.serial - q->length)
		return -EPROTO;
	q->again = q->length;
	clock_offsets_reset(&t->offsets);
	t->connection.out_size = 0; /* the last of them, if it is still there */
	return 0;
}

/*
 * The first call, if it may be sent now, or NULL: all registrations that were queued before it are sent,
 * and a re-arming knows the timer's id. What somebody waits for goes before registrations that came
 * later, however many there are.
 */
static struct call *next_call(struct toytimer *t)
{
	struct call *call = t->requests.first;
	const struct timer *timer;

	if (!call ||
		(t->timers.unsent_count && t->timers.queued - t->timers.unsent_count < call->after))
		return NULL;
	if (call->opcode == PROTO_REARM && !call->rearm.record.id) {
		timer = timers_find(&t->timers, call->rearm.timer);
		if (timer && timer->state == TIMER_SENT)
			return NULL;
	}
	return call;
}

bool requests_ready(struct toytimer *t)
{
	return t->connection.state == CONNECTION_UP && !t->connection.blocked &&
		(t->requests.again ||
			(t->requests.length < REQUESTS_MAX &&
				(t->timers.unsent_count || next_call(t))));
}

/* What would be said of a call in vain. Return: 0: it is to be sent; or a negative errno. */
static int check_call(struct toytimer *t, struct call *call)
{
	const struct timer *timer;

	if (!requests_supports(t, call->opcode))
		return -ENOSYS;
	if (call->opcode != PROTO_REARM || call->rearm.record.id)
		return 0;
	timer = timers_find(&t->timers, call->rearm.timer);
	if (!timer || timer->state != TIMER_HELD || timer->abandoned)
		return -ENOENT;
	call->rearm.record.id = timer->id;
	return 0;
}

static void send_next_call(struct toytimer *t, struct call *call)
{
	int r;

	take_off(&t->requests, call, NULL);
	r = check_call(t, call);
	if (r < 0)
		call_finish(call, r);
	else
		send_call(t, call);
}

bool requests_supports(const struct toytimer *t, uint16_t opcode)
{
	return (opcode != PROTO_LIST_MATCHING && opcode != PROTO_CANCEL_MATCHING) ||
		t->connection.capabilities & PROTO_CAN_MATCH;
}

void requests_send(struct toytimer *t)
{
	/* The hello is not answered while GREETING, but may have to wait for the socket. */
	while (t->connection.state != CONNECTION_DOWN && connection_send(&t->connection)) {
		struct call *call;

		if (!requests_ready(t))
			return;
		if (t->requests.again) {
			send_again(t);
			continue;
		}
		call = next_call(t);
		if (call)
			send_next_call(t, call);
		else
			send_registrations(t);
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
	/* What had arrived before it was sent again is answered as well. */
	if (q->again > q->length)
		q->again = q->length;
}

struct timer *requests_cancelled(struct toytimer *t, const struct cancel_item *item)
{
	struct timer *timer = item->timer ? timers_find(&t->timers, item->timer)
					  : timers_find_id(&t->timers, item->id);
	bool holds = timer && (timer->state == TIMER_HELD || timer->state == TIMER_ENDED) &&
		timer->id == item->id;

	return holds && !dispatch_is_last_of(t, timer) ? timer : NULL;
}

/* A timer that the daemon no longer knows is cancelled by that. An
 * id is gone with the daemon that gave it: to send it again might hit another timer. */
static void cancels_lost(struct toytimer *t, struct call *call)
{
	for (size_t i = 0; i < call->n; i++) {
		struct cancel_item *item = &call->cancels[i];
		struct timer *timer = requests_cancelled(t, item);

		item->error = timer ? 0 : -ENOENT;
		if (timer)
			timers_drop(&t->timers, timer);
	}
	call_finish(call, 0);
}

static void rearm_lost(struct toytimer *t, struct call *call)
{
	struct timer *timer = timers_find(&t->timers, call->rearm.timer);

	bool known = timer &&
		(call->rearm.record.id
				? timer->state == TIMER_HELD && timer->id == call->rearm.record.id
				: timer->state == TIMER_SENT || timer->state == TIMER_HELD);

	if (known)
		timers_rearm(timer, &call->rearm.record);
	call_finish(call, known ? 0 : -ENOENT);
}

static void call_lost(struct toytimer *t, struct call *call)
{
	switch (call->opcode) {
	case PROTO_CANCEL:
		cancels_lost(t, call);
		return;
	case PROTO_REARM:
		rearm_lost(t, call);
		return;
	case PROTO_LIST:
	case PROTO_LIST_MATCHING:
		/* What was handed out already was another daemon's. */
		if (call->page.cursor) {
			call_finish(call, -ECONNRESET);
			return;
		}
		break;
	case PROTO_CANCEL_MATCHING:
		call->page.cursor = 0; /* to cancel again what is gone does no harm */
		break;
	}
	if (call->abandoned)
		call_finish(call, 0);
	else
		append(&t->requests, call);
}

void requests_lost(struct toytimer *t)
{
	struct requests *q = &t->requests;
	struct requests was = *q;
	struct call *call, *next;

	clock_offsets_reset(&t->offsets);
	requests_init(q);
	for (uint32_t i = 0; i < was.length; i++) {
		call = was.ring[(was.head + i) % REQUESTS_MAX].call;
		if (call)
			call_lost(t, call);
	}
	for (call = was.first; call; call = next) {
		next = call->next;
		call_lost(t, call);
	}
	timers_requeue(&t->timers);
}
