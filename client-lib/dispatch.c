/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <unwind.h>

#include "handle.h"

/* One call of a handler, as its frame knows it. */
struct running {
	struct toytimer *t;
	uint64_t number;
	toytimer_handler handler;
	void *userdata;
	toytimer_event event;
	bool left; /* the handler does not return */
	struct _pthread_cleanup_buffer jump;
};

/*
 * glibc's longjmp() calls what was registered here by frames that it leaves. So it tells of a jump out
 * of a handler at once, and other threads need not wait for the next call of the thread that jumped.
 * No header declares the two, and other C libraries do not have them.
 */
void _pthread_cleanup_push(struct _pthread_cleanup_buffer *buffer, void (*routine)(void *userdata),
	void *userdata) __attribute__((weak));
void _pthread_cleanup_pop(struct _pthread_cleanup_buffer *buffer, int execute)
	__attribute__((weak));

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
		progress_note(&t->progress);
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

/* The handler throws or jumps, or its thread ends. */
static void leave_handler(void *userdata)
{
	struct running *running = userdata;
	struct toytimer *t = running->t;
	int state;

	/* The end of a thread is told in both ways. */
	if (running->left)
		return;
	running->left = true;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	if (come_back(t, state) < 0)
		return;
	end(t, running->number);
	handle_leave(t);
}

static void unwound(void *userdata)
{
	struct running *running = userdata;

	if (_pthread_cleanup_push && _pthread_cleanup_pop)
		_pthread_cleanup_pop(&running->jump, 0);
	leave_handler(running);
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
	t->dispatch.timer = running->event.timer;

	if (_pthread_cleanup_push && _pthread_cleanup_pop)
		_pthread_cleanup_push(&running->jump, leave_handler, running);
	pthread_cleanup_push(unwound, running);
	state = handle_release(t);
	pthread_setcancelstate(state, NULL);
	result = running->handler(t, &running->event, running->userdata);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	pthread_cleanup_pop(0);
	if (_pthread_cleanup_push && _pthread_cleanup_pop)
		_pthread_cleanup_pop(&running->jump, 0);

	r = come_back(t, state);
	if (r < 0)
		return r;
	end(t, running->number);
	*ret_result = result;
	return 1;
}

int dispatch_next(struct toytimer *t, int *ret_result)
{
	struct event event;

	while (events_pop(&t->events, &event)) {
		struct timer *timer = timers_find(&t->timers, event.timer);
		struct running running = {
			.t = t,
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
		running.handler = timer->handler;
		running.userdata = timer->userdata;
		/* A wake that arrived before the connection was lost: the daemon that knew it is
		 * gone. */
		if (timer->state == TIMER_HELD || timer->state == TIMER_ENDED)
			running.event.id = timer->id;
		/* It is gone but for its own handler, which may re-arm it. */
		if (event.last)
			timers_abandon(&t->timers, timer);
		return call_handler(&running, ret_result);
	}
	return 0;
}
