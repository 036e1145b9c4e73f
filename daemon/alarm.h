/* SPDX-License-Identifier: MIT */
/*
 * The alarm: for each clock it rings at the smallest due + slack of its timers, by a timerfd.
 *
 * The timerfds are created at the start, so that a clock's first timer cannot find descriptors run out, and
 * set only when the instant changes. Those of the wall clock are cancelled by the kernel when that clock is
 * set (TFD_TIMER_CANCEL_ON_SET), which wakes the loop as an expiry would; the loop's turn then sees the new
 * time.
 *
 * From the instant that a timerfd is set to until this process runs takes tens of microseconds: an interrupt,
 * a processor that wakes up, the scheduler. That much they are set early, and what is left then is waited
 * out by looking at the clock, so that the alarm rings on time and never before. How much it is, the alarm
 * learns from each ring: it takes the little that the kernel has nearly always been late by, not the
 * middle, so that there is seldom anything to be waited out. (KVM has its guests' timers expire early in
 * the same manner: lapic_timer_advance.)
 */
#pragma once

#include <stdbool.h>

#include "worker.h"

/* The most that a timerfd is set early, microseconds: the loop never waits for longer on its feet. It is
 * less than a slice of work takes, for which everybody has to wait as well. */
#define ALARM_LEAD_MAX UINT64_C(100)

struct alarm {
	int fds[ARENA_CLOCKS];	      /* -1: this process may not have it, and no timer is on it */
	uint64_t armed[ARENA_CLOCKS]; /* when it rings; TIMERS_FOREVER: not armed */
	uint64_t set[ARENA_CLOCKS];   /* what its timerfd is set to: then, or earlier */
	int64_t lead;		      /* how much earlier, ALARM_LEAD_UNIT to the microsecond */
};
#define ALARM_LEAD_UNIT 64

/* Reads the clocks. Cannot fail: the kernel has had all three since 2.6.39. */
struct now alarm_now(void);

/* Whether this process may wake the system: it has CAP_WAKE_ALARM, and the kernel can. */
bool alarm_can_wake_system(const struct alarm *alarm);

/* Opens the timerfds and gives them to epoll, which tells `data` plus the clock of each.
 * Return: 0, or a negative errno; alarm_close() in either case. */
int alarm_init(struct alarm *alarm, int epoll, uint64_t data);
void alarm_close(struct alarm *alarm);

/* Arms each clock's alarm to what the worker says, where that differs from what it is armed to.
 *   now: a little old does no harm.
 * Return: 0, or the negative errno of timerfd_settime(). */
int alarm_arm(struct alarm *alarm, const struct worker *w, const struct now *now);

/* The timerfd of that clock has become readable. Waits until its alarm rings, ALARM_LEAD_MAX at the most.
 *   now: read anew where it had to wait.
 * Return: whether it rang, false where the clock was set. */
bool alarm_rang(struct alarm *alarm, unsigned int clock, struct now *now);
