/* SPDX-License-Identifier: MIT */
/*
 * The alarm with a simulated kernel. The test chooses how late each timerfd is. The alarm rings on
 * time, never early, and seldom waits awake.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#include "alarm.h"

#define HOUR	   UINT64_C(3600000000)
#define READING_NS 50 /* the time that reading a clock takes */

static struct {
	uint64_t now;	       /* nanoseconds, of every clock */
	uint64_t asked;	       /* microseconds: the deadline of the clock under test */
	uint64_t asked_beside; /* deadline of the realtime alarm clock */
	unsigned int clock;
	uint64_t set; /* nanoseconds: the timerfd of that clock; 0: disarmed */
	unsigned int sets, reads;
	uint64_t back_after,
		back_by; /* at this reading of the clocks (0: never) they are set back */
	int cancelled;
	int refuses; /* timerfd_create() fails with it for clocks that wake the system */
	int created[ARENA_CLOCKS];
	unsigned int count;
} kernel;

int __wrap_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	(void)id;
	kernel.now += READING_NS;
	if (++kernel.reads == kernel.back_after)
		kernel.now -= kernel.back_by;
	ts->tv_sec = (time_t)(kernel.now / 1000000000);
	ts->tv_nsec = (long)(kernel.now % 1000000000);
	return 0;
}

int __wrap_timerfd_create(int id, int flags);
int __wrap_timerfd_create(int id, int flags)
{
	(void)flags;
	errno = kernel.refuses;
	if (kernel.refuses && (id == CLOCK_BOOTTIME_ALARM || id == CLOCK_REALTIME_ALARM))
		return -1;
	kernel.created[kernel.count++] = id;
	return 100 + (int)kernel.count;
}

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
	(void)fd, (void)old;
	assert_true(flags & TFD_TIMER_ABSTIME);
	kernel.set = (uint64_t) new->it_value.tv_sec * 1000000000 +
		(uint64_t) new->it_value.tv_nsec;
	kernel.sets++;
	return 0;
}

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	(void)epoll, (void)operation, (void)fd, (void)event;
	return 0;
}

ssize_t __wrap_read(int fd, void *into, size_t size);
ssize_t __wrap_read(int fd, void *into, size_t size)
{
	(void)fd, (void)into;
	errno = ECANCELED;
	return kernel.cancelled ? -1 : (ssize_t)size;
}

/* As the worker says. */
static const struct alarm_deadlines *asked(void)
{
	static struct alarm_deadlines deadlines;

	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++)
		deadlines.at[clock] = TIMERS_FOREVER;
	deadlines.at[CLOCK_OF_REALTIME_ALARM] = kernel.asked_beside;
	deadlines.at[kernel.clock] = kernel.asked;
	return &deadlines;
}

static struct alarm start(unsigned int clock)
{
	struct alarm alarm;

	memset(&kernel, 0, sizeof(kernel));
	kernel.clock = clock;
	kernel.now = HOUR * 1000;
	kernel.asked = kernel.asked_beside = TIMERS_FOREVER;
	assert_int_equal(alarm_init(&alarm, 3, 0), 0);
	kernel.sets = 0;
	return alarm;
}

static void arm(struct alarm *alarm, uint64_t at)
{
	struct now now = alarm_now();

	kernel.asked = at;
	assert_int_equal(alarm_arm(alarm, asked(), &now), 0);
}

/* Does what the loop does. Return: how long that took, in nanoseconds. */
static uint64_t wait_near(struct alarm *alarm, struct now *now)
{
	uint64_t before = kernel.now;

	while (alarm_near(alarm, asked(), now))
		*now = alarm_now();
	return kernel.now - before;
}

/* Arms the alarm for a millisecond from now. The kernel is `late` nanoseconds late. Return: how
 * late the alarm rang, in nanoseconds. ret_waited: how long it waited awake. */
static uint64_t ring(struct alarm *alarm, uint64_t late, uint64_t *ret_waited)
{
	uint64_t at = kernel.now / 1000 + 1000, waited;
	unsigned int sets;
	struct now now;

	arm(alarm, at);
	sets = kernel.sets;
	assert_true(kernel.set <= at * 1000);
	assert_true(kernel.set >= (at - ALARM_LEAD_MAX) * 1000);
	kernel.now = kernel.set + late;
	now = alarm_now();
	assert_true(alarm_rang(alarm, kernel.clock, &now));
	alarm_learn(alarm, true);
	waited = wait_near(alarm, &now);
	if (ret_waited)
		*ret_waited = waited;
	assert_in_range(timers_now(&now, kernel.clock), at, kernel.now / 1000);
	/* The timerfd is not set again for the remaining time. */
	assert_int_equal(kernel.sets, sets);
	return kernel.now - at * 1000;
}

/* An alarm that has learned that the kernel is 60 us late. */
static struct alarm start_used(unsigned int clock)
{
	struct alarm alarm = start(clock);

	for (int i = 0; i < 300; i++)
		ring(&alarm, 60000, NULL);
	return alarm;
}

static uint64_t lead_us(const struct alarm *alarm)
{
	return (uint64_t)(alarm->lead / ALARM_LEAD_UNIT);
}

static void test_a_late_kernel_is_made_up_for(void **state)
{
	struct alarm alarm = start(CLOCK_OF_MONOTONIC);
	uint64_t late;

	(void)state;
	late = ring(&alarm, 60000, NULL);
	assert_in_range(late, 60000, 61000);
	for (int i = 0; i < 300; i++)
		late = ring(&alarm, 60000, NULL);
	assert_in_range(late, 0, 2000);
}

/* As on a busy machine: now and then the kernel is milliseconds late. */
static void test_alarm_seldom_waits_awake(void **state)
{
	struct alarm alarm = start(CLOCK_OF_BOOTTIME);
	uint64_t late = 0, waited = 0, waits = 0;
	enum { BEFORE = 300, N = 3000 };

	(void)state;
	srandom(1);
	for (int i = 0; i < BEFORE + N; i++) {
		uint64_t kernels = i % 50 ? 40000 + (uint64_t)random() % 50000 : 5000000, wait;
		uint64_t rang = ring(&alarm, kernels, &wait);

		if (i < BEFORE)
			continue;
		if (i % 50)
			late += rang;
		waited += wait;
		waits += wait > 0;
	}
	/* The kernel's mean is 65 us. */
	assert_in_range(late / N, 0, 20000);
	assert_in_range(waited / N, 1, 2500);
	assert_in_range(waits, 1, N / 3);
}

/* After the kernel was very late, the alarm unlearns this: it soon waits awake for a short time
 * only. */
static void test_waiting_awake_is_bounded_after_a_very_late_kernel(void **state)
{
	struct alarm alarm = start(CLOCK_OF_MONOTONIC);
	uint64_t waited = 0, rings = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		ring(&alarm, UINT64_C(1000000000), NULL);
	do {
		ring(&alarm, 5000, &waited);
		assert_true(waited <= (ALARM_LEAD_MAX + 1) * 1000);
		rings++;
	} while (waited > 10000);
	assert_in_range(rings, 2, 12);
}

/* The lead is learned from expiries that woke the loop. If two timerfds expire together, only the
 * first counts. An expiry that an awake loop notices does not count. */
static void test_lead_is_learnt_from_sleep_only(void **state)
{
	struct alarm alarm = start_used(CLOCK_OF_MONOTONIC);
	struct now now;
	int64_t lead;

	(void)state;
	lead = alarm.lead;
	for (int i = 0; i < 300; i++) {
		kernel.asked_beside = kernel.now / 1000 + 1000 + 50;
		arm(&alarm, kernel.now / 1000 + 1000);
		kernel.now = (alarm.set_to[CLOCK_OF_MONOTONIC] + 60) * 1000;
		now = alarm_now();
		assert_true(alarm_rang(&alarm, CLOCK_OF_MONOTONIC, &now));
		assert_true(alarm_rang(&alarm, CLOCK_OF_REALTIME_ALARM, &now));
		alarm_learn(&alarm, true);
	}
	assert_in_range(alarm.lead, lead - ALARM_LEAD_UNIT, lead + ALARM_LEAD_UNIT);
	lead = alarm.lead;
	assert_true(alarm_rang(&alarm, CLOCK_OF_MONOTONIC, &now));
	alarm_learn(&alarm, false);
	assert_true(alarm.lead == lead);
	/* It does not count later either. A turn without an expiry does not count. */
	alarm_learn(&alarm, true);
	assert_true(alarm.lead == lead);
}

/* A process without CAP_WAKE_ALARM may have adopted timers that wake the system. They still
 * ring. */
static void test_runs_without_alarm_clocks(void **state)
{
	static const int plain[ARENA_CLOCKS] = {
		CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME, CLOCK_BOOTTIME, CLOCK_REALTIME};
	struct alarm alarm = start(CLOCK_OF_BOOTTIME_ALARM);

	(void)state;
	assert_true(alarm_can_wake_system(&alarm));
	kernel.count = 0;
	kernel.refuses = EPERM;
	assert_int_equal(alarm_init(&alarm, 3, 0), 0);
	assert_false(alarm_can_wake_system(&alarm));
	assert_memory_equal(kernel.created, plain, sizeof(plain));
	ring(&alarm, 60000, NULL);

	kernel.count = 0;
	kernel.refuses = ENOMEM;
	assert_int_equal(alarm_init(&alarm, 3, 0), -ENOMEM);
	alarm_close(&alarm);
}

static void test_near_due_is_waited_for_awake(void **state)
{
	struct alarm alarm = start_used(CLOCK_OF_MONOTONIC);
	unsigned int sets;
	struct now now;

	(void)state;
	now = alarm_now();
	kernel.asked = timers_now(&now, kernel.clock) + 30;
	assert_true(alarm_near(&alarm, asked(), &now));
	sets = kernel.sets;
	assert_int_equal(alarm_arm(&alarm, asked(), &now), 1);
	assert_int_equal(kernel.sets, sets);
	assert_in_range(wait_near(&alarm, &now), 29000, 31000);
	assert_true(timers_now(&now, kernel.clock) == kernel.asked);

	/* A deadline further away than the lead is not near, whatever has just expired. */
	now = alarm_now();
	kernel.asked = timers_now(&now, kernel.clock) + lead_us(&alarm);
	assert_true(alarm_near(&alarm, asked(), &now));
	kernel.asked++;
	assert_false(alarm_near(&alarm, asked(), &now));
	kernel.asked = TIMERS_FOREVER;
	assert_false(alarm_near(&alarm, asked(), &now));

	/* Another clock's deadline has come. It rings at once. */
	kernel.asked = timers_now(&now, kernel.clock) + 30;
	kernel.asked_beside = timers_now(&now, CLOCK_OF_REALTIME_ALARM);
	assert_false(alarm_near(&alarm, asked(), &now));
	kernel.asked_beside++;
	assert_true(alarm_near(&alarm, asked(), &now));
}

static void test_dues_at_the_ends_of_the_clock_are_set(void **state)
{
	struct alarm alarm = start_used(CLOCK_OF_MONOTONIC);

	(void)state;
	arm(&alarm, 0);
	assert_true(kernel.set == 1);
	arm(&alarm, 1);
	assert_true(kernel.set == 1000);
	arm(&alarm, TIMERS_FOREVER - 1);
	assert_true(kernel.set == (TIMERS_FOREVER - 1 - lead_us(&alarm)) * 1000);
	arm(&alarm, TIMERS_FOREVER);
	assert_true(kernel.set == 0);
}

static void test_timerfd_is_set_only_when_the_deadline_changes(void **state)
{
	struct alarm alarm = start(CLOCK_OF_MONOTONIC);

	(void)state;
	arm(&alarm, TIMERS_FOREVER);
	assert_int_equal(kernel.sets, 0);
	arm(&alarm, 2 * HOUR);
	arm(&alarm, 2 * HOUR);
	assert_int_equal(kernel.sets, 1);
	arm(&alarm, TIMERS_FOREVER);
	assert_int_equal(kernel.sets, 2);
	assert_true(kernel.set == 0);
	/* After an expiry, the timerfd must be set again even for the same instant. */
	ring(&alarm, 0, NULL);
	assert_int_equal(kernel.sets, 3);
	arm(&alarm, kernel.asked);
	assert_int_equal(kernel.sets, 4);
	arm(&alarm, kernel.asked);
	assert_int_equal(kernel.sets, 4);
}

static void test_a_set_wall_clock_sets_the_timerfd_again(void **state)
{
	struct alarm alarm = start_used(CLOCK_OF_REALTIME);
	struct now now;
	uint64_t at;

	(void)state;
	at = kernel.now / 1000 + 1000;
	arm(&alarm, at);
	kernel.cancelled = true;
	now = alarm_now();
	assert_false(alarm_take_clock_set(&alarm));
	assert_false(alarm_rang(&alarm, CLOCK_OF_REALTIME, &now));
	assert_true(alarm_take_clock_set(&alarm));
	assert_false(alarm_take_clock_set(&alarm));
	kernel.cancelled = false;
	arm(&alarm, at);
	assert_true(kernel.set == at * 1000 - lead_us(&alarm) * 1000);

	/* The clock is set back by an hour between the expiry and the read, or while the alarm
	 * waits awake. */
	for (unsigned int reads = 1; reads < 60; reads++) {
		unsigned int before;

		at = kernel.now / 1000 + 1000;
		arm(&alarm, at);
		kernel.now = kernel.set + 40000;
		kernel.back_after = kernel.reads + reads;
		kernel.back_by = UINT64_C(3600000000000);
		now = alarm_now();
		alarm_rang(&alarm, CLOCK_OF_REALTIME, &now);
		wait_near(&alarm, &now);
		before = kernel.sets;
		arm(&alarm, at);
		assert_int_equal(kernel.sets, before + 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_late_kernel_is_made_up_for),
		cmocka_unit_test(test_alarm_seldom_waits_awake),
		cmocka_unit_test(test_waiting_awake_is_bounded_after_a_very_late_kernel),
		cmocka_unit_test(test_lead_is_learnt_from_sleep_only),
		cmocka_unit_test(test_runs_without_alarm_clocks),
		cmocka_unit_test(test_near_due_is_waited_for_awake),
		cmocka_unit_test(test_dues_at_the_ends_of_the_clock_are_set),
		cmocka_unit_test(test_timerfd_is_set_only_when_the_deadline_changes),
		cmocka_unit_test(test_a_set_wall_clock_sets_the_timerfd_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
