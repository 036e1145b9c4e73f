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

static inline void timers_set_state(
	const struct arena *arena, uint32_t timer, enum timer_state state)
{
	uint32_t *tag = &arena->nodes[timer].tag;

	ARENA_PUBLISH(*tag, (*tag & ~TIMERS_TAG_STATES) | (uint32_t)state);
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
uint32_t timers_find(const struct arena *arena, uint64_t id);

/* Whether the timer is a live one: its state says so, and its session has not closed since. */
static inline bool timers_alive(const struct arena *arena, uint32_t timer)
{
	const struct timer *t = &arena->timers[timer];
	const struct session *session = &arena->sessions[t->session];

	return timers_state(arena, timer) != TIMER_FREE && session->state != SESSION_FREE &&
		t->sequence > session->born;
}

/*
 * The check word of a timer, as it would be with what the change says. O(1). A sum of products with
 * odd constants, of which the upper half is kept (multilinear hashing: Lemire and Kaser, Strongly
 * Universal String Hashing is Fast, 2014). It finds damage and half-written records, not forgery;
 * memory safety rests on checks of bounds alone.
 */
uint32_t timers_check(const struct arena *arena, uint32_t timer, const struct arena_intent *change);

/* What a timer is now, as a change to nothing else. */
struct arena_intent timers_values(const struct arena *arena, uint32_t timer);

/* Makes a filled record, whose tag is TIMER_FREE, a live timer's: its check word, then the tag. kind:
 * of TIMERS_TAG_LABELLED and TIMERS_TAG_PAST. */
void timers_publish(struct arena *arena, uint32_t timer, unsigned int clock, uint32_t kind);

/* Changes due, latest, every, count and fired of a timer that is in no tree, all or nothing. */
void timers_change(struct arena *arena, uint32_t timer, const struct arena_intent *change);

/* Does again the change that a kill may have interrupted. */
void timers_redo(struct arena *arena);

/* The same for a change by the packet that is being applied: notes first what the timer was. */
void timers_rearm(struct arena *arena, uint32_t timer, const struct arena_intent *change);

/* Makes the timers what they were before that packet, which was not committed. */
void timers_take_back(struct arena *arena);

/*
 * Finds the places of several new timers with these dues, and changes nothing. One descent of a
 * large tree waits for memory at each level; this many wait for it together. n is at most
 * TIMERS_ABREAST. A place is a node above and a side, put together as a node's child and its colour
 * are; new means that a timer comes after all of its own due. Some are left to be looked for by who
 * enrolls: those near the end of a tree, where a search is short, and those that are somebody
 * else's as well. O(log n) each.
 */
#define TIMERS_ABREAST 16
void timers_foresee(const struct arena *arena, const struct rbtree *const *trees,
	const uint64_t *dues, unsigned int n, uint32_t *ret_places);

/* Puts a filled timer into its tree, at the place that was found for it: after those of the places
 * before, and with nothing else done to any tree since but timers_run_link(), which fills no place
 * that timers_foresee() finds. O(1) amortised, where no other went to the same place. */
void timers_enroll_foreseen(
	struct arena *arena, struct rbtree *tree, uint32_t timer, uint32_t place);

/*
 * New timers that come after all of their tree, nearly in order, and are not linked yet: the usual
 * case, as timeouts of one and the same length make it. To be linked before anything else is done
 * to the tree but timers_enroll_foreseen().
 */
struct timers_run {
	struct rbtree *tree;
	uint32_t n;
	uint64_t settled; /* the greatest key of those that came long before: none is due sooner */
	uint64_t keys[PROTO_RECORDS_MAX(struct proto_register)];
	uint32_t timers[PROTO_RECORDS_MAX(struct proto_register)];
};

/* Takes a filled timer into the run. Return: false if it is not for one, or not for this one, which
 * is then linked if it has to be. O(1). */
bool timers_run_take(
	struct arena *arena, struct timers_run *run, struct rbtree *tree, uint32_t timer);

/* Sorts and links all that the run has taken. O(1) each, and O(log n) for each doubling of the
 * run. */
void timers_run_link(struct arena *arena, struct timers_run *run);

/* Has a timer's records brought into the cache. */
void timers_fetch(const struct arena *arena, uint32_t timer);

/* Has what timers_withdraw() of these indexes looks at first brought into the cache. n is at most
 * TIMERS_WITHDRAWN_ABREAST. */
#define TIMERS_WITHDRAWN_ABREAST 32
void timers_foresee_withdrawal(const struct arena *arena, const uint32_t *timers, unsigned int n);

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

/* Whether the wake that is to be sent now is the timer's last: it has no period, its count is used
 * up, or its next due passes the end of time. */
bool timers_last(const struct arena *arena, uint32_t timer, uint64_t at);

/*
 * Counts one wake as sent at that time and moves a timer, which is in no tree, to its next due: the
 * first after that time that is a whole number of periods after the due it had. Not for a last
 * wake.
 */
void timers_advance(struct arena *arena, uint32_t timer, uint64_t at);
