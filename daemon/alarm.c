/* SPDX-License-Identifier: MIT */
/*
 * epoll watches the timerfds edge-triggered: it reports each expiry once, and nobody has to read
 * the timerfd. This saves a system call for each wake. Only the timerfds of the wall clock are
 * read, because only read() tells an expiry from a clock that was set.
 */
#include "alarm.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define USEC_PER_SEC UINT64_C(1000000)

/* A due can be any number up to 2^64 microseconds: see meson.build. */
_Static_assert(sizeof(time_t) == 8, "time_t holds every due");

/* The lead moves by 1/32 of the difference when the kernel was later than the lead, and by 1/4 when
 * it was earlier. So the lead stays low: if the delays are spread evenly, three of four are longer
 * than the lead. One long delay under load changes little. */
#define LEARN_LATER_DIVISOR   32
#define LEARN_EARLIER_DIVISOR 4

static const clockid_t ids[ARENA_CLOCKS] = {
	[CLOCK_OF_MONOTONIC] = CLOCK_MONOTONIC,
	[CLOCK_OF_BOOTTIME] = CLOCK_BOOTTIME,
	[CLOCK_OF_REALTIME] = CLOCK_REALTIME,
	[CLOCK_OF_BOOTTIME_ALARM] = CLOCK_BOOTTIME_ALARM,
	[CLOCK_OF_REALTIME_ALARM] = CLOCK_REALTIME_ALARM,
};

struct now alarm_now(void)
{
	struct now now;

	for (unsigned int clock = 0; clock < PROTO_CLOCKS; clock++) {
		struct timespec ts = {0};

		clock_gettime(ids[clock], &ts);
		/* A wall clock before 1970 counts as 1970: no due is earlier. */
		now.at[clock] = ts.tv_sec < 0
			? 0
			: (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
	}
	return now;
}

bool alarm_can_wake_system(const struct alarm *alarm)
{
	return alarm->can_wake_system;
}

static bool wakes_system(unsigned int clock)
{
	return clock == CLOCK_OF_BOOTTIME_ALARM || clock == CLOCK_OF_REALTIME_ALARM;
}

static bool is_wall_clock(unsigned int clock)
{
	return clock == CLOCK_OF_REALTIME || clock == CLOCK_OF_REALTIME_ALARM;
}

static uint64_t lead(const struct alarm *alarm)
{
	return (uint64_t)(alarm->lead / ALARM_LEAD_UNIT);
}

static int set_clock(struct alarm *alarm, unsigned int clock, uint64_t at)
{
	int flags = TFD_TIMER_ABSTIME | (is_wall_clock(clock) ? TFD_TIMER_CANCEL_ON_SET : 0);
	struct itimerspec spec = {0};
	uint64_t set_to = at;

	if (at != TIMERS_FOREVER) {
		set_to -= at > lead(alarm) ? lead(alarm) : 0;
		spec.it_value.tv_sec = (time_t)(set_to / USEC_PER_SEC);
		/* A time of 0 would disarm the timerfd; the first nanosecond of a clock
		 * has always passed. */
		spec.it_value.tv_nsec = set_to ? (long)(set_to % USEC_PER_SEC * 1000) : 1;
	}
	/* ECANCELED: the wall clock was set since the last turn. The timerfd is armed
	 * nevertheless. */
	if (timerfd_settime(alarm->fds[clock], flags, &spec, NULL) < 0) {
		if (errno != ECANCELED)
			return -errno;
		alarm->clock_set = true;
	}
	alarm->armed[clock] = at;
	alarm->set_to[clock] = set_to;
	alarm->changed |= 1u << clock;
	alarm->expired[clock] = false;
	return 0;
}

int alarm_init(struct alarm *alarm, int epoll, uint64_t data)
{
	*alarm = (struct alarm){.late = TIMERS_FOREVER, .can_wake_system = true};
	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
		alarm->fds[clock] = -1;
		alarm->armed[clock] = TIMERS_FOREVER;
	}
	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
		struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = data + clock};
		int fd = timerfd_create(ids[clock], TFD_NONBLOCK | TFD_CLOEXEC);

		/* This process cannot wake the system. Adopted timers of these clocks
		 * fire while the machine is awake. */
		if (fd < 0 && wakes_system(clock) && (errno == EPERM || errno == EINVAL)) {
			alarm->can_wake_system = false;
			fd = timerfd_create(ids[timers_base(clock)], TFD_NONBLOCK | TFD_CLOEXEC);
		}
		if (fd < 0)
			return -errno;
		alarm->fds[clock] = fd;
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
			return -errno;
	}
	/* From now on the kernel reports when the wall clock is set, armed or not. */
	return set_clock(alarm, CLOCK_OF_REALTIME, TIMERS_FOREVER);
}

void alarm_close(struct alarm *alarm)
{
	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
		if (alarm->fds[clock] >= 0)
			close(alarm->fds[clock]);
		alarm->fds[clock] = -1;
	}
}

bool alarm_near(
	const struct alarm *alarm, const struct alarm_deadlines *deadlines, const struct now *now)
{
	bool near = false;

	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
		uint64_t at = deadlines->at[clock], time = timers_now(now, clock);
		bool early = alarm->expired[clock] && at == alarm->armed[clock];

		if (at <= time)
			return false;
		/* The lead may have shrunk since the timerfd was set; after an early expiry compare
		 * with the maximum lead. */
		near = near || at - time <= (early ? ALARM_LEAD_MAX : lead(alarm));
	}
	return near;
}

int alarm_arm(struct alarm *alarm, const struct alarm_deadlines *deadlines, const struct now *now)
{
	alarm->changed = 0;
	if (alarm_near(alarm, deadlines, now))
		return 1;
	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
		uint64_t at = deadlines->at[clock];
		int r = 0;

		if (at != alarm->armed[clock] || alarm->expired[clock])
			r = set_clock(alarm, clock, at);
		if (r < 0)
			return r;
	}
	return 0;
}

void alarm_learn(struct alarm *alarm, bool slept)
{
	uint64_t late = alarm->late < ALARM_LEAD_MAX ? alarm->late : ALARM_LEAD_MAX;
	int64_t change = (int64_t)late * ALARM_LEAD_UNIT - alarm->lead;

	if (alarm->late != TIMERS_FOREVER && slept)
		alarm->lead += change / (change > 0 ? LEARN_LATER_DIVISOR : LEARN_EARLIER_DIVISOR);
	alarm->late = TIMERS_FOREVER;
}

bool alarm_rang(struct alarm *alarm, unsigned int clock, const struct now *now)
{
	uint64_t expirations, late, time = timers_now(now, clock);

	alarm->expired[clock] = true;
	if (is_wall_clock(clock) &&
		read(alarm->fds[clock], &expirations, sizeof(expirations)) <= 0) {
		alarm->clock_set = alarm->clock_set || errno == ECANCELED;
		return false;
	}
	if (time < alarm->set_to[clock])
		return true;
	late = time - alarm->set_to[clock];
	if (alarm->late == TIMERS_FOREVER || late > alarm->late)
		alarm->late = late;
	return true;
}

bool alarm_take_clock_set(struct alarm *alarm)
{
	bool was = alarm->clock_set;

	alarm->clock_set = false;
	return was;
}
