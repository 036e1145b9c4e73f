/* SPDX-License-Identifier: MIT */
/*
 * A red-black tree over the elements of one array, linked by 32-bit indexes.
 *
 * It knows links, not meaning: who inserts has found the place. Nodes are in order of their due,
 * equal ones as who inserts likes, and a latest is never before its due. Besides the links each
 * node carries `least`, the smallest `latest` of the subtree that it heads, so that the smallest of
 * a whole tree is found at its root in O(1); and a tree remembers its first and last node, so that
 * both ends are at hand without a descent.
 *
 * Indexes instead of pointers make a node 40 bytes and let the array be mapped anywhere. Index 0 is
 * nil: element 0 of the array belongs to the tree code, and rbtree_init_nodes() must have seen it.
 *
 * A node's colour stands in the link to it, so that balancing, which asks for the colours of nodes
 * beside the way, need not fetch these. The root is black.
 *
 * Nothing here allocates, fails or recurses. Rebalancing is the textbook's (Cormen et al.,
 * Introduction to Algorithms, chapter 13), written once for both sides: child[side], child[!side].
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rbnode {
	uint64_t due;	       /* the key: who inserts compares it */
	uint64_t latest;       /* not before due */
	uint64_t least;	       /* smallest latest at and below this node */
	uint32_t child_red[2]; /* child << 1 | whether it is red: before, after */
	uint32_t parent;
	uint32_t tag; /* the owner's; the tree code never looks at it */
};

_Static_assert(sizeof(struct rbnode) == 40, "five to three cache lines");

/* The child of a node before or after it; 0: none. */
static inline uint32_t rbtree_child(const struct rbnode *nodes, uint32_t node, bool after)
{
	return nodes[node].child_red[after] >> 1;
}

/* All zero: an empty tree. */
struct rbtree {
	uint32_t root, first, last;
};

/* Makes element 0 the nil node. Once, before any tree is used. */
void rbtree_init_nodes(struct rbnode *nodes);

/*
 * Links node below parent (0: as the root of an empty tree), on the side after it or before it,
 * where there is no child yet. node's due and latest are set. O(log n); O(1) amortised where no new
 * smallest latest travels up. Return: whether node is now the first.
 */
bool rbtree_insert(
	struct rbnode *nodes, struct rbtree *tree, uint32_t node, uint32_t parent, bool after);

/*
 * Links n nodes, which come after all that are in the tree and stand in their order. due and latest
 * of each are set. O(n + log n * log size); O(n) amortised where they are few.
 */
void rbtree_append(struct rbnode *nodes, struct rbtree *tree, const uint32_t *run, unsigned int n);

/* Unlinks node, which is in the tree. Its due, latest and tag stay. O(log n). */
void rbtree_erase(struct rbnode *nodes, struct rbtree *tree, uint32_t node);

/*
 * Unlinks the first nodes of the tree, up to and with `node`. O(log n), however many they are: none
 * of them is looked at but those above `node`. What their links say then means nothing.
 */
void rbtree_cut(struct rbnode *nodes, struct rbtree *tree, uint32_t node);

/* Gives node another latest and mends least above it. O(log n). */
void rbtree_set_latest(struct rbnode *nodes, uint32_t node, uint64_t latest);

/* The node after node in order; 0: it was the last. O(log n), O(1) amortised over a walk. */
uint32_t rbtree_next(const struct rbnode *nodes, uint32_t node);

/* The smallest latest in the tree but for that of `node`, which is in it; UINT64_MAX: there is no other.
 * O(log n). */
uint64_t rbtree_least_beside(const struct rbnode *nodes, uint32_t node);

/* The smallest latest in the tree; UINT64_MAX where it is empty. O(1). */
static inline uint64_t rbtree_least(const struct rbnode *nodes, const struct rbtree *tree)
{
	return tree->root ? nodes[tree->root].least : UINT64_MAX;
}
