/* SPDX-License-Identifier: MIT */
/*
 * Timers: their order, their ids, and the arithmetic of due, slack and period.
 *
 * Each session has one tree of timers for each clock, ordered by (due, sequence). The sequence
 * counts registrations, so it is unique in an arena, and equal dues fire in the order of
 * registration.
 *
 * A timer's `latest` is due + slack. A sum that overflows becomes TIMERS_FOREVER, for which no
 * alarm is ever set.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"

#define TIMERS_FOREVER UINT64_MAX

/* One reading of the clocks, in microseconds rounded down. Only the shell reads clocks. */
struct now {
	uint64_t at[PROTO_CLOCKS];
};

/* The clock of the wire that a clock of the arena counts. */
static inline unsigned int timers_base(unsigned int clock)
{
	static const uint8_t base[ARENA_CLOCKS] = {
		[CLOCK_OF_MONOTONIC] = PROTO_CLOCK_MONOTONIC,
		[CLOCK_OF_BOOTTIME] = PROTO_CLOCK_BOOTTIME,
		[CLOCK_OF_REALTIME] = PROTO_CLOCK_REALTIME,
		[CLOCK_OF_BOOTTIME_ALARM] = PROTO_CLOCK_BOOTTIME,
		[CLOCK_OF_REALTIME_ALARM] = PROTO_CLOCK_REALTIME,
	};

	return base[clock];
}

/* The current time on a clock of the arena. */
static inline uint64_t timers_now(const struct now *now, unsigned int clock)
{
	return now->at[timers_base(clock)];
}

/* The bits of a timer's tag: the state, the clock, whether arena::labels has its label, and whether
 * due + slack had already passed when it was registered or re-armed. No check word covers the last
 * one. */
#define TIMERS_TAG_STATES      UINT32_C(0xff)
#define TIMERS_TAG_CLOCK_SHIFT 8
#define TIMERS_TAG_LABELLED    (UINT32_C(1) << 16)
#define TIMERS_TAG_PAST	       (UINT32_C(1) << 17)

static inline enum timer_state timers_state(const struct arena *arena, uint32_t timer)
{
	return (enum timer_state)(arena->nodes[timer].tag & TIMERS_TAG_STATES);
}

static inline unsigned int timers_clock(const struct arena *arena, uint32_t timer)
{
	return arena->nodes[timer].tag >> TIMERS_TAG_CLOCK_SHIFT & 0xff;
}

static inline bool timers_labelled(const struct arena *arena, uint32_t timer)
{
	return arena->nodes[timer].tag & TIMERS_TAG_LABELLED;
}

/* due + slack, or TIMERS_FOREVER. */
static inline uint64_t timers_latest(uint64_t due, uint64_t slack)
{
	uint64_t latest;

	return __builtin_add_overflow(due, slack, &latest) ? TIMERS_FOREVER : latest;
}

/* The slack of a timer: latest - due, or TIMERS_FOREVER if latest is TIMERS_FOREVER. */
uint64_t timers_slack(const struct arena *arena, uint32_t timer);

/*
 * The timer's public id, never 0: the low bits of the sequence above the index. An id names another
 * timer only if that one was registered in the same slot exactly 2^31 registrations later, or a
 * multiple of that.
 */
#define TIMERS_SEQUENCE_MASK ((UINT64_C(1) << (PROTO_ID_BITS - PROTO_ID_INDEX_BITS)) - 1)

static inline uint64_t timers_id(const struct arena *arena, uint32_t timer)
{
	return (arena->timers[timer].sequence & TIMERS_SEQUENCE_MASK) << PROTO_ID_INDEX_BITS |
		timer;
}

/* The slot in an id, which may be any number; 0: this slot was never used. O(1). */
static inline uint32_t timers_index(const struct arena *arena, uint64_t id)
{
	uint32_t timer = (uint32_t)(id & ARENA_TIMERS_MAX);

	return timer > arena->header->timers_top ? 0 : timer;
}

/* Whether the timer is not free and its session is still open. The slot of a closed session can
 * already have a new session, which was born later. */
static inline bool timers_alive(const struct arena *arena, uint32_t timer)
{
	const struct timer *t = &arena->timers[timer];
	const struct session *session = &arena->sessions[t->session];

	return timers_state(arena, timer) != TIMER_FREE && session->state != SESSION_FREE &&
		t->sequence > session->born;
}

/* Puts a published timer into the tree. O(log n); O(1) amortised at either end of the tree. */
void timers_enroll(struct arena *arena, struct rbtree *tree, uint32_t timer);

/* Takes a timer out of the tree. O(log n). */
void timers_withdraw(struct arena *arena, struct rbtree *tree, uint32_t timer);

/* Takes this timer and all timers before it out of the tree. O(log n), for any number of them. */
void timers_withdraw_until(struct arena *arena, struct rbtree *tree, uint32_t timer);

/* The number of periods from the timer's due to the time `at`; 0 without a period. */
uint64_t timers_overruns(const struct arena *arena, uint32_t timer, uint64_t at);

/* The next due after a wake at the time `at`; TIMERS_FOREVER: there is none. */
uint64_t timers_next_due(const struct arena *arena, uint32_t timer, uint64_t at);

/* Whether a wake at the time `at` is the timer's last: the timer has no period, its count is used
 * up, or its next due would overflow. */
bool timers_last(const struct arena *arena, uint32_t timer, uint64_t at);
