/* SPDX-License-Identifier: MIT */
/*
 * The alarm: for each clock it rings at the smallest due + slack of its timers, by a timerfd.
 *
 * The timerfds are created at the start, so that a clock's first timer cannot find descriptors run
 * out, and set only when the instant changes or they have expired. Those of the wall clock are
 * cancelled by the kernel when that clock is set (TFD_TIMER_CANCEL_ON_SET), which wakes the loop as
 * an expiry would; the loop's turn then sees the new time.
 *
 * From the instant that a timerfd is set to until this process runs takes tens of microseconds: an
 * interrupt, a processor that wakes up, the scheduler. That much is the lead, and that much they
 * are set early. What is nearer than the lead is not worth going to sleep for: the loop then goes
 * on looking at its clients and at the clocks until it is time. So the alarm rings on time and
 * never before, and where one wake follows the other the processor is not put to sleep and woken in
 * between, which costs more.
 *
 * How much it is, the alarm learns from each expiry that woke the loop: it takes
 * what the kernel is mostly late by at least, not the middle, so that there is seldom much left to
 * be waited for. (KVM has its guests' timers expire early in the same manner:
 * lapic_timer_advance.)
 */
#pragma once

#include <stdbool.h>

#include "timers.h"

/* The most that the lead comes to, microseconds: no more than that is waited for awake. It is less
 * than a slice of work takes. */
#define ALARM_LEAD_MAX UINT64_C(100)

/* What the lead is counted in, to a microsecond: it changes by small parts. */
#define ALARM_LEAD_UNIT 64

struct alarm {
	int fds[ARENA_CLOCKS];
	uint64_t armed[ARENA_CLOCKS]; /* when it rings; TIMERS_FOREVER: not armed */
	uint64_t set[ARENA_CLOCKS];   /* what its timerfd is set to: then, or earlier */
	bool expired[ARENA_CLOCKS];   /* that has come since it was set */
	int64_t lead;		      /* how much earlier, ALARM_LEAD_UNIT to the microsecond */
	uint64_t late;	/* how late the first was noticed that has expired since alarm_learn(), in
			* microseconds; TIMERS_FOREVER: none has */
	bool clock_set; /* the wall clock was, since alarm_take_clock_set() */
	unsigned int newly; /* clocks that the last alarm_arm() armed or disarmed, a bit each */
	bool can_wake_system;
};

/* When the alarm of each clock has to ring; TIMERS_FOREVER: never. */
struct alarm_deadlines {
	uint64_t at[ARENA_CLOCKS];
};

/* Reads the clocks. Cannot fail: the kernel has had all three since 2.6.39. */
struct now alarm_now(void);

/* Whether this process may wake the system: it has CAP_WAKE_ALARM, and the kernel can. */
bool alarm_can_wake_system(const struct alarm *alarm);

/* Opens the timerfds and gives them to epoll, which tells `data` plus the clock of each.
 * Return: 0, or a negative errno; alarm_close() in either case. */
int alarm_init(struct alarm *alarm, int epoll, uint64_t data);
void alarm_close(struct alarm *alarm);

/* Whether an alarm is to ring so soon that it is not worth going to sleep for, and none has to ring
 * now. Then look at the clocks again. O(1). */
bool alarm_near(
	const struct alarm *alarm, const struct alarm_deadlines *deadlines, const struct now *now);

/* Arms each clock's alarm to what the worker says, where that differs from what it is armed to.
 * Return: 0; 1 where one is near, so that none was armed; or the negative errno of
 * timerfd_settime(). */
int alarm_arm(struct alarm *alarm, const struct alarm_deadlines *deadlines, const struct now *now);

/* Learns from what has expired since the last call. slept: the loop may have slept until then; what
 * a loop notices that is awake tells nothing of how late a sleeper is woken. */
void alarm_learn(struct alarm *alarm, bool slept);

/* The timerfd of that clock has become readable: its alarm rings now or is near. Return: false
 * where the clock was set. */
bool alarm_rang(struct alarm *alarm, unsigned int clock, const struct now *now);

/* Whether the wall clock was set since the last call. */
bool alarm_take_clock_set(struct alarm *alarm);
