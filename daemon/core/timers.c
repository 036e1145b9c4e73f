/* SPDX-License-Identifier: MIT */
/*
 * The order of timers, and the arithmetic of time. A sum with a client's number uses
 * __builtin_add_overflow; an overflow gives TIMERS_FOREVER.
 */
#include "timers.h"

#include "rbtree_bulk.h"

uint64_t timers_slack(const struct arena *arena, uint32_t timer)
{
	const struct rbnode *node = &arena->nodes[timer];

	return node->latest == TIMERS_FOREVER ? TIMERS_FOREVER : node->latest - node->due;
}

/* Whether timer a comes before timer b. It reads the cold half only if the dues are equal. */
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
			next = rbtree_child(arena->nodes, next, after)) {
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

void timers_withdraw_until(struct arena *arena, struct rbtree *tree, uint32_t timer)
{
	rbtree_cut(arena->nodes, tree, timer);
}

uint64_t timers_overruns(const struct arena *arena, uint32_t timer, uint64_t at)
{
	uint64_t due = arena->nodes[timer].due, every = arena->timers[timer].every;

	return every && at > due ? (at - due) / every : 0;
}

uint64_t timers_next_due(const struct arena *arena, uint32_t timer, uint64_t at)
{
	uint64_t due = arena->nodes[timer].due;
	/* The product is at most at - due, so only the last addition can overflow. */
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
	return timers_next_due(arena, timer, at) == TIMERS_FOREVER;
}
