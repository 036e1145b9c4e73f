/* SPDX-License-Identifier: MIT */
/*
 * Names of clocks, and arithmetic with instants.
 *
 * The clocks run at the same speed from different origins. So toytimerctl moves an instant to
 * another clock by its distance from now. The result is wrong after somebody sets the wall clock or
 * suspends the machine; timerd itself therefore never does this.
 */
#pragma once

#include <stdint.h>

#include "../toytimer.h"

/* "monotonic", "boottime" or "realtime"; "-" for any other value. */
const char *clock_name(enum toytimer_clock clock);

/* Returns 0, or -EINVAL if no clock has that name. */
int clock_parse(const char *name, enum toytimer_clock *ret);

/* now + remaining, limited to 0 and UINT64_MAX. In microseconds, as below. */
uint64_t clock_after(uint64_t now, int64_t remaining);

/* instant - now, limited to INT64_MIN and INT64_MAX. */
int64_t clock_remaining(uint64_t instant, uint64_t now);
