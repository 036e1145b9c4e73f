/* SPDX-License-Identifier: MIT */
/*
 * The calls that pass events to handlers, and those that return properties of a handle.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>

#include "dispatch.h"
#include "handler.h"
#include "public.h"
#include "text.h"

_public_ int toytimer_set_timeout(toytimer *t, uint64_t timeout)
{
	int r = handle_enter(t);

	if (r < 0)
		return r;
	t->timeout = timeout;
	handle_leave(t);
	return 0;
}

_public_ int toytimer_get_fd(toytimer *t)
{
	if (!t)
		return text_invalid(TEXT_NO_HANDLE);
	return connection_is_ours(&t->session.connection) ? t->epoll : -ECHILD;
}

_public_ int toytimer_get_events(toytimer *t)
{
	if (!t)
		return text_invalid(TEXT_NO_HANDLE);
	return connection_is_ours(&t->session.connection) ? POLLIN : -ECHILD;
}

/* Whether the handle may be gone after a call of a handler that returned r. If so, the lock is not
 * held. */
static bool is_gone(int r)
{
	return r == -ECHILD || r == HANDLER_FREED;
}

/* toytimer_process() with the lock held. ret_result: the return value of the handler. Return: as
 * toytimer_process(), or -ECHILD or HANDLER_FREED as handler_call_next(). */
static int process(struct toytimer *t, int *ret_result)
{
	int r = 0, error;

	/* Requests that handlers queue are sent after the last event, in common packets. */
	if (!t->session.dispatch.running)
		r = t->kind->dispatch(t, ret_result);
	if (r != 0)
		return r;
	handle_yield_to_leader(t);
	/* While a handler runs, receive all packets: otherwise the descriptor would stay
	 * readable. */
	error = handle_pump(t, !t->session.dispatch.running);
	if (!t->session.dispatch.running)
		r = t->kind->dispatch(t, ret_result);
	return r ?: error;
}

_public_ int toytimer_process(toytimer *t)
{
	int result = 0, r = handle_enter(t);

	if (r < 0)
		return r;
	r = dispatch_is_here(&t->session) ? -EBUSY : process(t, &result);
	if (!is_gone(r))
		handle_leave(t);
	if (r != 1 && r != HANDLER_FREED)
		return r;
	return result < 0 ? result : 1;
}

/* Takes the events that wait, up to n. Return: how many; 0 while a handler runs. */
static int take(struct toytimer *t, toytimer_event *ret_events, void **ret_userdatas, size_t n)
{
	size_t taken = 0;

	if (t->session.dispatch.running)
		return 0;
	while (taken < n &&
		handler_take_next(
			t, &ret_events[taken], ret_userdatas ? &ret_userdatas[taken] : NULL))
		taken++;
	return (int)taken;
}

_public_ int toytimer_take_events(
	toytimer *t, toytimer_event *ret_events, void **ret_userdatas, size_t n)
{
	int r, error;

	if (!ret_events)
		return text_invalid("ret_events: NULL");
	if (n < 1 || n > INT_MAX)
		return text_invalid("n: not between 1 and 2147483647");
	r = handle_enter(t);
	if (r < 0)
		return r;
	r = dispatch_is_here(&t->session) ? -EBUSY : take(t, ret_events, ret_userdatas, n);
	if (r == 0) {
		handle_yield_to_leader(t);
		error = handle_pump(t, !t->session.dispatch.running);
		r = take(t, ret_events, ret_userdatas, n) ?: error;
	}
	handle_leave(t);
	return r;
}

_public_ int toytimer_wait(toytimer *t, uint64_t timeout)
{
	int r = handle_enter(t);

	if (r < 0)
		return r;
	t->kind->send(&t->session);
	r = handle_sleep(t, timeout, false);
	if (r != -ECHILD)
		handle_leave(t);
	return r;
}

/* Whether toytimer_stop() was called since then. Each such call ends at least one toytimer_run().
 */
static bool stopped_since(struct toytimer *t, uint64_t stops)
{
	if (t->stops == stops)
		return false;
	t->stop_next = false;
	return true;
}

/* toytimer_run() with the lock held. Return: 0; 1: *ret_result is a handler's negative return; or a
 * negative errno; or as process() if the handle may be gone. */
static int run(struct toytimer *t, int *ret_result)
{
	uint64_t stops = t->stops - t->stop_next;

	while (!stopped_since(t, stops)) {
		int r = process(t, ret_result);

		if (r == 1 && *ret_result >= 0)
			continue;
		if (r != 0)
			return r;
		if (t->stops != stops)
			continue;
		if (t->kind->run_ends(&t->session))
			return 0;
		r = handle_sleep(t, TOYTIMER_FOREVER, true);
		if (r < 0)
			return r;
	}
	return 0;
}

_public_ int toytimer_run(toytimer *t)
{
	int result = 0, r = handle_enter(t);

	if (r < 0)
		return r;
	r = dispatch_is_here(&t->session) ? -EBUSY : run(t, &result);
	if (!is_gone(r))
		handle_leave(t);
	if (r == HANDLER_FREED)
		return result < 0 ? result : 0;
	return r == 1 ? result : r;
}

_public_ int toytimer_stop(toytimer *t)
{
	int r = handle_enter(t);

	if (r < 0)
		return r;
	t->stops++;
	t->stop_next = true;
	t->stopped = t->runners;
	handle_leave(t);
	return 0;
}

_public_ int toytimer_get_timer(toytimer *t, uint64_t timer, uint64_t *ret_id, uint64_t *ret_due)
{
	struct timer *found;
	int r = handle_enter(t);

	if (r < 0)
		return r;
	found = registry_find(&t->session.timers, timer);
	if (found && !found->released) {
		bool held = found->state == TIMER_HELD || found->state == TIMER_ENDED;

		if (ret_id)
			*ret_id = held ? found->id : 0;
		if (ret_due)
			*ret_due = found->due;
	} else
		r = -ENOENT;
	handle_leave(t);
	return r;
}

_public_ size_t toytimer_count(toytimer *t)
{
	size_t count;

	if (handle_enter(t) < 0)
		return 0;
	count = t->session.timers.count;
	handle_leave(t);
	return count;
}

_public_ uint64_t toytimer_get_reconnects(toytimer *t)
{
	uint64_t times;

	if (handle_enter(t) < 0)
		return 0;
	times = t->session.connection.times;
	handle_leave(t);
	return times ? times - 1 : 0;
}
