/* SPDX-License-Identifier: MIT */
/*
 * The clocks by name, and one clock's instants on another. Clocks run at one pace but count from
 * different zeroes, so an instant keeps its meaning if its distance from now is kept. That holds
 * until somebody sets the wall clock or the machine sleeps, which is why the daemon does not do
 * this.
 */
#pragma once

#include <stdint.h>

#include "../toytimer.h"

/* "monotonic", "boottime", "realtime"; "-" for what is none of them. */
const char *clock_name(enum toytimer_clock clock);

/* Returns 0, or -EINVAL if no clock has that name. */
int clock_parse(const char *name, enum toytimer_clock *ret);

/* The instant so long after now, or before; at the ends of time it stops. */
uint64_t clock_after(uint64_t now, int64_t left);

/* instant - now; at the ends of what can be said it stops. */
int64_t clock_left(uint64_t instant, uint64_t now);
