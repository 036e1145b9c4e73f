/* SPDX-License-Identifier: MIT */
/* A fresh timerqd over what a crash has left. */
#pragma once

#include "disk.h"

/* The queues a, b and c are compared; they belong to the user who runs the test. */

/* Timers, waiting and parked. */
struct fresh_sum {
	uint64_t count, sum;
};

static inline void fresh_add(struct fresh_sum *s, uint64_t id, uint64_t due, uint64_t size)
{
	uint64_t value = id * UINT64_C(0x9e3779b97f4a7c15) ^ due * UINT64_C(0xff51afd7ed558ccd);

	s->count++;
	s->sum += (value ^ value >> 29) * (size * 2 + 1);
}

/* Starts timerqd over the image's files, and compares what it lists with what they hold. Return:
 * what is wrong; NULL: nothing. */
const char *fresh_check(
	const char *timerqd, const struct disk *image, const struct fresh_sum *expected);
/* Removes the folder that it used. */
void fresh_clean(void);
