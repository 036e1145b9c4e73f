/* SPDX-License-Identifier: MIT */
/* See clock.h. Values from timerd and from users may be any 64-bit number. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "clock.h"

static const char *const clock_names[] = {
	[TOYTIMER_MONOTONIC] = "monotonic",
	[TOYTIMER_BOOTTIME] = "boottime",
	[TOYTIMER_REALTIME] = "realtime",
};

#define CLOCKS (sizeof(clock_names) / sizeof(clock_names[0]))

const char *clock_name(enum toytimer_clock clock)
{
	return (size_t)clock < CLOCKS ? clock_names[clock] : "-";
}

int clock_parse(const char *name, enum toytimer_clock *ret)
{
	for (size_t i = 0; i < CLOCKS; i++) {
		if (strcmp(name, clock_names[i]) != 0)
			continue;
		*ret = (enum toytimer_clock)i;
		return 0;
	}
	return -EINVAL;
}

uint64_t clock_after(uint64_t now, int64_t remaining)
{
	uint64_t instant;

	if (remaining < 0)
		return __builtin_sub_overflow(now, -(uint64_t)remaining, &instant) ? 0 : instant;
	return __builtin_add_overflow(now, (uint64_t)remaining, &instant) ? UINT64_MAX : instant;
}

int64_t clock_remaining(uint64_t instant, uint64_t now)
{
	int64_t remaining;

	if (__builtin_sub_overflow(instant, now, &remaining))
		return instant > now ? INT64_MAX : INT64_MIN;
	return remaining;
}
