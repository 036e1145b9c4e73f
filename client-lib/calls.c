/* SPDX-License-Identifier: MIT */
/*
 * Cancel, re-arm and status: requests about single timers, or about the daemon. match.c has the
 * requests of several pages.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "codec.h"
#include "dispatch.h"
#include "handle.h"
#include "instant.h"
#include "public.h"
#include "register.h"
#include "requests.h"
#include "text.h"

/* The library sends asynchronous calls when this many are queued. */
#define QUEUED_MAX 64

static void abandon_call(struct toytimer *t, void *userdata)
{
	requests_abandon(&t->session, userdata);
}

static void free_call(struct toytimer *t, void *userdata)
{
	(void)t;
	call_free(userdata);
}

int call_ask(struct toytimer *t, struct call *call, uint64_t deadline)
{
	int r = 0;

	requests_queue(&t->session, call);
	while (!call->done) {
		r = handle_await(t, deadline, abandon_call, call);
		if (r < 0 && !call->done) {
			requests_abandon(&t->session, call);
			return r;
		}
	}
	return 0;
}

/* Finds a timer whose name the program knows. Another thread's blocking registration has not
 * returned the name yet while the timer has a batch. */
static struct timer *find(struct toytimer *t, uint64_t name)
{
	struct timer *timer = registry_find(&t->session.timers, name);
	bool answered = timer && (timer->state == TIMER_HELD || timer->state == TIMER_ENDED);

	return timer && !timer->abandoned && (answered || !timer->batch) ? timer : NULL;
}

static void set_error(int *errors, size_t i, int error)
{
	if (errors)
		errors[i] = error;
}

/*
 * Waits until the daemon has answered the registrations of these timers: to cancel or re-arm a
 * timer, the request needs the timer's id.
 *   call: freed if the thread is cancelled; may be NULL
 */
static int await_ids(
	struct toytimer *t, const uint64_t *timers, size_t n, uint64_t deadline, struct call *call)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		struct timer *timer;

		while (r == 0 && (timer = find(t, timers[i])) && timer->state == TIMER_SENT)
			r = handle_await(t, deadline, free_call, call);
	}
	return r;
}

/*
 * Cancels the timers that the daemon does not hold, and puts the others into the call.
 *   reason: the error for timers whose registration is not answered; 0: they count as cancelled
 * Return: how many were cancelled.
 */
static int cancel_local(struct toytimer *t, const uint64_t *timers, size_t n, int *errors,
	int reason, struct call *call)
{
	int cancelled = 0;

	call->n = 0;
	for (size_t i = 0; i < n; i++) {
		struct timer *timer = find(t, timers[i]);
		int error = 0;

		if (!timer) {
			error = -ENOENT;
		} else if (timer->state == TIMER_HELD) {
			error = -ENOENT; /* until the daemon answers */
			call->cancels[call->n++] = (struct cancel_item){
				.timer = timers[i],
				.id = timer->id,
				.index = i,
			};
		} else if (timer->state == TIMER_SENT) {
			error = reason;
			registry_abandon(&t->session.timers, timer);
		} else {
			/* The registration is not sent, or the last event is queued here. */
			registry_drop(&t->session.timers, timer);
		}
		set_error(errors, i, error);
		cancelled += error == 0;
	}
	return cancelled;
}

/* The daemon did not answer the cancel request in time. The timers have no more events, and the
 * daemon cancels them when it reads the request. Return: how many count as cancelled, because they
 * have ended meanwhile. */
static int cancel_unanswered(
	struct toytimer *t, const uint64_t *timers, size_t n, int *errors, int reason)
{
	int cancelled = 0;

	for (size_t i = 0; i < n; i++) {
		struct timer *timer = find(t, timers[i]);

		if (!timer)
			continue;
		if (timer->state == TIMER_ENDED) {
			registry_drop(&t->session.timers, timer);
			set_error(errors, i, 0);
			cancelled++;
			continue;
		}
		set_error(errors, i, reason);
		registry_abandon(&t->session.timers, timer);
	}
	return cancelled;
}

/* Cancels up to CANCELS_MAX timers, with one packet. Return: how many were cancelled. */
static int cancel_packet(
	struct toytimer *t, const uint64_t *timers, size_t n, int *errors, uint64_t deadline)
{
	struct call *call = call_new(PROTO_CANCEL, n);
	int r, cancelled;

	for (size_t i = 0; !call && i < n; i++)
		set_error(errors, i, -ENOMEM);
	if (!call)
		return 0;
	r = await_ids(t, timers, n, deadline, call);
	cancelled = cancel_local(t, timers, n, errors, r, call);
	if (call->n) {
		r = call_ask(t, call, deadline);
		if (r < 0)
			return cancelled + cancel_unanswered(t, timers, n, errors, r);
		for (size_t i = 0; i < call->n; i++) {
			set_error(errors, call->cancels[i].index, call->cancels[i].error);
			cancelled += call->cancels[i].error == 0;
		}
	}
	call_free(call);
	return cancelled;
}

_public_ int toytimer_cancel_many(toytimer *t, const uint64_t *timers, size_t n, int *ret_errors)
{
	uint64_t deadline;
	int r, cancelled = 0;

	if (n && !timers)
		return text_invalid("timers: NULL");
	if (n > INT_MAX)
		return text_invalid("n: more than INT_MAX");
	r = handle_enter(t);
	if (r < 0)
		return r;
	deadline = handle_deadline(t);
	for (size_t i = 0, length; i < n; i += length) {
		length = n - i < CANCELS_MAX ? n - i : CANCELS_MAX;
		cancelled += cancel_packet(
			t, timers + i, length, ret_errors ? ret_errors + i : NULL, deadline);
	}
	handle_leave(t);
	return cancelled;
}

_public_ int toytimer_cancel(toytimer *t, uint64_t timer)
{
	int error, r = toytimer_cancel_many(t, &timer, 1, &error);

	return r < 0 ? r : error;
}

_public_ int toytimer_cancel_wait(toytimer *t, uint64_t timer)
{
	uint64_t deadline;
	int error, r = handle_enter(t);

	if (r < 0)
		return r;
	deadline = handle_deadline(t);
	/* The awaited handler may re-arm its timer: then cancel again. */
	do {
		cancel_packet(t, &timer, 1, &error, deadline);
		r = handle_await_handler(t, timer, deadline);
	} while (r == 0 && error == -ENOENT && find(t, timer));
	handle_leave(t);
	return r ?: error;
}

static int cancel_id(struct toytimer *t, uint64_t id)
{
	const struct timer *timer = registry_find_id(&t->session.timers, id);
	uint64_t deadline = handle_deadline(t);
	struct call *call;
	int r;

	/* The daemon sends no event to the session that cancels: cancel a timer of this handle by
	 * name, which updates the registry. */
	if (timer) {
		uint64_t name = registry_name(&t->session.timers, timer);

		cancel_packet(t, &name, 1, &r, deadline);
		return r;
	}
	call = call_new(PROTO_CANCEL, 1);
	if (!call)
		return -ENOMEM;
	call->cancels[0].id = id;
	r = call_ask(t, call, deadline);
	if (r < 0)
		return r;
	r = call->cancels[0].error;
	call_free(call);
	return r;
}

_public_ int toytimer_cancel_id(toytimer *t, uint64_t id)
{
	int r = handle_enter(t);

	if (r < 0)
		return r;
	r = cancel_id(t, id);
	handle_leave(t);
	return r;
}

/* Sends asynchronous calls when many are queued. Also receives: the daemon stops reading when its
 * answers are not read. */
static void send_when_many(struct toytimer *t)
{
	if (t->session.requests.calls && t->session.requests.calls % QUEUED_MAX == 0)
		(void)handle_pump(t, false);
}

static int cancel_async(struct toytimer *t, uint64_t name)
{
	struct timer *timer = find(t, name);
	int r;

	if (!timer)
		return -ENOENT;
	if (timer->state == TIMER_QUEUED || timer->state == TIMER_ENDED) {
		registry_drop(&t->session.timers, timer);
		return 0;
	}
	if (timer->state == TIMER_HELD) {
		r = requests_queue_cancel(&t->session, timer);
		if (r < 0)
			return r;
	}
	/* SENT: the timer has no id yet. take_registered() cancels it when the answer arrives. */
	registry_abandon(&t->session.timers, timer);
	send_when_many(t);
	return 0;
}

_public_ int toytimer_cancel_async(toytimer *t, uint64_t timer)
{
	int r = handle_enter(t);

	if (r < 0)
		return r;
	r = cancel_async(t, timer);
	handle_leave(t);
	return r;
}

static int rearm_record(
	const struct timer *timer, const toytimer_registration *r, struct proto_rearm *ret)
{
	struct instants now = {0};

	if (r->flags &
		~(unsigned int)(TOYTIMER_RELATIVE | TOYTIMER_WAKE_SYSTEM | TOYTIMER_TELL_CLOCK_SET))
		return text_invalid("registration.flags: an unknown flag");
	if (!r->every && r->count > 1)
		return text_invalid(TEXT_COUNT);
	if (r->reserved[0] || r->reserved[1])
		return text_invalid(TEXT_RESERVED);
	*ret = (struct proto_rearm){.slack = r->slack, .every = r->every, .count = r->count};
	return instant_of(&now, (enum toytimer_clock)timer->clock, r->flags, r->due, &ret->due);
}

/* Finds a timer to re-arm. The timer of the last event is found too, while its handler runs. */
static struct timer *find_rearmable(struct toytimer *t, uint64_t name)
{
	struct timer *timer = registry_find(&t->session.timers, name);

	return timer && dispatch_is_last_of(&t->session, timer) ? timer : find(t, name);
}

/* A call that re-arms a timer. Without an id, requests_send() fills it in. Return: NULL if out of
 * memory. */
static struct call *new_rearm(
	const struct timer *timer, uint64_t name, const struct proto_rearm *record)
{
	struct call *call = call_new(PROTO_REARM, 0);

	if (!call)
		return NULL;
	call->rearm.timer = name;
	call->rearm.record = *record;
	call->rearm.record.id = timer->state == TIMER_HELD ? timer->id : 0;
	return call;
}

static int rearm(struct toytimer *t, uint64_t name, const toytimer_registration *r)
{
	struct timer *timer = find_rearmable(t, name);
	uint64_t deadline = handle_deadline(t);
	struct proto_rearm record;
	struct call *call;
	int error;

	if (!timer)
		return -ENOENT;
	error = rearm_record(timer, r, &record);
	if (error == 0 && timer->abandoned)
		return register_again(t, timer, &record);
	if (error == 0)
		error = await_ids(t, &name, 1, deadline, NULL);
	if (error < 0)
		return error;
	timer = find(t, name);
	if (!timer || timer->state == TIMER_ENDED)
		return -ENOENT;
	if (timer->state == TIMER_QUEUED) {
		registry_rearm(timer, &record);
		return 0;
	}
	call = new_rearm(timer, name, &record);
	if (!call)
		return -ENOMEM;
	error = call_ask(t, call, deadline);
	if (error < 0)
		return error;
	error = call->result;
	call_free(call);
	return error;
}

static int rearm_async(struct toytimer *t, uint64_t name, const toytimer_registration *r)
{
	struct timer *timer = find_rearmable(t, name);
	struct proto_rearm record;
	struct call *call;
	int error;

	if (!timer || (timer->state == TIMER_ENDED && !timer->abandoned))
		return -ENOENT;
	error = rearm_record(timer, r, &record);
	if (error < 0)
		return error;
	if (timer->abandoned) {
		register_again_async(t, timer, &record);
		return 0;
	}
	if (timer->state == TIMER_QUEUED) {
		registry_rearm(timer, &record);
		return 0;
	}
	call = new_rearm(timer, name, &record);
	if (!call)
		return -ENOMEM;
	call->abandoned = true;
	call->asynchronous = true;
	requests_queue(&t->session, call);
	send_when_many(t);
	return 0;
}

/* Calls `how` with the lock held. */
static int enter_and_rearm(struct toytimer *t, uint64_t name, const toytimer_registration *r,
	int (*how)(struct toytimer *t, uint64_t name, const toytimer_registration *r))
{
	int error;

	if (!r)
		return text_invalid("r: NULL");
	error = handle_enter(t);
	if (error < 0)
		return error;
	error = how(t, name, r);
	handle_leave(t);
	return error;
}

_public_ int toytimer_rearm(toytimer *t, uint64_t timer, const toytimer_registration *r)
{
	return enter_and_rearm(t, timer, r, rearm);
}

_public_ int toytimer_rearm_async(toytimer *t, uint64_t timer, const toytimer_registration *r)
{
	return enter_and_rearm(t, timer, r, rearm_async);
}

static int ask_status(struct toytimer *t, struct call **ret)
{
	struct call *call;
	int r = handle_enter(t);

	if (r < 0)
		return r;
	call = call_new(PROTO_STATUS, 0);
	r = call ? call_ask(t, call, handle_deadline(t)) : -ENOMEM;
	if (r == 0 && call->result < 0) {
		r = call->result;
		call_free(call);
	}
	handle_leave(t);
	if (r == 0)
		*ret = call;
	return r;
}

_public_ int toytimer_get_status(toytimer *t, toytimer_status *ret)
{
	const struct proto_status_answer *answer;
	struct call *call = NULL;
	int r;

	if (!ret)
		return text_invalid("ret: NULL");
	r = ask_status(t, &call);
	if (r < 0)
		return r;
	answer = &call->status;
	*ret = (toytimer_status){
		.pid = answer->pid,
		.uptime = answer->uptime,
		.clients = answer->clients,
		.timers = answer->timers,
		.next = answer->next,
		.registered = answer->registered,
		.woken = answer->woken,
		.cancelled = answer->cancelled,
		.refused = answer->refused,
		.wakeups = answer->wakeups,
		.late_p50 = answer->late_p50,
		.late_p99 = answer->late_p99,
		.late_max = answer->late_max,
		.restarts = answer->restarts,
		.adopted_sessions = answer->adopted_sessions,
		.adopted_timers = answer->adopted_timers,
		.dropped_records = answer->dropped_records,
		.warnings = answer->warnings,
	};
	memcpy(ret->version, answer->version, sizeof(answer->version));
	call_free(call);
	return 0;
}
