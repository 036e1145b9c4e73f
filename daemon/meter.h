/* SPDX-License-Identifier: MIT */
/*
 * What a user's sockets cost, and which user is cut off for it.
 *
 * The owner of a socket can make our calls on it slow: a socket filter runs within our send(), and
 * each entry of each epoll set that watches the socket is visited within our send(), recv() and
 * close(). Records and bytes do not tell of that, so time is measured.
 *
 * Measuring costs about as much as a small call does. So in general only the length of a slice is
 * looked at, by a clock that needs no system call. A slice that took too long has all calls that
 * touch a client's socket measured for a second, by the processor time of this thread: what others
 * run meanwhile does not count. A user with METER_CALLS slow calls within METER_WINDOW_US is cut
 * off for METER_OUT_US. One slow call never suffices, for a hypervisor may have stolen that time.
 * Nor do slow calls suffice that are a small part of what the user's calls take in all: among
 * very many calls, stolen time hits some. Root is never cut off.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A send() of 64 KB takes 20 us. 2 ms are a hundred times that, and two thirds of the 3 ms that a
 * user's wake may be late at most in a flood of others. */
#define METER_SLOW_US	UINT64_C(2000)
#define METER_CALLS	3
#define METER_WINDOW_US UINT64_C(1000000)
#define METER_SHARE	8 /* slow calls are at least an eighth of the time of all calls */

/* As long as the log's allowance: so each time has its line. */
#define METER_OUT_US UINT64_C(10000000)

/* Users that are looked at, at the same time. The one that was looked at first makes room. */
#define METER_USERS 64

struct meter_user {
	uint32_t uid;
	uint64_t since;		       /* 0: a free place */
	uint64_t slow_us, all_us;      /* what calls took since then */
	uint64_t slow_at[METER_CALLS]; /* when the last slow calls were, the latest first */
	uint64_t out_until;	       /* 0: not cut off */
};

struct meter {
	uint64_t now;	     /* when the slice began, monotonic microseconds */
	uint64_t fine_until; /* calls are measured until then */
	uint64_t began; /* processor time of this thread when the call began; 0: not measured */
	struct meter_user users[METER_USERS];
};

/* A slice begins, ends. now: monotonic microseconds, not 0. */
void meter_slice_begin(struct meter *meter, uint64_t now);
void meter_slice_end(struct meter *meter, uint64_t now);

/* The monotonic clock, microseconds: without a system call. */
uint64_t meter_clock(void);

/* Before and after a call that touches a socket of that user. Return: whether the user is to be cut
 * off from now on. */
void meter_begin(struct meter *meter);
bool meter_end(struct meter *meter, uint32_t uid);

/* Takes a call into account that took so many microseconds. Return: as meter_end(). */
bool meter_charge(struct meter *meter, uint32_t uid, uint64_t took);

/* Whether the user is cut off. */
bool meter_is_out(const struct meter *meter, uint32_t uid);
