/* SPDX-License-Identifier: MIT */
/*
 * Measures what the sockets of each user cost, and decides which user is cut off.
 *
 * The owner of a socket can make our calls on it slow. A socket filter runs within our send(). Each
 * epoll set that watches the socket costs time within our send(), recv() and close(). The number of
 * records and bytes does not show this cost, so time is measured.
 *
 * Measuring a call costs about as much as a small call. So by default only the length of each slice
 * is measured, with a clock that needs no system call. After a slice that took too long, all calls
 * on clients' sockets are measured for a second. They are measured by the processor time of this
 * thread, so the time of other processes does not count. A user with METER_CALLS slow calls within
 * METER_WINDOW_US is cut off for METER_OUT_US. One slow call never suffices, because a hypervisor
 * may have stolen that time. Slow calls also do not suffice if they are a small part of the time of
 * all calls of that user: among very many calls, stolen time hits some. Root is never cut off.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A send() of 64 KB takes 20 us. 2 ms are a hundred times that, and two thirds of the 3 ms by which
 * a flood of other users may delay a wake. */
#define METER_SLOW_US	UINT64_C(2000)
#define METER_CALLS	3
#define METER_WINDOW_US UINT64_C(1000000)
#define METER_SHARE	8 /* slow calls take at least an eighth of the time of all calls */

/* As long as the log's window, so each cut-off gets its line in the log. */
#define METER_OUT_US UINT64_C(10000000)

/* The message for the log. meter.c checks its figures. */
#define METER_CUT_OFF "cut off a user for 10 s: 3 calls on its sockets took more than 2 ms each"

/* How many users are measured at the same time. A new user replaces the one measured for
 * longest. */
#define METER_USERS 64

struct meter_user {
	uint32_t uid;
	uint64_t since;		       /* start of the measurement; 0: a free entry */
	uint64_t slow_us, all_us;      /* time of calls since then */
	uint64_t slow_at[METER_CALLS]; /* times of the last slow calls, the latest first */
	uint64_t out_until;	       /* 0: not cut off */
};

struct meter {
	uint64_t now;		/* when the slice began, monotonic microseconds */
	uint64_t measure_until; /* each call is measured until then */
	uint64_t call_began;	/* processor time of this thread; 0: the call is not measured */
	struct meter_user users[METER_USERS];
};

/* Before and after each slice. now: monotonic microseconds, not 0. */
void meter_slice_begin(struct meter *meter, uint64_t now);
void meter_slice_end(struct meter *meter, uint64_t now);

/* The monotonic clock in microseconds. Needs no system call. */
uint64_t meter_clock(void);

/* Before and after a call on a socket of that user. Return: whether the user is cut off from now
 * on. */
void meter_begin(struct meter *meter);
bool meter_end(struct meter *meter, uint32_t uid);

/* Charges the user for a call that took `took` microseconds. Return: as meter_end(). */
bool meter_charge(struct meter *meter, uint32_t uid, uint64_t took);

/* Whether the user is cut off. */
bool meter_is_out(const struct meter *meter, uint32_t uid);
