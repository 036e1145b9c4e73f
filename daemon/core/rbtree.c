/* SPDX-License-Identifier: MIT */
/*
 * Each change keeps two invariants: the colours (a red node has no red child, and all paths from
 * the root down have the same number of black nodes) and `least`. A rotation does not change the
 * set of nodes in the subtree. So the new top takes over the `least` of the old top, and only that
 * of the old top is computed again.
 */
#include "rbtree.h"

#include "rbtree_parts.h"

/* Replaces `from` by `to` below parent (0: at the root). The colour of the position stays. */
static void replace_child(
	struct rbnode *n, struct rbtree *tree, uint32_t parent, uint32_t from, uint32_t to)
{
	bool side;

	if (!parent) {
		tree->root = to;
		return;
	}
	side = side_of(n, parent, from);
	n[parent].child_red[side] = to << 1 | child_is_red(n, parent, side);
}

/* Moves x down to `side`; its child on the other side takes its position. They exchange colours. */
static void rotate(struct rbnode *n, struct rbtree *tree, uint32_t x, bool side)
{
	uint32_t top_red = n[x].child_red[!side], top = top_red >> 1;
	uint32_t inner_red = n[top].child_red[side];

	n[x].child_red[!side] = inner_red;
	if (inner_red)
		n[inner_red >> 1].parent = x;
	n[top].parent = parent_of(n, x);
	replace_child(n, tree, parent_of(n, x), x, top);
	n[top].child_red[side] = x << 1 | (top_red & 1);
	n[x].parent = top;
	n[top].least = n[x].least;
	n[x].least = reckon_least(n, x);
}

void rbtree_init_nodes(struct rbnode *nodes)
{
	nodes[0] = (struct rbnode){.latest = UINT64_MAX, .least = UINT64_MAX};
}

bool rbtree_rebalance(struct rbnode *n, struct rbtree *tree, uint32_t x)
{
	for (;;) {
		uint32_t p = parent_of(n, x), g = parent_of(n, p);
		bool side = side_of(n, g, p);

		if (!p)
			return true; /* a root is black */
		if (!g || !child_is_red(n, g, side))
			return false;
		if (!child_is_red(n, g, !side)) {
			if (child_of(n, p, !side) == x)
				rotate(n, tree, p, side);
			rotate(n, tree, g, !side);
			return false;
		}
		set_child_black(n, g, side);
		set_child_black(n, g, !side);
		p = parent_of(n, g);
		if (p)
			set_child_red(n, p, side_of(n, p, g));
		x = g;
	}
}

bool rbtree_insert(
	struct rbnode *nodes, struct rbtree *tree, uint32_t node, uint32_t parent, bool after)
{
	struct rbnode *n = nodes;

	n[node].child_red[0] = n[node].child_red[1] = 0;
	n[node].parent = parent;
	n[node].least = n[node].latest;
	if (!parent) {
		tree->root = tree->first = tree->last = node;
		return true;
	}

	n[parent].child_red[after] = node << 1 | 1;
	if (tree->last == parent && after)
		tree->last = node;
	if (tree->first == parent && !after)
		tree->first = node;
	lower_least(n, parent, n[node].latest);
	rbtree_rebalance(n, tree, node);
	return tree->first == node;
}

/* The paths through the child of p on `side`, which is black or nil, have one black node too few:
 * corrects that. */
static void rebalance_erase(struct rbnode *n, struct rbtree *tree, uint32_t p, bool side)
{
	while (p) {
		uint32_t x, s;

		if (child_is_red(n, p, !side))
			rotate(n, tree, p, side);
		s = child_of(n, p, !side); /* not nil: its paths have one black node more */
		if (child_is_red(n, s, !side) || child_is_red(n, s, side)) {
			if (!child_is_red(n, s, !side)) {
				rotate(n, tree, s, !side);
				s = child_of(n, p, !side);
			}
			set_child_black(n, s, !side);
			rotate(n, tree, p, side);
			return;
		}
		set_child_red(n, p, !side);
		x = p;
		p = parent_of(n, x);
		side = side_of(n, p, x);
		if (child_is_red(n, p, side)) {
			set_child_black(n, p, side);
			return;
		}
	}
}

static uint32_t step(const struct rbnode *n, uint32_t x, bool side)
{
	uint32_t p;

	if (child_of(n, x, side)) {
		x = child_of(n, x, side);
		while (child_of(n, x, !side)) {
			/* A walk needs this child after it has come back up. */
			__builtin_prefetch(&n[child_of(n, x, side)]);
			x = child_of(n, x, !side);
		}
		__builtin_prefetch(&n[child_of(n, x, side)]);
		return x;
	}
	for (p = parent_of(n, x); p && child_of(n, p, side) == x; p = parent_of(n, p))
		x = p;
	return p;
}

/* A node with this latest was removed from below x. If it was not the smallest of a subtree,
 * nothing changes there or further up, and no child is fetched to find that out. */
static void mend_least(struct rbnode *n, uint32_t x, uint64_t gone)
{
	for (; x && n[x].least == gone; x = parent_of(n, x)) {
		uint64_t least = reckon_least(n, x);

		if (least == gone)
			break; /* another node has the same latest */
		n[x].least = least;
	}
}

void rbtree_erase(struct rbnode *nodes, struct rbtree *tree, uint32_t node)
{
	struct rbnode *n = nodes;
	uint32_t y = node; /* the node whose position is removed: node itself or the next one */
	uint32_t x_red, x, p;
	bool black, side;

	if (tree->first == node)
		tree->first = step(n, node, 1);
	if (tree->last == node)
		tree->last = step(n, node, 0);

	if (n[node].child_red[0] && n[node].child_red[1])
		y = step(n, node, 1);
	x_red = n[y].child_red[n[y].child_red[0] == 0];
	x = x_red >> 1;
	p = parent_of(n, y);
	side = side_of(n, p, y);
	black = !child_is_red(n, p, side);
	/* x becomes black. If y was red, x was black already; else a red x replaces the black y. */
	if (p)
		n[p].child_red[side] = x << 1;
	else
		tree->root = x;
	if (x)
		n[x].parent = p;
	if (y != node) {
		n[y].child_red[0] = n[node].child_red[0];
		n[y].child_red[1] = n[node].child_red[1];
		n[y].parent = n[node].parent;
		n[child_of(n, y, 0)].parent = y;
		if (n[y].child_red[1])
			n[child_of(n, y, 1)].parent = y;
		replace_child(n, tree, parent_of(n, y), node, y);
		if (p == node)
			p = y;
	}

	if (y == node) {
		mend_least(n, p, n[node].latest);
	} else {
		mend_least(n, p, n[y].latest);
		n[y].least = reckon_least(n, y);
		mend_least(n, parent_of(n, y), n[node].latest);
	}
	if (black && !(x_red & 1))
		rebalance_erase(n, tree, p, side);
}

void rbtree_set_latest(struct rbnode *nodes, uint32_t node, uint64_t latest)
{
	nodes[node].latest = latest;
	for (; node; node = parent_of(nodes, node)) {
		uint64_t least = reckon_least(nodes, node);

		if (nodes[node].least == least)
			break;
		nodes[node].least = least;
	}
}

uint32_t rbtree_next(const struct rbnode *nodes, uint32_t node)
{
	return step(nodes, node, 1);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t rbtree_least_beside(const struct rbnode *nodes, uint32_t node)
{
	/* The `least` of nil is UINT64_MAX. */
	uint64_t least = earlier(nodes[rbtree_child(nodes, node, 0)].least,
		nodes[rbtree_child(nodes, node, 1)].least);

	for (uint32_t parent; (parent = nodes[node].parent); node = parent) {
		uint32_t other = rbtree_child(
			nodes, parent, rbtree_child(nodes, parent, 0) == node);

		least = earlier(least, earlier(nodes[parent].latest, nodes[other].least));
	}
	return least;
}
