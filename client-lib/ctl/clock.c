/* SPDX-License-Identifier: MIT */
/* See clock.h. What comes from the daemon or was typed may be as far away as 64 bits go. */
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

uint64_t clock_after(uint64_t now, int64_t left)
{
	uint64_t instant;

	if (left < 0)
		return __builtin_sub_overflow(now, -(uint64_t)left, &instant) ? 0 : instant;
	return __builtin_add_overflow(now, (uint64_t)left, &instant) ? UINT64_MAX : instant;
}

int64_t clock_left(uint64_t instant, uint64_t now)
{
	int64_t left;

	if (__builtin_sub_overflow(instant, now, &left))
		return instant > now ? INT64_MAX : INT64_MIN;
	return left;
}
