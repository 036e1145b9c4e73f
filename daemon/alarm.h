/* SPDX-License-Identifier: MIT */
/*
 * The alarm: a timerfd for each clock in use, armed to the smallest due + slack of its timers.
 *
 * They are created at the start, so that a clock's first timer cannot find descriptors run out, and
 * set only when the instant changes. Those of the wall clock are cancelled by the kernel when that clock is set (TFD_TIMER_CANCEL_ON_SET),
 * which wakes the loop as an expiry would; the loop's turn then sees the new time.
 */
#pragma once

#include <stdbool.h>

#include "worker.h"

struct alarm {
	int fds[ARENA_CLOCKS];	      /* -1: this process may not have it, and no timer is on it */
	uint64_t armed[ARENA_CLOCKS]; /* TIMERS_FOREVER: not armed */
};

/* Reads the clocks. Cannot fail: the kernel has had all three since 2.6.39. */
struct now alarm_now(void);

/* Whether this process may wake the system: it has CAP_WAKE_ALARM, and the kernel can. */
bool alarm_can_wake_system(const struct alarm *alarm);

/* Opens the timerfds and gives them to epoll, which tells `data` plus the clock of each.
 * Return: 0, or a negative errno; alarm_close() in either case. */
int alarm_init(struct alarm *alarm, int epoll, uint64_t data);
void alarm_close(struct alarm *alarm);

/* Arms each clock's timerfd to what the worker says, where that differs from what it is armed to.
 * Return: 0, or the negative errno of timerfd_settime(). */
int alarm_arm(struct alarm *alarm, const struct worker *w);

/* The timerfd of that clock has become readable. Return: whether it rang, false where the clock was set. */
bool alarm_rang(struct alarm *alarm, unsigned int clock);
