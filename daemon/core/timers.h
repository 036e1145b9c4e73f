/* SPDX-License-Identifier: MIT */
/*
 * Timers in their trees: what a due, a slack, a period and an id mean.
 *
 * Each session has a tree a clock, ordered by (due, sequence). The sequence is that of registration
 * and unique for the life of the arena, so ties cannot occur, and equal dues fire in the order in
 * which they were registered. A timer's `latest` is due + slack; an instant that would pass the end
 * of time is TIMERS_FOREVER, and no alarm is ever set for it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"

#define TIMERS_FOREVER UINT64_MAX

/* One reading of the clocks, microseconds rounded down. Only the shell makes one. */
struct now {
	uint64_t at[PROTO_CLOCKS];
};

/* The clock that an alarm of that clock goes by. */
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

/* What time it is there. */
static inline uint64_t timers_now(const struct now *now, unsigned int clock)
{
	return now->at[timers_base(clock)];
}

/* A timer's tag: state, clock, whether arena::labels has its label, and whether its due + slack had
 * passed when it was registered or re-armed, which no check word covers. */
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

/* The inverse: the slack of a timer, TIMERS_FOREVER where latest is. */
uint64_t timers_slack(const struct arena *arena, uint32_t timer);

/* The timer's public name; never 0. */
#define TIMERS_SEQUENCE_MASK ((UINT64_C(1) << (PROTO_ID_BITS - PROTO_ID_INDEX_BITS)) - 1)

static inline uint64_t timers_id(const struct arena *arena, uint32_t timer)
{
	return (arena->timers[timer].sequence & TIMERS_SEQUENCE_MASK) << PROTO_ID_INDEX_BITS |
		timer;
}

/* The place that an id, which may be any number, speaks of; 0: there is no such place. O(1). */
static inline uint32_t timers_index(const struct arena *arena, uint64_t id)
{
	uint32_t timer = (uint32_t)(id & ARENA_TIMERS_MAX);

	return timer > arena->header->timers_top ? 0 : timer;
}

/*
 * The live timer that has this id; 0: there is none. Any number may be asked for. O(1).
 * An id is the low bits of the sequence above the index, so it names no other timer until exactly
 * 2^31 (or a multiple of it) registrations later one falls on the very same place.
 */
uint32_t timers_by_id(const struct arena *arena, uint64_t id);

/* Whether the timer is a live one: its state says so, and its session has not closed since. */
static inline bool timers_alive(const struct arena *arena, uint32_t timer)
{
	const struct timer *t = &arena->timers[timer];
	const struct session *session = &arena->sessions[t->session];

	return timers_state(arena, timer) != TIMER_FREE && session->state != SESSION_FREE &&
		t->sequence > session->born;
}

/* Puts a filled timer into the tree. O(log n); O(1) amortised where it comes first or last in
 * it. */
void timers_enroll(struct arena *arena, struct rbtree *tree, uint32_t timer);

/* Takes a timer out of the tree. O(log n). */
void timers_withdraw(struct arena *arena, struct rbtree *tree, uint32_t timer);

/* Takes the first timers out of the tree, up to and with this one. O(log n), however many they
 * are. */
void timers_withdraw_until(struct arena *arena, struct rbtree *tree, uint32_t timer);

/* How many further periods have passed at that time; 0 without a period. */
uint64_t timers_overruns(const struct arena *arena, uint32_t timer, uint64_t at);

/* The due after the wake that is sent at that time; TIMERS_FOREVER: there is none. */
uint64_t timers_next_due(const struct arena *arena, uint32_t timer, uint64_t at);

/* Whether the wake that is to be sent now is the timer's last: it has no period, its count is used
 * up, or its next due passes the end of time. */
bool timers_last(const struct arena *arena, uint32_t timer, uint64_t at);
