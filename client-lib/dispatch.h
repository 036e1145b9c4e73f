/* SPDX-License-Identifier: MIT */
/*
 * Which handler runs, and in which thread. One handler of a handle runs at a time.
 *
 * A handler may not return. If it throws, ends its thread or is cancelled, the frames of the
 * library are unwound, and a cleanup function ends the dispatch. If it calls longjmp(), these
 * frames are skipped. glibc then calls a cleanup function, other C libraries do not. So the record
 * also has the stack address at which the handler was called. The next call of the same thread
 * that is not deeper on the stack shows that the handler has been left, and ends the dispatch.
 */
#pragma once

#include "session.h"

/* A handler is about to be called by `function`, whose frame is given. Return: the number of the
 * dispatch. */
uint64_t dispatch_begin(struct session *s, uint64_t timer, uintptr_t function, const void *frame);

/* Ends the dispatch of that number, if it has not been ended already. */
void dispatch_end(struct session *s, uint64_t number);

/* Whether the calling thread is within a handler. Ends the dispatch if the thread has jumped out
 * of the handler. */
bool dispatch_is_here(struct session *s);

/* Ends the dispatch if that is cheap to see: it misses a jump if this call is deeper on the stack
 * than the handler was. */
void dispatch_check(struct session *s);

/* Whether the last handler of that timer runs now, so that the timer can still be re-armed. */
bool dispatch_is_last_of(const struct session *s, const struct timer *timer);
