/* SPDX-License-Identifier: MIT */
/*
 * Changes of many nodes of a tree at once, for timer_bulk.c and timers.c. The cost does not depend
 * on the number of nodes, or only a little. The result is the same as with rbtree_insert() and
 * rbtree_erase() for each node: a reader may skip this file.
 */
#pragma once

#include "rbnode.h"

/*
 * Links n nodes after the last node of the tree. They are in order, and the caller has set due and
 * latest of each. O(n + log n * log size); O(n) amortised for a few nodes.
 */
void rbtree_append(struct rbnode *nodes, struct rbtree *tree, const uint32_t *run, unsigned int n);

/*
 * Unlinks `node` and all nodes before it. O(log n), for any number of nodes: it reads only the
 * ancestors of `node`. The links of the unlinked nodes are invalid afterwards.
 */
void rbtree_cut(struct rbnode *nodes, struct rbtree *tree, uint32_t node);
