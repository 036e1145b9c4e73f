/* SPDX-License-Identifier: MIT */
/*
 * A wall clock that the test sets, for a timerqd that is linked with this file. The file that
 * MOVED_CLOCK names has the seconds by which the clock is ahead.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *t);

int clock_gettime(clockid_t clock, struct timespec *t)
{
	const char *path = clock == CLOCK_REALTIME ? getenv("MOVED_CLOCK") : NULL;
	FILE *f = path ? fopen(path, "re") : NULL;
	int r = (int)syscall(SYS_clock_gettime, clock, t);
	long seconds = 0;

	if (!f)
		return r;
	if (fscanf(f, "%ld", &seconds) == 1)
		t->tv_sec += seconds;
	fclose(f);
	return r;
}
