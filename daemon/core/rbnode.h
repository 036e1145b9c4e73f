/* SPDX-License-Identifier: MIT */
/*
 * A node of a tree, and the tree: see rbtree.h.
 */
#pragma once

#include <stdint.h>

struct rbnode {
	uint64_t due;	       /* the key */
	uint64_t latest;       /* not before due */
	uint64_t least;	       /* smallest latest in the subtree of this node */
	uint32_t child_red[2]; /* child << 1 | whether the child is red: before, after */
	uint32_t parent;
	uint32_t tag; /* for the caller; the tree code never reads it */
};

_Static_assert(sizeof(struct rbnode) == 40, "8 nodes in 5 cache lines");

/* All zero: an empty tree. */
struct rbtree {
	uint32_t root, first, last;
};
