/* SPDX-License-Identifier: MIT */
/*
 * Check words: adoption uses them to find damaged and half-written records of the arena.
 *
 * A check word does not detect forgery: the memory safety of adoption depends on bounds checks
 * alone. The set of fields that a check word covers is part of the arena's layout.
 */
#pragma once

#include <string.h>

#include "timers.h"

/* The multipliers: successive values of splitmix64 (Steele, Lea and Flood, 2014) from 0, made
 * odd. */
static const uint64_t check_multipliers[] = {
	UINT64_C(0xe220a8397b1dcdaf),
	UINT64_C(0x6e789e6aa1b965f5),
	UINT64_C(0x06c45d188009454f),
	UINT64_C(0xf88bb8a8724c81ed),
	UINT64_C(0x1b39896a51a8749b),
	UINT64_C(0x53cb9f0c747ea2eb),
	UINT64_C(0x2c829abe1f4532e1),
	UINT64_C(0xc584133ac916ab3d),
	UINT64_C(0x3ee5789041c98ac3),
	UINT64_C(0xf3b8488c368cb0a7),
	UINT64_C(0x657eecdd3cb13d09),
};

/*
 * The check word of a timer, as if it had the values of `change`. It covers the whole struct timer,
 * due, latest, clock and label. O(1).
 *
 * The hash is multilinear: the upper half of a sum of products with odd constants (Lemire and
 * Kaser, Strongly Universal String Hashing is Fast, 2014).
 */
static inline __attribute__((always_inline)) uint32_t check_timer(
	const struct arena *arena, uint32_t timer, const struct arena_intent *change)
{
	const struct timer *t = &arena->timers[timer];
	uint64_t kind = (arena->nodes[timer].tag & ~TIMERS_TAG_PAST) >> TIMERS_TAG_CLOCK_SHIFT;
	uint64_t sum = (uint64_t)timer << 32;

	sum += check_multipliers[0] * t->sequence + check_multipliers[1] * t->cookie;
	sum += check_multipliers[2] * ((uint64_t)t->session << 32 | change->count);
	sum += check_multipliers[3] * (kind << 32 | change->fired);
	sum += check_multipliers[4] * change->every + check_multipliers[5] * change->due +
		check_multipliers[6] * change->latest;
	sum += check_multipliers[7] * timer;
	if (timers_labelled(arena, timer))
		for (unsigned int i = 0; i < PROTO_LABEL_MAX / 8; i++) {
			uint64_t word;

			memcpy(&word, arena->labels[timer] + i * 8, 8);
			sum += check_multipliers[8 + i] * word;
		}
	return (uint32_t)(sum >> 32);
}

/* The check word of the fields of a session that never change: uid, pid, born, socket and comm. */
uint32_t check_session(const struct arena *arena, uint32_t session);

/* The check word of a session's sent_at; never 0. */
uint32_t check_sending(const struct session *s);

/* The check word of the packet that is being applied: session, serial and sequence. */
uint32_t check_applying(const struct arena_applying *applying, uint32_t session);
