/* SPDX-License-Identifier: MIT */
/*
 * A measuring clock measures lateness. Nobody can set it. For most timers it is the monotonic
 * clock, which stops in suspend; for timers that wake the system it is the boottime clock, which
 * does not. Each clock is some time ahead of its measuring clock. If this distance jumps, the wall
 * clock was set or the machine was suspended.
 */
#include "lateness.h"

/* A smaller change of the distance is not a jump: the clocks are read one after another, so the
 * distance varies a little. */
#define JUMP_US 1000

/* A session's stamp while its client does not read. */
#define BLOCKED UINT64_MAX

/* The measuring clock of a clock. */
static unsigned int measure(unsigned int clock)
{
	return clock < PROTO_CLOCKS ? PROTO_CLOCK_MONOTONIC : PROTO_CLOCK_BOOTTIME;
}

void lateness_detect_jumps(struct arena *arena, const struct now *now)
{
	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
		struct arena_jump *jump = &arena->header->jumps[clock];
		uint64_t at = now->at[measure(clock)];
		/* Wraps below 0 if a wall clock is behind. */
		uint64_t ahead = timers_now(now, clock) - at;

		if (ahead - jump->after + JUMP_US <= 2 * JUMP_US)
			continue;
		*jump = (struct arena_jump){at, jump->at, jump->after, ahead};
	}
}

/* Converts an instant of a clock to its measuring clock. ahead: how far the clock is ahead. Return:
 * 0 if the instant is before the start of the measuring clock. */
static uint64_t measured(uint64_t instant, uint64_t ahead)
{
	if (ahead > INT64_MAX)
		return timers_latest(instant, -ahead);
	return instant > ahead ? instant - ahead : 0;
}

/* The time on the measuring clock at which the clock reached an instant. Only the last two jumps
 * are known, so there are four cases: after the last jump, by the last jump, between the two jumps,
 * and not later than the first of them. */
static uint64_t reached(const struct arena_jump *jump, uint64_t instant)
{
	uint64_t after = measured(instant, jump->after), before;

	if (after >= jump->at)
		return after;
	before = measured(instant, jump->before);
	if (before >= jump->at)
		return jump->at;
	return before > jump->previous ? before : jump->previous;
}

static void stamp(uint64_t stamps[static ARENA_MEASURES], const struct now *now)
{
	for (unsigned int clock = 0; clock < ARENA_MEASURES; clock++)
		stamps[clock] = now->at[clock];
}

void lateness_registered_past(struct arena *arena, uint32_t session, const struct now *now)
{
	stamp(arena->sessions[session].past_at, now);
}

void lateness_block(struct arena *arena, uint32_t session)
{
	for (unsigned int clock = 0; clock < ARENA_MEASURES; clock++)
		arena->sessions[session].reads_from[clock] = BLOCKED;
}

void lateness_unblock(struct arena *arena, uint32_t session, const struct now *now)
{
	stamp(arena->sessions[session].reads_from, now);
}

void lateness_adopt(struct arena *arena, const struct now *now)
{
	for (uint32_t i = ARENA_OWN_SESSION + 1; i <= arena->header->sessions_top; i++)
		if (arena->sessions[i].reads_from[0] == BLOCKED ||
			!arena->sessions[i].reads_from[0])
			lateness_unblock(arena, i, now);
	lateness_detect_jumps(arena, now);
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t lateness_of(const struct arena *arena, uint32_t timer, const struct now *now)
{
	const struct rbnode *node = &arena->nodes[timer];
	const struct session *s = &arena->sessions[arena->timers[timer].session];
	unsigned int clock = timers_clock(arena, timer), by = measure(clock);
	uint64_t since = later(
		reached(&arena->header->jumps[clock], node->latest), s->reads_from[by]);

	if (node->latest == TIMERS_FOREVER)
		return 0;
	if (node->tag & TIMERS_TAG_PAST)
		since = later(since, s->past_at[by]);
	return now->at[by] > since ? now->at[by] - since : 0;
}
