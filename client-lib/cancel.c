/* SPDX-License-Identifier: MIT */
/* Cancelling timers by name or by id. match.c cancels by user and label. */
#include <errno.h>
#include <limits.h>

#include "calls.h"
#include "handle.h"
#include "public.h"
#include "requests.h"
#include "text.h"

static void set_error(int *errors, size_t i, int error)
{
	if (errors)
		errors[i] = error;
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
		struct timer *timer = call_find_timer(t, timers[i]);
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
			registry_release(&t->session.timers, timer);
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
		struct timer *timer = call_find_timer(t, timers[i]);

		if (!timer)
			continue;
		if (timer->state == TIMER_ENDED) {
			registry_drop(&t->session.timers, timer);
			set_error(errors, i, 0);
			cancelled++;
			continue;
		}
		set_error(errors, i, reason);
		registry_release(&t->session.timers, timer);
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
	r = call_await_ids(t, timers, n, deadline, call);
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
	} while (r == 0 && error == -ENOENT && call_find_timer(t, timer));
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

static int cancel_async(struct toytimer *t, uint64_t name)
{
	struct timer *timer = call_find_timer(t, name);
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
	registry_release(&t->session.timers, timer);
	call_send_when_many(t);
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
