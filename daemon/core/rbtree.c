/* SPDX-License-Identifier: MIT */
/*
 * The tree of rbtree.h. Two things are kept at every change: the colours (no red node has a red
 * child; every way down crosses as many black nodes) and `least`. A rotation keeps the set of nodes
 * below its top, so the new top takes over the old top's least and only the old top is reckoned
 * again; that is all that rebalancing has to know of least.
 */
#include "rbtree.h"

static uint32_t parent_of(const struct rbnode *n, uint32_t x)
{
	return n[x].parent_red >> 1;
}

static bool is_red(const struct rbnode *n, uint32_t x)
{
	return n[x].parent_red & 1;
}

static void set_parent(struct rbnode *n, uint32_t x, uint32_t parent)
{
	n[x].parent_red = parent << 1 | (n[x].parent_red & 1);
}

static void set_red(struct rbnode *n, uint32_t x)
{
	n[x].parent_red |= 1;
}

static void set_black(struct rbnode *n, uint32_t x)
{
	n[x].parent_red &= ~UINT32_C(1);
}

static uint64_t reckon_least(const struct rbnode *n, uint32_t x)
{
	uint64_t least = n[x].latest;

	/* nil's least is the greatest number, so that no child has to be tested for. */
	if (n[n[x].child[0]].least < least)
		least = n[n[x].child[0]].least;
	if (n[n[x].child[1]].least < least)
		least = n[n[x].child[1]].least;
	return least;
}

/* Puts to where from was below parent (0: at the root). */
static void replace_child(
	struct rbnode *n, struct rbtree *tree, uint32_t parent, uint32_t from, uint32_t to)
{
	if (!parent)
		tree->root = to;
	else
		n[parent].child[n[parent].child[1] == from] = to;
}

/* x sinks to side; its child on the other side takes its place. */
static void rotate(struct rbnode *n, struct rbtree *tree, uint32_t x, bool side)
{
	uint32_t top = n[x].child[!side];
	uint32_t inner = n[top].child[side];

	n[x].child[!side] = inner;
	if (inner)
		set_parent(n, inner, x);
	set_parent(n, top, parent_of(n, x));
	replace_child(n, tree, parent_of(n, x), x, top);
	n[top].child[side] = x;
	set_parent(n, x, top);
	n[top].least = n[x].least;
	n[x].least = reckon_least(n, x);
}

void rbtree_init_nodes(struct rbnode *nodes)
{
	nodes[0] = (struct rbnode){.latest = UINT64_MAX, .least = UINT64_MAX};
}

/* x is red and may have a red parent: pushes that upwards until it is resolved. Return: whether every way
 * down the tree crosses one black node more now. */
static bool rebalance_insert(struct rbnode *n, struct rbtree *tree, uint32_t x)
{
	bool higher;

	for (uint32_t p = parent_of(n, x); p && is_red(n, p); p = parent_of(n, x)) {
		uint32_t g = parent_of(n, p); /* exists: the root is black */
		bool side = n[g].child[1] == p;
		uint32_t uncle = n[g].child[!side];

		if (is_red(n, uncle)) {
			set_black(n, p);
			set_black(n, uncle);
			set_red(n, g);
			x = g;
			continue;
		}
		if (n[p].child[!side] == x) {
			rotate(n, tree, p, side);
			p = x;
		}
		set_black(n, p);
		set_red(n, g);
		rotate(n, tree, g, !side);
		break;
	}
	higher = is_red(n, tree->root);
	set_black(n, tree->root);
	return higher;
}

/* Something of that latest has come below x. */
static void lower_least(struct rbnode *n, uint32_t x, uint64_t latest)
{
	for (; x && n[x].least > latest; x = parent_of(n, x))
		n[x].least = latest;
}

bool rbtree_insert(
	struct rbnode *nodes, struct rbtree *tree, uint32_t node, uint32_t parent, bool after)
{
	struct rbnode *n = nodes;

	n[node].child[0] = n[node].child[1] = 0;
	n[node].parent_red = parent << 1 | 1;
	n[node].least = n[node].latest;
	if (!parent) {
		tree->root = tree->first = tree->last = node;
		set_black(n, node);
		return true;
	}

	n[parent].child[after] = node;
	if (after && tree->last == parent)
		tree->last = node;
	if (!after && tree->first == parent)
		tree->first = node;
	lower_least(n, parent, n[node].latest);
	rebalance_insert(n, tree, node);
	return tree->first == node;
}

/* One black node is missing on the way to x (may be nil), a child of p: finds one to make up for it. */
static void rebalance_erase(struct rbnode *n, struct rbtree *tree, uint32_t x, uint32_t p)
{
	while (p && !is_red(n, x)) {
		/* Nil cannot be on both sides: the other one is a black node higher. */
		bool side = n[p].child[1] == x;
		uint32_t s = n[p].child[!side];

		if (is_red(n, s)) {
			set_black(n, s);
			set_red(n, p);
			rotate(n, tree, p, side);
			s = n[p].child[!side];
		}
		if (!is_red(n, n[s].child[0]) && !is_red(n, n[s].child[1])) {
			set_red(n, s);
			x = p;
			p = parent_of(n, x);
			continue;
		}
		if (!is_red(n, n[s].child[!side])) {
			set_black(n, n[s].child[side]);
			set_red(n, s);
			rotate(n, tree, s, !side);
			s = n[p].child[!side];
		}
		if (is_red(n, p))
			set_red(n, s);
		else
			set_black(n, s);
		set_black(n, p);
		set_black(n, n[s].child[!side]);
		rotate(n, tree, p, side);
		return;
	}
	if (x)
		set_black(n, x);
}

static uint32_t step(const struct rbnode *n, uint32_t x, bool side)
{
	uint32_t p;

	if (n[x].child[side]) {
		x = n[x].child[side];
		while (n[x].child[!side]) {
			/* Where a walk goes on once it comes back up to here. */
			__builtin_prefetch(&n[n[x].child[side]]);
			x = n[x].child[!side];
		}
		__builtin_prefetch(&n[n[x].child[side]]);
		return x;
	}
	for (p = parent_of(n, x); p && n[p].child[side] == x; p = parent_of(n, p))
		x = p;
	return p;
}

/* A node of that latest is gone from below x. Where it was not the smallest nothing has changed, nor
 * further up; and to see that, no child need be looked at. */
static void mend_least(struct rbnode *n, uint32_t x, uint64_t gone)
{
	for (; x && n[x].least == gone; x = parent_of(n, x)) {
		uint64_t least = reckon_least(n, x);

		if (least == gone)
			break; /* another one has the same */
		n[x].least = least;
	}
}

void rbtree_erase(struct rbnode *nodes, struct rbtree *tree, uint32_t node)
{
	struct rbnode *n = nodes;
	uint32_t y = node; /* the node whose place goes: node itself or the one after it */
	uint32_t x, p;
	bool black;

	if (tree->first == node)
		tree->first = step(n, node, 1);
	if (tree->last == node)
		tree->last = step(n, node, 0);

	if (n[node].child[0] && n[node].child[1])
		y = step(n, node, 1);
	x = n[y].child[n[y].child[0] == 0];
	p = parent_of(n, y);
	black = !is_red(n, y);
	replace_child(n, tree, p, y, x);
	if (x)
		set_parent(n, x, p);
	if (y != node) {
		n[y].child[0] = n[node].child[0];
		n[y].child[1] = n[node].child[1];
		n[y].parent_red = n[node].parent_red;
		set_parent(n, n[y].child[0], y);
		if (n[y].child[1])
			set_parent(n, n[y].child[1], y);
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
	if (black)
		rebalance_erase(n, tree, x, p);
}

/* A tree that is being put together, or a part to put to it. */
struct part {
	uint32_t root;	   /* black, or nil */
	unsigned int high; /* black nodes on each way down from it, itself included */
};

static struct part make_part(struct rbnode *n, uint32_t root, unsigned int high)
{
	struct part part = {root, high + is_red(n, root)};

	if (root)
		n[root].parent_red = 0;
	return part;
}

/* Makes one tree of before, mid and after, which are in this order: mid goes, red, to where the taller one is
 * as high as the other (Tarjan, Data Structures and Network Algorithms, 1983, chapter 4). */
static struct part join(struct rbnode *n, struct part before, uint32_t mid, struct part after)
{
	bool side = before.high > after.high; /* of the taller one, on which the other comes */
	struct part tall = side ? before : after, low = side ? after : before;
	struct rbtree tree = {.root = tall.root};
	unsigned int high = tall.high;
	uint32_t x = tall.root, p = 0;

	while (high > low.high || is_red(n, x)) {
		high -= !is_red(n, x);
		p = x;
		x = n[x].child[side];
	}
	n[mid].child[side] = low.root;
	n[mid].child[!side] = x;
	n[mid].parent_red = p << 1 | 1;
	if (low.root)
		set_parent(n, low.root, mid);
	if (x)
		set_parent(n, x, mid);
	n[mid].least = reckon_least(n, mid);
	if (p)
		n[p].child[side] = mid;
	else
		tree.root = mid;
	lower_least(n, p, n[mid].least);
	tall.high += rebalance_insert(n, &tree, mid);
	tall.root = tree.root;
	return tall;
}

void rbtree_cut(struct rbnode *nodes, struct rbtree *tree, uint32_t node)
{
	struct rbnode *n = nodes;
	uint32_t first = step(n, node, 1), x = node, p = parent_of(n, node);
	unsigned int high = 0; /* of what x heads */
	struct part rest;

	for (uint32_t below = node; below; below = n[below].child[0])
		high += !is_red(n, below);
	rest = make_part(n, n[node].child[1], high - !is_red(n, node));
	/* Up to the root: what is after the node is put to the rest, what is before it is left out. */
	while (p) {
		uint32_t up = parent_of(n, p);
		unsigned int high_above = high + !is_red(n, p);

		if (n[p].child[0] == x)
			rest = join(n, rest, p, make_part(n, n[p].child[1], high));
		x = p;
		p = up;
		high = high_above;
	}
	tree->root = rest.root;
	tree->first = first;
	if (!first)
		tree->last = 0;
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

uint64_t rbtree_least(const struct rbnode *nodes, const struct rbtree *tree)
{
	return tree->root ? nodes[tree->root].least : UINT64_MAX;
}
