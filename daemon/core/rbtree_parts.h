/* SPDX-License-Identifier: MIT */
/*
 * What rbtree.c and rbtree_bulk.c share, for these two only.
 */
#pragma once

#include <stdbool.h>

#include "rbnode.h"

static inline uint32_t parent_of(const struct rbnode *n, uint32_t x)
{
	return n[x].parent;
}

static inline uint32_t child_of(const struct rbnode *n, uint32_t x, bool side)
{
	return n[x].child_red[side] >> 1;
}

/* The side of its parent on which a node is. */
static inline bool side_of(const struct rbnode *n, uint32_t parent, uint32_t x)
{
	return child_of(n, parent, 1) == x;
}

/* Whether x's child on that side is red; nil is not. */
static inline bool child_is_red(const struct rbnode *n, uint32_t x, bool side)
{
	return n[x].child_red[side] & 1;
}

static inline bool is_red(const struct rbnode *n, uint32_t x)
{
	uint32_t p = parent_of(n, x);

	return p && child_is_red(n, p, side_of(n, p, x));
}

static inline void set_child_red(struct rbnode *n, uint32_t x, bool side)
{
	n[x].child_red[side] |= 1;
}

static inline void set_child_black(struct rbnode *n, uint32_t x, bool side)
{
	n[x].child_red[side] &= ~UINT32_C(1);
}

static inline uint64_t reckon_least(const struct rbnode *n, uint32_t x)
{
	uint64_t least = n[x].latest;

	/* The `least` of nil is the greatest number, so nil needs no test. */
	if (n[child_of(n, x, 0)].least < least)
		least = n[child_of(n, x, 0)].least;
	/* The latest of a node after x is not before the due of x. So if least is not after that,
	 * the child after x cannot lower it and need not be fetched. */
	if (least > n[x].due && n[child_of(n, x, 1)].least < least)
		least = n[child_of(n, x, 1)].least;
	return least;
}

/* A node with this latest was added below x. */
static inline void lower_least(struct rbnode *n, uint32_t x, uint64_t latest)
{
	for (; x && n[x].least > latest; x = parent_of(n, x))
		n[x].least = latest;
}

/* x is red and may have a red parent: moves this conflict up until it is resolved. Return: whether
 * all paths have one more black node now. */
bool rbtree_rebalance(struct rbnode *n, struct rbtree *tree, uint32_t x);
