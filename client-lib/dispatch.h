/* SPDX-License-Identifier: MIT */
/*
 * Which handler runs, and in which thread: one at a time.
 *
 * A handler need not return. It may throw, end its thread or be cancelled: then the frames of the
 * library are unwound, and a cleanup function ends the dispatch. It may also longjmp() over these
 * frames, which nobody is told of. So the record says where on the stack the handler was called.
 * The next call from the same thread that does not come from below that place finds the frame
 * abandoned, and ends the dispatch in its stead.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct toytimer;
struct timer;
struct event;

struct dispatch {
	bool running;
	bool forsaken;	      /* a forked child dropped its last reference within the handler */
	pthread_t thread;     /* that runs it */
	const void *frame;    /* the stack of the handler is below this address */
	uint64_t number;      /* of the handlers that were called; a frame knows its own */
	uint64_t timer;	      /* whose handler: its name, which may be gone by now */
	unsigned int awaited; /* threads that wait for the handler's end */
};

/* Whether the calling thread is within a handler. Ends a dispatch that it has jumped out of. */
bool dispatch_is_here(struct toytimer *t);

/* The same check where it costs nothing: it misses a jump that was followed by deeper calls. */
void dispatch_check(struct toytimer *t);

/* Whether the last handler of that timer runs now, so that the timer can still be re-armed. */
bool dispatch_is_last_of(const struct toytimer *t, const struct timer *timer);

/* Calls a handler. Return: what the handler returns. */
typedef int (*dispatch_function)(struct toytimer *t, void *argument);

/*
 * Runs a handler with the lock released.
 *   timer: whose it is; 0: no timer's
 * Return: as dispatch_next() where there is an event.
 */
int dispatch_call(struct toytimer *t, uint64_t timer, dispatch_function call, void *argument,
	int *ret_result);

/*
 * Hands out the oldest event that is still wanted, with the lock released while its handler runs.
 * Return: 1: there was one, and *ret_result is what its handler returned; 0: there was none;
 * -ECHILD: the handler returned in a forked child, without the lock; the handle may be gone.
 */
int dispatch_next(struct toytimer *t, int *ret_result);
