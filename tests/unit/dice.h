/* SPDX-License-Identifier: MIT */
/*
 * Random numbers that can be repeated. Each test prints its seed, and TIMERD_TEST_SEED=N runs it
 * with seed N.
 */
#pragma once

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct dice {
	uint64_t state;
};

/* The dice of a test; the printed line names the test. */
static inline struct dice dice_new(const char *test, uint64_t seed)
{
	const char *wanted = getenv("TIMERD_TEST_SEED");

	if (wanted)
		seed = strtoull(wanted, NULL, 0);
	printf("%s: seed %" PRIu64 "\n", test, seed);
	return (struct dice){seed};
}

/* Any number: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). */
static inline uint64_t dice_any(struct dice *dice)
{
	uint64_t z = dice->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* A number below n, which is not 0. */
static inline uint64_t dice_below(struct dice *dice, uint64_t n)
{
	return dice_any(dice) % n;
}

/* True once in n times. */
static inline bool dice_once_in(struct dice *dice, uint64_t n)
{
	return dice_below(dice, n) == 0;
}
