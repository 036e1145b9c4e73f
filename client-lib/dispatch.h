/* SPDX-License-Identifier: MIT */
/*
 * Which handler runs, and in which thread: one at a time.
 *
 * A handler need not return. It may throw, end its thread or be cancelled: then the frames of the
 * library are unwound, and a cleanup function ends the dispatch. It may also longjmp() over these
 * frames. glibc's longjmp() tells of that, others tell nobody. So the record also says where on the
 * stack the handler was called. The next call from the same thread that does not come from below
 * that place finds the frame abandoned, and ends the dispatch in its stead.
 */
#pragma once

#include "session.h"

/* A handler is about to be called by `function`, whose frame is given. Return: the number of the
 * dispatch. */
uint64_t dispatch_begin(struct session *s, uint64_t timer, uintptr_t function, const void *frame);

/* The dispatch of that number is over, unless that is noticed already. */
void dispatch_end(struct session *s, uint64_t number);

/* Whether the calling thread is within a handler. Ends a dispatch that it has jumped out of. */
bool dispatch_is_here(struct session *s);

/* The same check where it costs nothing: it misses a jump that was followed by deeper calls. */
void dispatch_check(struct session *s);

/* Whether the last handler of that timer runs now, so that the timer can still be re-armed. */
bool dispatch_is_last_of(const struct session *s, const struct timer *timer);
