/* SPDX-License-Identifier: MIT */
/*
 * A red-black tree over the elements of one array, linked by 32-bit indexes.
 *
 * The tree does not search: the caller finds the position of a new node. Nodes are in the order of
 * their due; the caller chooses the order of equal dues. A node's latest is never before its due.
 *
 * Each node has `least`, the smallest `latest` of its subtree. So the root gives the smallest
 * latest of the tree in O(1). A tree also stores its first and last node.
 *
 * Indexes instead of pointers make a node 40 bytes and let the array be mapped at any address.
 * Index 0 is nil: element 0 of the array belongs to the tree code, and rbtree_init_nodes() sets it
 * up.
 *
 * The colour of a node is stored in the link from its parent. Balancing asks for the colours of
 * children, and so it reads them without fetching the children. The root is black.
 *
 * Nothing here allocates, fails or recurses. Rebalancing follows Cormen et al., Introduction to
 * Algorithms, chapter 13, but is written once for both sides: child[side], child[!side].
 */
#pragma once

#include <stdbool.h>

#include "rbnode.h"

/* The child on one side of a node; 0: none. */
static inline uint32_t rbtree_child(const struct rbnode *nodes, uint32_t node, bool after)
{
	return nodes[node].child_red[after] >> 1;
}

/* Makes element 0 the nil node. Call it once, before any tree is used. */
void rbtree_init_nodes(struct rbnode *nodes);

/*
 * Links node below parent, on the side where parent has no child. parent 0: node becomes the root
 * of an empty tree. The caller has set due and latest of the node. O(log n); O(1) amortised if the
 * node's latest is not the smallest of its subtrees. Return: whether node is now the first node.
 */
bool rbtree_insert(
	struct rbnode *nodes, struct rbtree *tree, uint32_t node, uint32_t parent, bool after);

/* Unlinks node, which is in the tree. Its due, latest and tag stay. O(log n). */
void rbtree_erase(struct rbnode *nodes, struct rbtree *tree, uint32_t node);

/* Changes a node's latest and updates `least` above it. O(log n). */
void rbtree_set_latest(struct rbnode *nodes, uint32_t node, uint64_t latest);

/* The next node in order; 0: node is the last. O(log n), O(1) amortised over a walk. */
uint32_t rbtree_next(const struct rbnode *nodes, uint32_t node);

/* The smallest latest of all other nodes in the tree of `node`; UINT64_MAX: there are none.
 * O(log n). */
uint64_t rbtree_least_beside(const struct rbnode *nodes, uint32_t node);

/* The smallest latest in the tree; UINT64_MAX if the tree is empty. O(1). */
static inline uint64_t rbtree_least(const struct rbnode *nodes, const struct rbtree *tree)
{
	return tree->root ? nodes[tree->root].least : UINT64_MAX;
}
