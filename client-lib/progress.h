/* SPDX-License-Identifier: MIT */
/*
 * A thread waits here until another thread of the same handle makes progress.
 *
 * A condition variable does not work with fork(). A signal handler may fork while the thread waits.
 * pthread_cond_wait() then never returns in the child: no thread signals there, and the mutex may
 * be locked by a thread that does not exist in the child. This wait holds no lock, and always ends.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

struct progress {
	atomic_uint count;   /* of progress, modulo 2^32 */
	atomic_uint waiting; /* threads in progress_wait(): without one no system call is needed */
};

/* Returns the count to pass to progress_wait(). Call it with the lock that guards the awaited
 * state. */
unsigned int progress_count(struct progress *progress);

/* Wakes all waiting threads. Call it with the same lock held, after the change. */
void progress_note(struct progress *progress);

/* Waits until the count differs from `count`, until a signal handler has run, or until `span`
 * microseconds have passed; the span is below one second. Call it without the lock. Not a
 * cancellation point. */
void progress_wait(struct progress *progress, unsigned int count, uint64_t span);
