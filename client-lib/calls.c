/* SPDX-License-Identifier: MIT */
/*
 * What the requests about timers share, and the request for the daemon's status. cancel.c, rearm.c
 * and match.c have the other requests.
 */
#include <errno.h>
#include <string.h>

#include "calls.h"
#include "handle.h"
#include "public.h"
#include "requests.h"
#include "text.h"

static void detach_call(struct toytimer *t, void *userdata)
{
	requests_detach(&t->session, userdata);
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
		r = handle_await(t, deadline, detach_call, call);
		if (r < 0 && !call->done) {
			requests_detach(&t->session, call);
			return r;
		}
	}
	return 0;
}

struct timer *call_find_timer(struct toytimer *t, uint64_t name)
{
	struct timer *timer = registry_find(&t->session.timers, name);
	bool answered = timer && (timer->state == TIMER_HELD || timer->state == TIMER_ENDED);

	return timer && !timer->released && (answered || !timer->batch) ? timer : NULL;
}

int call_await_ids(
	struct toytimer *t, const uint64_t *timers, size_t n, uint64_t deadline, struct call *call)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		struct timer *timer;

		while (r == 0 && (timer = call_find_timer(t, timers[i])) &&
			timer->state == TIMER_SENT)
			r = handle_await(t, deadline, free_call, call);
	}
	return r;
}

void call_send_when_many(struct toytimer *t)
{
	if (requests_many(&t->session.requests))
		(void)handle_pump(t, false);
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
