/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "dispatch.h"
#include "requests.h"

/* The room of a new asynchronous call. It grows up to a full packet. */
#define ITEMS_MIN 16

/* The library sends asynchronous calls when this many are queued. */
#define CALLS_MANY 64

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
static void unlink_call(struct requests *q, struct call *call, struct call *previous)
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

static size_t item_size(uint16_t opcode)
{
	return opcode == PROTO_CANCEL ? sizeof(struct cancel_item) : sizeof(struct rearm_item);
}

static size_t items_max(uint16_t opcode)
{
	return opcode == PROTO_CANCEL ? CANCELS_MAX : REARMS_MAX;
}

struct call *call_new(uint16_t opcode, size_t n)
{
	struct call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->opcode = opcode;
	call->n = call->room = n;
	if (n) {
		call->items = calloc(n, item_size(opcode));
		if (!call->items)
			return call_free(call);
	}
	return call;
}

struct call *call_free(struct call *call)
{
	if (!call)
		return NULL;
	switch (call->opcode) {
	case PROTO_CANCEL:
	case PROTO_REARM:
		free(call->items);
		break;
	case PROTO_LIST:
	case PROTO_LIST_MATCHING:
		free(call->page.records);
		break;
	}
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
			unlink_call(q, call, previous);
			call_free(call);
			return;
		}
}

/* Makes room for one more item. Return: 0 or -ENOMEM. */
static int add_room(struct call *call)
{
	size_t max = items_max(call->opcode), room = call->room < max / 2 ? call->room * 2 : max;
	void *items;

	if (call->n < call->room)
		return 0;
	items = reallocarray(call->items, room, item_size(call->opcode));
	if (!items)
		return -ENOMEM;
	call->items = items;
	call->room = room;
	return 0;
}

/* An asynchronous call with room for one more item: the last one in the queue, or a new one.
 * Return: NULL if out of memory. */
static struct call *shared_call(struct session *s, uint16_t opcode)
{
	struct call *call = s->requests.last;

	if (call && call->opcode == opcode && call->asynchronous && call->n < items_max(opcode))
		return add_room(call) == 0 ? call : NULL;
	call = call_new(opcode, ITEMS_MIN);
	if (!call)
		return NULL;
	call->n = 0;
	call->detached = true;
	call->asynchronous = true;
	requests_queue(s, call);
	return call;
}

int requests_queue_cancel(struct session *s, const struct timer *timer)
{
	struct call *call = shared_call(s, PROTO_CANCEL);

	if (!call)
		return -ENOMEM;
	call->cancels[call->n++] = (struct cancel_item){
		.timer = registry_name(&s->timers, timer),
		.id = timer->id,
	};
	return 0;
}

struct rearm_item requests_rearm_item(
	const struct session *s, const struct timer *timer, const struct proto_rearm *record)
{
	struct rearm_item item = {
		.timer = registry_name(&s->timers, timer),
		.record = *record,
	};

	item.record.id = timer->state == TIMER_HELD ? timer->id : 0;
	return item;
}

int requests_queue_rearm(
	struct session *s, const struct timer *timer, const struct proto_rearm *record)
{
	struct call *call = shared_call(s, PROTO_REARM);

	if (!call)
		return -ENOMEM;
	call->rearms[call->n++] = requests_rearm_item(s, timer, record);
	return 0;
}

bool requests_many(const struct requests *q)
{
	const struct call *last = q->last;

	return last &&
		(last->n == items_max(last->opcode) ||
			(last->n == 1 && q->calls % CALLS_MANY == 0));
}

void requests_forget_rearms(struct session *s, uint64_t timer)
{
	for (struct call *call = s->requests.first; call; call = call->next)
		for (size_t i = call->resolved; call->opcode == PROTO_REARM && i < call->n; i++)
			if (call->rearms[i].timer == timer && !call->rearms[i].record.id)
				call->rearms[i].timer = 0;
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

static void write_rearm(struct session *s, const struct rearm_item *item, struct codec_writer *w)
{
	const struct timer *timer = registry_find(&s->timers, item->timer);
	struct proto_rearm record = item->record;

	if (timer)
		record.flags |= clock_offsets_send(
			&s->offsets, timer->clock, record.due, &record.due);
	codec_put(w, &record, sizeof(record));
}

static void write_call(struct session *s, struct request *request)
{
	struct call *call = request->call;
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
		for (size_t i = 0; i < call->n; i++)
			write_rearm(s, &call->rearms[i], &w);
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

/* Fills in the ids of re-armings. Return: whether none must wait for the answer to its timer's
 * registration. */
static bool resolve_rearms(struct session *s, struct call *call)
{
	for (; call->resolved < call->n; call->resolved++) {
		struct rearm_item *item = &call->rearms[call->resolved];
		const struct timer *timer;

		if (item->record.id)
			continue;
		timer = registry_find(&s->timers, item->timer);
		if (timer && timer->state == TIMER_SENT)
			return false;
		if (timer && timer->state == TIMER_HELD && !timer->released)
			item->record.id = timer->id;
		else
			item->timer = 0;
	}
	return true;
}

/*
 * The first call if it may be sent now, otherwise NULL. All registrations that were queued before
 * the call must be sent, and a re-arming needs the timer's id. The call goes before all
 * registrations that were queued after it, so a waiting thread is not delayed by them.
 */
static struct call *next_call(struct session *s)
{
	struct call *call = s->requests.first;

	if (!call ||
		(s->timers.unsent_count && s->timers.queued - s->timers.unsent_count < call->after))
		return NULL;
	return call->opcode != PROTO_REARM || resolve_rearms(s, call) ? call : NULL;
}

bool requests_ready(struct session *s)
{
	return s->connection.state == CONNECTION_UP && !s->connection.blocked &&
		(s->requests.again ||
			(s->requests.length < REQUESTS_MAX &&
				(s->timers.unsent_count || next_call(s))));
}

/* Removes the re-armings whose timers have ended. */
static void drop_ended(struct call *call)
{
	size_t n = 0;

	for (size_t i = 0; i < call->n; i++)
		if (call->rearms[i].timer)
			call->rearms[n++] = call->rearms[i];
	call->n = call->resolved = n;
}

/* Checks a call before it is sent. Return: 0: send it; a negative errno: the result of the call. */
static int check_call(struct session *s, struct call *call)
{
	if (!requests_supports(s, call->opcode))
		return -ENOSYS;
	if (call->opcode != PROTO_REARM)
		return 0;
	drop_ended(call);
	return call->n ? 0 : -ENOENT;
}

static void send_next_call(struct session *s, struct call *call)
{
	int r;

	unlink_call(&s->requests, call, NULL);
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

/* The library registers the timers again, with the new values. */
static void rearms_lost(struct session *s, struct call *call)
{
	bool known = false;

	for (size_t i = 0; i < call->n; i++) {
		const struct rearm_item *item = &call->rearms[i];
		struct timer *timer = registry_find(&s->timers, item->timer);

		known = timer &&
			(item->record.id
					? timer->state == TIMER_HELD && timer->id == item->record.id
					: timer->state == TIMER_SENT || timer->state == TIMER_HELD);
		if (known)
			registry_rearm(timer, &item->record);
	}
	call_finish(call, known ? 0 : -ENOENT);
}

static void call_lost(struct session *s, struct call *call)
{
	switch (call->opcode) {
	case PROTO_CANCEL:
		cancels_lost(s, call);
		return;
	case PROTO_REARM:
		rearms_lost(s, call);
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
