/* SPDX-License-Identifier: MIT */
/*
 * Putting many timers into their trees at once. For sessions_enroll_batch() only, whose result is the
 * same as that of timers_enroll() for each of them: a reader may skip this.
 */
#pragma once

#include "timers.h"

/* Descents that wait for memory together. */
#define BULK_ABREAST 16

/* The caller of bulk_insert() searches for itself. */
#define POSITION_UNKNOWN UINT32_MAX

/*
 * Finds the positions of n (at most BULK_ABREAST) new timers with these dues, and changes nothing.
 * A position is where rbtree_insert() links a node: the parent << 1 | whether it comes after the
 * parent. A new timer comes after all of the same due.
 *
 * One descent of a large tree waits for memory at each level; here BULK_ABREAST descents wait
 * together. The position is POSITION_UNKNOWN near the end of the tree, where a search is short, and
 * where several of the timers have the same one. O(log n) each.
 */
void bulk_find_positions(const struct arena *arena, const struct rbtree *const *trees,
	const uint64_t *dues, unsigned int n, uint32_t *ret_positions);

/*
 * Puts a published timer into its tree at the position that was found for it. The timers of one
 * bulk_find_positions() come in its order, and nothing else changes the trees meanwhile except
 * bulk_run_link(), which fills no position that bulk_find_positions() finds. O(1) amortised where
 * the position is known.
 */
void bulk_insert(struct arena *arena, struct rbtree *tree, uint32_t timer, uint32_t position);

/* As many as one run takes, at least. */
#define BULK_MAX 256

/*
 * New timers that come after all timers of their tree, nearly in order, and are not linked yet. This
 * is the usual case: timeouts of the same length. All zero: an empty run. bulk_run_link() comes
 * before anything else is done to the tree, except bulk_insert().
 */
struct bulk_run {
	struct rbtree *tree;
	uint32_t n;
	uint64_t floor; /* the greatest key that came long before: no key is less */
	uint64_t keys[BULK_MAX];
	uint32_t timers[BULK_MAX];
};

/*
 * Takes a published timer into the run. Return: false if it is not for a run, or not for this one;
 * the caller inserts it. The run is linked first where the timer comes before some of it. O(1).
 */
bool bulk_run_take(struct arena *arena, struct bulk_run *run, struct rbtree *tree, uint32_t timer);

/* Sorts and links all timers of the run. O(1) each, and O(log n) for each doubling of the run. */
void bulk_run_link(struct arena *arena, struct bulk_run *run);
