/* SPDX-License-Identifier: MIT */
/* Re-arming timers. A timer whose last handler runs is registered again, under the same name. */
#include <errno.h>

#include "calls.h"
#include "dispatch.h"
#include "handle.h"
#include "instant.h"
#include "public.h"
#include "register.h"
#include "requests.h"
#include "text.h"

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

	return timer && dispatch_is_last_of(&t->session, timer) ? timer : call_find_timer(t, name);
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
	if (error == 0 && timer->released)
		return register_again(t, timer, &record);
	if (error == 0)
		error = call_await_ids(t, &name, 1, deadline, NULL);
	if (error < 0)
		return error;
	timer = call_find_timer(t, name);
	if (!timer || timer->state == TIMER_ENDED)
		return -ENOENT;
	if (timer->state == TIMER_QUEUED) {
		registry_rearm(timer, &record);
		return 0;
	}
	call = call_new(PROTO_REARM, 1);
	if (!call)
		return -ENOMEM;
	call->rearms[0] = requests_rearm_item(&t->session, timer, &record);
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
	int error;

	if (!timer || (timer->state == TIMER_ENDED && !timer->released))
		return -ENOENT;
	error = rearm_record(timer, r, &record);
	if (error < 0)
		return error;
	if (timer->released) {
		register_again_async(t, timer, &record);
		return 0;
	}
	if (timer->state == TIMER_QUEUED) {
		registry_rearm(timer, &record);
		return 0;
	}
	error = requests_queue_rearm(&t->session, timer, &record);
	if (error < 0)
		return error;
	call_send_when_many(t);
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
