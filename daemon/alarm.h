/* SPDX-License-Identifier: MIT */
/*
 * The alarm: for each clock a timerfd, which wakes the loop at the clock's deadline.
 *
 * The timerfds are created at the start, so a later shortage of descriptors cannot keep a clock
 * from working. A timerfd is set only if the deadline has changed or the timerfd has expired. The
 * kernel cancels the timerfds of the wall clock when that clock is set (TFD_TIMER_CANCEL_ON_SET).
 * This wakes the loop like an expiry, and the loop then sees the new time.
 *
 * After a timerfd expires, tens of microseconds pass before this process runs: an interrupt, a
 * processor that wakes up, the scheduler. The alarm compensates for that time: it sets each timerfd
 * earlier by the "lead". If a deadline is nearer than the lead, the loop does not sleep: it looks
 * at its clients and at the clocks until the deadline. So the alarm rings on time and never early.
 * When one wake follows another, the processor also saves the cost of going to sleep and waking up.
 *
 * The alarm learns the lead from each expiry that woke the loop. It learns a low estimate and not
 * the median, so that the loop seldom has to wait awake. (KVM does the same for the timers of its
 * guests: lapic_timer_advance.)
 */
#pragma once

#include <stdbool.h>

#include "timers.h"

/* The maximum of the lead in microseconds: the loop never waits awake for longer. It is less than a
 * slice of work takes. */
#define ALARM_LEAD_MAX UINT64_C(100)

/* The lead is counted in units of 1/64 microsecond, because it changes by small fractions. */
#define ALARM_LEAD_UNIT 64

struct alarm {
	int fds[ARENA_CLOCKS];
	uint64_t armed[ARENA_CLOCKS];  /* deadlines; TIMERS_FOREVER: not armed */
	uint64_t set_to[ARENA_CLOCKS]; /* expiry of the timerfd: the deadline minus the lead */
	bool expired[ARENA_CLOCKS];    /* the timerfd has expired since it was set */
	int64_t lead;		       /* in microseconds times ALARM_LEAD_UNIT */
	uint64_t late;	      /* of the first expiry since the last alarm_learn(), in microseconds;
			* TIMERS_FOREVER: there was none */
	bool clock_set;	      /* the wall clock was set since the last alarm_take_clock_set() */
	unsigned int changed; /* clocks that the last alarm_arm() armed or disarmed, a bit each */
	bool can_wake_system; /* see alarm_can_wake_system() */
};

/* When the alarm of each clock has to ring; TIMERS_FOREVER: never. */
struct alarm_deadlines {
	uint64_t at[ARENA_CLOCKS];
};

/* Reads the clocks. Cannot fail: the kernel has had all three since 2.6.39. */
struct now alarm_now(void);

/* Whether this process can wake the system from suspend: it has CAP_WAKE_ALARM, and the kernel and
 * the machine support it. */
bool alarm_can_wake_system(const struct alarm *alarm);

/* Opens the timerfds and adds them to epoll. The data of an event is `data` plus the number of the
 * clock. Return: 0, or a negative errno; alarm_close() in either case. */
int alarm_init(struct alarm *alarm, int epoll, uint64_t data);
void alarm_close(struct alarm *alarm);

/* Whether some deadline is nearer than the lead, and none has passed. Then do not sleep, and read
 * the clocks again. O(1). */
bool alarm_near(
	const struct alarm *alarm, const struct alarm_deadlines *deadlines, const struct now *now);

/* Sets the timerfd of each clock whose deadline has changed or whose timerfd has expired.
 * Return: 0; 1: alarm_near(), so no timerfd was set; the negative errno of timerfd_settime(). */
int alarm_arm(struct alarm *alarm, const struct alarm_deadlines *deadlines, const struct now *now);

/* Learns the lead from the first expiry since the last call. slept: the loop may have slept until
 * that expiry. If the loop was awake, the expiry does not tell how late the kernel wakes a sleeping
 * process, and nothing is learned. */
void alarm_learn(struct alarm *alarm, bool slept);

/* The timerfd of that clock has become readable. Return: true: the deadline has passed or is near;
 * false: the wall clock was set. */
bool alarm_rang(struct alarm *alarm, unsigned int clock, const struct now *now);

/* Whether the wall clock was set since the last call. */
bool alarm_take_clock_set(struct alarm *alarm);
