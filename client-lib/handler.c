/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "dispatch.h"
#include "handler.h"

/* One call of a handler. It is in the stack frame of call_handler(). */
struct running {
	struct toytimer *t;
	uint64_t timer, number;
	handler_function function;
	void *argument;
	bool exited; /* the handler threw, jumped or ended its thread */
#ifdef __GLIBC__
	struct _pthread_cleanup_buffer jump;
#endif
};

/* Frees a handle whose last reference the handler has dropped. Takes over the lock. */
static void free_now(struct toytimer *t)
{
	int state = handle_release(t);

	handle_free(t);
	pthread_setcancelstate(state, NULL);
}

/* Takes the lock again after a handler. Return: 0 with the lock; -ECHILD without it, in a child
 * that the handler forked. */
static int retake_lock(struct toytimer *t, int cancel_state)
{
	int r = handle_retake(t, cancel_state);

	if (r < 0 && t->session.dispatch.free_at_end)
		handle_free(t);
	return r;
}

/* Ends the dispatch of a handler that throws, jumps or ends its thread. */
static void exit_handler(void *userdata)
{
	struct running *running = userdata;
	struct toytimer *t = running->t;
	int state;

	/* If the thread ends, both the unwinder and longjmp() of glibc call this. */
	if (running->exited)
		return;
	running->exited = true;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	if (retake_lock(t, state) < 0)
		return;
	dispatch_end(&t->session, running->number);
	if (t->session.dispatch.free_at_end)
		free_now(t);
	else
		handle_leave(t);
}

/*
 * glibc's longjmp() calls the routines that the skipped stack frames have registered here. The
 * library therefore notices a jump out of a handler at once, and other threads need not wait for
 * the jumping thread's next call. No header declares these two functions. musl has functions of the
 * same names, which its longjmp() does not call.
 */
#ifdef __GLIBC__
void _pthread_cleanup_push(struct _pthread_cleanup_buffer *buffer, void (*routine)(void *userdata),
	void *userdata) __attribute__((weak));
void _pthread_cleanup_pop(struct _pthread_cleanup_buffer *buffer, int execute)
	__attribute__((weak));

static void notice_jump(struct running *running)
{
	if (_pthread_cleanup_push && _pthread_cleanup_pop)
		_pthread_cleanup_push(&running->jump, exit_handler, running);
}

static void forget_jump(struct running *running)
{
	if (_pthread_cleanup_push && _pthread_cleanup_pop)
		_pthread_cleanup_pop(&running->jump, 0);
}
#else
static void notice_jump(struct running *running)
{
	(void)running;
}

static void forget_jump(struct running *running)
{
	(void)running;
}
#endif

static void unwind_handler(void *userdata)
{
	struct running *running = userdata;

	forget_jump(running);
	exit_handler(running);
}

/* Must be a stack frame of its own: dispatch_is_here() looks for it. */
__attribute__((noinline)) static int call_handler(struct running *running, int *ret_result)
{
	struct toytimer *t = running->t;
	int state, result, r;

	running->number = dispatch_begin(
		&t->session, running->timer, (uintptr_t)call_handler, __builtin_frame_address(0));
	notice_jump(running);
	pthread_cleanup_push(unwind_handler, running);
	state = handle_release(t);
	pthread_setcancelstate(state, NULL);
	result = running->function(t, running->argument);
	/* While events keep coming, toytimer_run() does not sleep. Without this call a cancelled
	 * thread would not end then. */
	pthread_testcancel();
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	pthread_cleanup_pop(0);
	forget_jump(running);

	r = retake_lock(t, state);
	if (r < 0)
		return r;
	dispatch_end(&t->session, running->number);
	*ret_result = result;
	if (!t->session.dispatch.free_at_end)
		return 1;
	free_now(t);
	return HANDLER_FREED;
}

int handler_call(struct toytimer *t, uint64_t timer, handler_function function, void *argument,
	int *ret_result)
{
	struct running running = {
		.t = t,
		.timer = timer,
		.function = function,
		.argument = argument,
	};

	return call_handler(&running, ret_result);
}

/* An event, and the handler and userdata of its timer. */
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

/* Takes the oldest event that is not stale off the queue. If it is the last one of its timer,
 * releases the timer. Return: whether there is one. */
static bool next_event(struct toytimer *t, struct handing *ret)
{
	struct event event;

	while (events_pop(&t->session.events, &event)) {
		struct timer *timer = registry_find(&t->session.timers, event.timer);

		if (!timer || timer->released)
			continue;
		*ret = (struct handing){
			.handler = timer->handler,
			.userdata = timer->userdata,
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
		/* In other states the timer has no id: its daemon is gone since the wake arrived.
		 */
		if (timer->state == TIMER_HELD || timer->state == TIMER_ENDED)
			ret->event.id = timer->id;
		/* Only the handler of the last event can still use the timer: to re-arm it. */
		if (event.last)
			registry_release(&t->session.timers, timer);
		return true;
	}
	return false;
}

int handler_call_next(struct toytimer *t, int *ret_result)
{
	struct handing handing;

	if (!next_event(t, &handing))
		return 0;
	return handler_call(t, handing.event.timer, hand_out, &handing, ret_result);
}

bool handler_take_next(struct toytimer *t, toytimer_event *ret_event, void **ret_userdata)
{
	struct handing handing;

	if (!next_event(t, &handing))
		return false;
	registry_drop_over(&t->session.timers, handing.event.timer);
	*ret_event = handing.event;
	if (ret_userdata)
		*ret_userdata = handing.userdata;
	return true;
}
