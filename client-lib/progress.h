/* SPDX-License-Identifier: MIT */
/*
 * Threads wait here for another thread of the same handle to make progress.
 *
 * A condition variable would do, but for fork(). A signal handler may fork while the thread waits.
 * pthread_cond_wait() then never returns in the child: nobody signals there, and the mutex may have
 * been locked by a thread that the child does not have. This wait holds no lock, and ends by
 * itself.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

struct progress {
	atomic_uint count; /* of progress, modulo 2^32 */
};

/* The count to wait from. Read it with the lock that guards what is waited for. */
unsigned int progress_count(struct progress *progress);

/* Tells all that wait. Call it with that lock held, after the change. */
void progress_note(struct progress *progress);

/* Waits, without the lock, until the count is another one, a signal was handled, or after a span of
 * microseconds below one second. Not a cancellation point. */
void progress_wait(struct progress *progress, unsigned int count, uint64_t span);
