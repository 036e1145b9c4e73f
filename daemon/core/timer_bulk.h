/* SPDX-License-Identifier: MIT */
/*
 * Puts many timers into their trees at once, for sessions_enroll_batch() only. The result is the
 * same as with timers_enroll() for each timer: a reader may skip this file.
 */
#pragma once

#include "timers.h"

/* The number of timers whose positions are searched at the same time. */
#define BULK_ABREAST 16

/* No position was found: bulk_insert() searches for it. */
#define POSITION_UNKNOWN UINT32_MAX

/*
 * Finds the positions of n (at most BULK_ABREAST) new timers with these dues. It changes nothing. A
 * position is where rbtree_insert() links a node: parent << 1 | whether the node comes after the
 * parent. A new timer comes after all timers of the same due.
 *
 * A descent of a large tree waits for memory at each level. This function makes BULK_ABREAST
 * descents at the same time, so that they wait together. It gives POSITION_UNKNOWN near the end of
 * the tree, where a search is short, and for a position that several of the new timers share. O(log
 * n) each.
 */
void bulk_find_positions(const struct arena *arena, const struct rbtree *const *trees,
	const uint64_t *dues, unsigned int n, uint32_t *ret_positions);

/*
 * Puts a published timer into its tree at the position that bulk_find_positions() found. The caller
 * inserts the timers of one search in its order. Between the search and the inserts only
 * bulk_run_link() may change the trees: it fills none of the positions found. O(1) amortised if the
 * position is known.
 */
void bulk_insert(struct arena *arena, struct rbtree *tree, uint32_t timer, uint32_t position);

/* The most timers in one run. */
#define BULK_MAX 256

/*
 * A run: new timers that come after all timers of their tree, are nearly in order, and are not
 * linked yet. This is the usual case: timeouts of the same length. All zero is an empty run. The
 * caller calls bulk_run_link() before it uses the tree in any way except bulk_insert().
 */
struct bulk_run {
	struct rbtree *tree;
	uint32_t n;
	uint64_t floor; /* the greatest of the early keys: a new key must not be less */
	uint64_t keys[BULK_MAX];
	uint32_t timers[BULK_MAX];
};

/*
 * Takes a published timer into the run, if the timer fits there. If the timer is due too early for
 * the run, links the run first. O(1). Return: whether the run has taken the timer; if not, the
 * caller inserts it.
 */
bool bulk_run_take(struct arena *arena, struct bulk_run *run, struct rbtree *tree, uint32_t timer);

/* Sorts and links all timers of the run. O(1) each, and O(log n) for each doubling of the run. */
void bulk_run_link(struct arena *arena, struct bulk_run *run);
