/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <unwind.h>

#include "handle.h"

/* One call of a handler, as its frame knows it. */
struct running {
	struct toytimer *t;
	uint64_t number;
	dispatch_function call;
	void *argument;
};

static int call_handler(struct running *running, int *ret_result);

/* The dispatch is over. Another may have begun where this one was taken for abandoned. */
static void end(struct toytimer *t, uint64_t number)
{
	struct timer *timer;

	if (!t->dispatch.running || t->dispatch.number != number)
		return;
	t->dispatch.running = false;
	timer = timers_find(&t->timers, t->dispatch.timer);
	/* Its last handler has not armed it again. */
	if (timer && timer->state == TIMER_ENDED && timer->abandoned)
		timers_drop(&t->timers, timer);
	if (t->dispatch.awaited)
		pthread_cond_broadcast(&t->progress);
}

bool dispatch_is_last_of(const struct toytimer *t, const struct timer *timer)
{
	return t->dispatch.running && timer->state == TIMER_ENDED && timer->abandoned &&
		timers_name(&t->timers, timer) == t->dispatch.timer;
}

struct search {
	const void *frame;
	bool candidate; /* the frame before this one runs the code of call_handler() */
	bool found;
};

/* Frames come from the innermost on. That of call_handler() begins at its stack pointer and reaches
 * up to the stack pointer of its caller. */
static _Unwind_Reason_Code look_at_frame(struct _Unwind_Context *context, void *userdata)
{
	struct search *search = userdata;
	uintptr_t stack = _Unwind_GetCFA(context), frame = (uintptr_t)search->frame;

	if (search->candidate && stack > frame) {
		search->found = true;
		return _URC_NORMAL_STOP;
	}
	search->candidate = _Unwind_GetRegionStart(context) == (uintptr_t)call_handler &&
		stack <= frame;
	return _URC_NO_REASON;
}

static bool runs_in_this_thread(const struct toytimer *t)
{
	return t->dispatch.running && pthread_equal(t->dispatch.thread, pthread_self());
}

/* Stacks grow down: who is above the frame has left it. */
static bool is_above(const struct toytimer *t, const void *frame)
{
	return (uintptr_t)frame > (uintptr_t)t->dispatch.frame;
}

void dispatch_check(struct toytimer *t)
{
	if (runs_in_this_thread(t) && is_above(t, __builtin_frame_address(0)))
		end(t, t->dispatch.number);
}

bool dispatch_is_here(struct toytimer *t)
{
	struct search search = {.frame = t->dispatch.frame};

	dispatch_check(t);
	if (!runs_in_this_thread(t))
		return false;
	/* A call from deeper down than the handler was need not come from the handler. */
	_Unwind_Backtrace(look_at_frame, &search);
	if (!search.found)
		end(t, t->dispatch.number);
	return search.found;
}

/* Back from the handler, in the parent or in a child that was forked there. Return: 0 with the lock;
 * -ECHILD. */
static int come_back(struct toytimer *t, int cancel_state)
{
	int r = handle_retake(t, cancel_state);

	if (r < 0 && t->dispatch.forsaken)
		handle_free(t);
	return r;
}

/* The handler throws, or its thread ends. */
static void unwound(void *userdata)
{
	struct running *running = userdata;
	struct toytimer *t = running->t;
	int state;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	if (come_back(t, state) < 0)
		return;
	end(t, running->number);
	handle_leave(t);
}

/* A function of its own: dispatch_is_here() looks for its frame. */
__attribute__((noinline)) static int call_handler(struct running *running, int *ret_result)
{
	struct toytimer *t = running->t;
	int state, result, r;

	running->number = ++t->dispatch.number;
	t->dispatch.running = true;
	t->dispatch.thread = pthread_self();
	t->dispatch.frame = __builtin_frame_address(0);

	pthread_cleanup_push(unwound, running);
	state = handle_release(t);
	pthread_setcancelstate(state, NULL);
	result = running->call(t, running->argument);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	pthread_cleanup_pop(0);

	r = come_back(t, state);
	if (r < 0)
		return r;
	end(t, running->number);
	*ret_result = result;
	return 1;
}

int dispatch_call(
	struct toytimer *t, uint64_t timer, dispatch_function call, void *argument, int *ret_result)
{
	struct running running = {.t = t, .call = call, .argument = argument};

	t->dispatch.timer = timer;
	return call_handler(&running, ret_result);
}

struct handing {
	toytimer_handler handler;
	void *userdata;
	toytimer_event event;
};

static int hand_out(struct toytimer *t, void *argument)
{
	struct handing *handing = argument;

	return handing->handler(t, &handing->event, handing->userdata);
}

int dispatch_next(struct toytimer *t, int *ret_result)
{
	struct event event;

	while (events_pop(&t->events, &event)) {
		struct timer *timer = timers_find(&t->timers, event.timer);
		struct handing handing = {
			.event =
				{
					.type = (enum toytimer_event_type)event.type,
					.error = event.error,
					.timer = event.timer,
					.due = event.due,
					.late = event.late,
					.overruns = event.overruns,
					.last = event.last,
				},
		};

		if (!timer || timer->abandoned)
			continue;
		handing.handler = timer->handler;
		handing.userdata = timer->userdata;
		/* A wake that arrived before the connection was lost: the daemon that knew it is
		 * gone. */
		if (timer->state == TIMER_HELD || timer->state == TIMER_ENDED)
			handing.event.id = timer->id;
		/* It is gone but for its own handler, which may re-arm it. */
		if (event.last)
			timers_abandon(&t->timers, timer);
		return dispatch_call(t, event.timer, hand_out, &handing, ret_result);
	}
	return 0;
}
