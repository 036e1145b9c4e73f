/* SPDX-License-Identifier: MIT */
/*
 * The clocks. A file of its own that needs no handle, so that all others may use it.
 */
#include <time.h>

#include "public.h"
#include "toytimer.h"

_public_ uint64_t toytimer_now(enum toytimer_clock clock)
{
	static const clockid_t clocks[] = {
		[TOYTIMER_MONOTONIC] = CLOCK_MONOTONIC,
		[TOYTIMER_BOOTTIME] = CLOCK_BOOTTIME,
		[TOYTIMER_REALTIME] = CLOCK_REALTIME,
	};
	struct timespec now;

	if ((unsigned int)clock >= sizeof(clocks) / sizeof(clocks[0]) ||
		clock_gettime(clocks[clock], &now) < 0 || now.tv_sec < 0)
		return 0;
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
