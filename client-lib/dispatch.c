/* SPDX-License-Identifier: MIT */
#include <unwind.h>

#include "dispatch.h"

/*
 * glibc needs libgcc_s for cancelled threads anyway. On other C libraries a program in C may be
 * without an unwinder, and the static one of a compiler for glibc does not work there.
 */
#ifndef __GLIBC__
#	pragma weak _Unwind_Backtrace
#	pragma weak _Unwind_GetCFA
#	pragma weak _Unwind_GetRegionStart
#	define HAS_UNWINDER (_Unwind_Backtrace != NULL)
#else
#	define HAS_UNWINDER true
#endif

uint64_t dispatch_begin(struct session *s, uint64_t timer, uintptr_t function, const void *frame)
{
	s->dispatch.number++;
	s->dispatch.running = true;
	s->dispatch.thread = pthread_self();
	s->dispatch.function = function;
	s->dispatch.frame = frame;
	s->dispatch.timer = timer;
	return s->dispatch.number;
}

/* A later dispatch may have begun after this one was found to be left. */
void dispatch_end(struct session *s, uint64_t number)
{
	if (!s->dispatch.running || s->dispatch.number != number)
		return;
	s->dispatch.running = false;
	registry_drop_over(&s->timers, s->dispatch.timer);
	if (s->dispatch.awaited)
		progress_note(&s->progress);
}

bool dispatch_is_last_of(const struct session *s, const struct timer *timer)
{
	return s->dispatch.running && timer->state == TIMER_ENDED && timer->released &&
		registry_name(&s->timers, timer) == s->dispatch.timer;
}

struct search {
	uintptr_t function;
	const void *frame;
	bool candidate; /* the frame before this one is of the function that calls handlers */
	bool found;
};

/* Frames come from the innermost on. That of the function begins at its stack pointer and reaches
 * up to the stack pointer of its caller. */
static _Unwind_Reason_Code check_frame(struct _Unwind_Context *context, void *userdata)
{
	struct search *search = userdata;
	uintptr_t stack = _Unwind_GetCFA(context), frame = (uintptr_t)search->frame;

	if (search->candidate && stack > frame) {
		search->found = true;
		return _URC_NORMAL_STOP;
	}
	search->candidate = _Unwind_GetRegionStart(context) == search->function && stack <= frame;
	return _URC_NO_REASON;
}

static bool runs_in_this_thread(const struct session *s)
{
	return s->dispatch.running && pthread_equal(s->dispatch.thread, pthread_self());
}

/* Stacks grow down. Code that runs above the frame has left it. */
static bool is_above(const struct session *s, const void *frame)
{
	return (uintptr_t)frame > (uintptr_t)s->dispatch.frame;
}

void dispatch_check(struct session *s)
{
	if (runs_in_this_thread(s) && is_above(s, __builtin_frame_address(0)))
		dispatch_end(s, s->dispatch.number);
}

bool dispatch_is_here(struct session *s)
{
	struct search search = {.function = s->dispatch.function, .frame = s->dispatch.frame};

	dispatch_check(s);
	if (!runs_in_this_thread(s))
		return false;
	if (!HAS_UNWINDER)
		return true;
	/* A call that is deeper on the stack than the handler may come from elsewhere. */
	_Unwind_Backtrace(check_frame, &search);
	if (!search.found)
		dispatch_end(s, s->dispatch.number);
	return search.found;
}
