/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "progress.h"

/* On 32-bit machines the older call takes a timespec of 32-bit times. */
#ifdef SYS_futex_time64
#	define FUTEX_CALL SYS_futex_time64
#else
#	define FUTEX_CALL SYS_futex
#endif

unsigned int progress_count(struct progress *progress)
{
	return atomic_load(&progress->count);
}

void progress_note(struct progress *progress)
{
	atomic_fetch_add(&progress->count, 1);
	/* A thread that begins to wait after this check finds that the count differs. */
	if (atomic_load(&progress->waiting))
		syscall(FUTEX_CALL, &progress->count, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void progress_wait(struct progress *progress, unsigned int count, uint64_t span)
{
	const struct timespec timeout = {.tv_nsec = (long)span * 1000};

	atomic_fetch_add(&progress->waiting, 1);
	syscall(FUTEX_CALL, &progress->count, FUTEX_WAIT_PRIVATE, count, &timeout, NULL, 0);
	atomic_fetch_sub(&progress->waiting, 1);
}
