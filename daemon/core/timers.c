/* SPDX-License-Identifier: MIT */
/*
 * The tree's order, and the arithmetic of time. Sums with what a client gave go through
 * __builtin_add_overflow and end in TIMERS_FOREVER.
 */
#include "timers.h"

#define TAG_CLOCK_SHIFT 8
#define TAG_LABELLED	(UINT32_C(1) << 16)

#define SEQUENCE_BITS (PROTO_ID_BITS - PROTO_ID_INDEX_BITS)
#define SEQUENCE_MASK ((UINT64_C(1) << SEQUENCE_BITS) - 1)

uint64_t timers_now(const struct now *now, unsigned int clock)
{
	static const uint8_t base[ARENA_CLOCKS] = {
		[CLOCK_OF_MONOTONIC] = PROTO_CLOCK_MONOTONIC,
		[CLOCK_OF_BOOTTIME] = PROTO_CLOCK_BOOTTIME,
		[CLOCK_OF_REALTIME] = PROTO_CLOCK_REALTIME,
		[CLOCK_OF_BOOTTIME_ALARM] = PROTO_CLOCK_BOOTTIME,
		[CLOCK_OF_REALTIME_ALARM] = PROTO_CLOCK_REALTIME,
	};

	return now->at[base[clock]];
}

uint32_t timers_tag(enum timer_state state, unsigned int clock, bool labelled)
{
	return (uint32_t)state | clock << TAG_CLOCK_SHIFT | (labelled ? TAG_LABELLED : 0);
}

enum timer_state timers_state(const struct arena *arena, uint32_t timer)
{
	return (enum timer_state)(arena->nodes[timer].tag & 0xff);
}

unsigned int timers_clock(const struct arena *arena, uint32_t timer)
{
	return arena->nodes[timer].tag >> TAG_CLOCK_SHIFT & 0xff;
}

bool timers_labelled(const struct arena *arena, uint32_t timer)
{
	return arena->nodes[timer].tag & TAG_LABELLED;
}

uint64_t timers_latest(uint64_t due, uint64_t slack)
{
	uint64_t latest;

	return __builtin_add_overflow(due, slack, &latest) ? TIMERS_FOREVER : latest;
}

uint64_t timers_slack(const struct arena *arena, uint32_t timer)
{
	const struct rbnode *node = &arena->nodes[timer];

	return node->latest == TIMERS_FOREVER ? TIMERS_FOREVER : node->latest - node->due;
}

uint64_t timers_id(const struct arena *arena, uint32_t timer)
{
	return (arena->timers[timer].sequence & SEQUENCE_MASK) << PROTO_ID_INDEX_BITS | timer;
}

bool timers_alive(const struct arena *arena, uint32_t timer)
{
	const struct timer *t = &arena->timers[timer];
	const struct session *session = &arena->sessions[t->session];

	return timers_state(arena, timer) != TIMER_FREE && session->state != SESSION_FREE &&
		t->sequence > session->born;
}

uint32_t timers_find(const struct arena *arena, uint64_t id)
{
	uint32_t timer = (uint32_t)(id & ARENA_TIMERS_MAX);

	if (timer == 0 || timer > arena->header->timers_top || timers_id(arena, timer) != id)
		return 0;
	return timers_alive(arena, timer) ? timer : 0;
}

/* Whether timer a comes before timer b. The cold half is looked at for equal dues only. */
static bool before(const struct arena *arena, uint32_t a, uint32_t b)
{
	uint64_t due_a = arena->nodes[a].due, due_b = arena->nodes[b].due;

	if (due_a != due_b)
		return due_a < due_b;
	return arena->timers[a].sequence < arena->timers[b].sequence;
}

void timers_enroll(struct arena *arena, struct rbtree *tree, uint32_t timer)
{
	uint32_t parent = tree->last;
	bool after = true;

	if (parent && before(arena, timer, parent)) {
		after = !before(arena, timer, tree->first);
		parent = after ? tree->root : tree->first;
		for (uint32_t next = after ? parent : 0; next;
			next = arena->nodes[next].child[after]) {
			parent = next;
			after = before(arena, next, timer);
		}
	}
	rbtree_insert(arena->nodes, tree, timer, parent, after);
}

void timers_withdraw(struct arena *arena, struct rbtree *tree, uint32_t timer)
{
	rbtree_erase(arena->nodes, tree, timer);
}

uint64_t timers_overruns(const struct arena *arena, uint32_t timer, uint64_t at)
{
	uint64_t due = arena->nodes[timer].due, every = arena->timers[timer].every;

	return every && at > due ? (at - due) / every : 0;
}

/* The due after the wake that is sent at that time; TIMERS_FOREVER: there is none. */
static uint64_t next_due(const struct arena *arena, uint32_t timer, uint64_t at)
{
	uint64_t due = arena->nodes[timer].due;
	/* At most at - due, so the product cannot overflow; the last step can. */
	uint64_t passed = timers_overruns(arena, timer, at) * arena->timers[timer].every;
	uint64_t next;

	if (__builtin_add_overflow(due + passed, arena->timers[timer].every, &next))
		return TIMERS_FOREVER;
	return next;
}

bool timers_last(const struct arena *arena, uint32_t timer, uint64_t at)
{
	const struct timer *t = &arena->timers[timer];

	if (!t->every || (t->count && t->fired + 1 >= t->count))
		return true;
	return next_due(arena, timer, at) == TIMERS_FOREVER;
}

void timers_advance(struct arena *arena, uint32_t timer, uint64_t at)
{
	struct rbnode *node = &arena->nodes[timer];
	uint64_t slack = timers_slack(arena, timer);

	node->due = next_due(arena, timer, at);
	node->latest = timers_latest(node->due, slack);
	arena->timers[timer].fired++;
}
