/* SPDX-License-Identifier: MIT */
/*
 * Both functions make one tree of several, by join().
 */
#include "rbtree_bulk.h"

#include "rbtree.h"
#include "rbtree_parts.h"

/* A tree as an operand of join(). */
struct part {
	uint32_t root;	   /* black, or nil */
	unsigned int high; /* number of black nodes on each path down, root included */
};

static struct part make_part(struct rbnode *n, uint32_t root_red, unsigned int high)
{
	struct part part = {root_red >> 1, high + (root_red & 1)};

	if (part.root)
		n[part.root].parent = 0;
	return part;
}

/* Makes one tree of before, mid and after, in this order. It inserts mid as a red node into the
 * taller tree, at the height of the lower one (Tarjan, Data Structures and Network Algorithms,
 * 1983, chapter 4). */
static struct part join(struct rbnode *n, struct part before, uint32_t mid, struct part after)
{
	bool side = before.high > after.high; /* the side of the taller tree that gets the lower */
	struct part tall = side ? before : after, low = side ? after : before;
	struct rbtree tree = {.root = tall.root};
	unsigned int high = tall.high;
	uint32_t x_red = tall.root << 1, p = 0;

	while (high > low.high || x_red & 1) {
		high -= !(x_red & 1);
		p = x_red >> 1;
		x_red = n[p].child_red[side];
	}
	n[mid].child_red[side] = low.root << 1;
	n[mid].child_red[!side] = x_red;
	n[mid].parent = p;
	if (low.root)
		n[low.root].parent = mid;
	if (x_red)
		n[x_red >> 1].parent = mid;
	n[mid].least = reckon_least(n, mid);
	if (p)
		n[p].child_red[side] = mid << 1 | 1;
	else
		tree.root = mid;
	lower_least(n, p, n[mid].least);
	tall.high += rbtree_rebalance(n, &tree, mid);
	tall.root = tree.root;
	return tall;
}

/*
 * Makes a tree of the first 2^height - 1 nodes of the run, with all leaves at one level. The leaves
 * are red, and every second level above them. So the first removals find red nodes and need no
 * rebalancing, and later ones need little. The level of the i-th node (from 1) above the leaves is
 * the number of trailing zero bits of i.
 */
static struct part make_perfect(struct rbnode *n, const uint32_t *run, unsigned int height)
{
	unsigned int size = (1u << height) - 1, root = size / 2 + 1;

	if (!height)
		return (struct part){0, 0};
	for (unsigned int half = 1, red = 0; half <= root; half *= 2, red = !red)
		for (unsigned int i = half; i <= size; i += 2 * half) {
			struct rbnode *node = &n[run[i - 1]];

			node->parent = half == root ? 0 : run[((i - half) | 2 * half) - 1];
			node->child_red[0] = half == 1 ? 0 : run[i - half / 2 - 1] << 1 | red;
			node->child_red[1] = half == 1 ? 0 : run[i + half / 2 - 1] << 1 | red;
			node->least = reckon_least(n, run[i - 1]);
		}
	return (struct part){run[root - 1], (height + 1) / 2};
}

/* Fewer nodes are inserted one by one, which does not need the height of the tree. */
#define APPEND_AT_ONCE 8

void rbtree_append(struct rbnode *nodes, struct rbtree *tree, const uint32_t *run, unsigned int n)
{
	struct part whole = {tree->root, 0};

	if (n < APPEND_AT_ONCE) {
		for (unsigned int i = 0; i < n; i++)
			rbtree_insert(nodes, tree, run[i], tree->last, true);
		return;
	}
	for (uint32_t x_red = tree->root << 1; x_red; x_red = nodes[x_red >> 1].child_red[1])
		whole.high += !(x_red & 1);
	if (!tree->first)
		tree->first = run[0];
	tree->last = run[n - 1];
	while (n) {
		unsigned int height = 31 - (unsigned int)__builtin_clz(n);

		whole = join(nodes, whole, run[0], make_perfect(nodes, run + 1, height));
		run += 1u << height;
		n -= 1u << height;
	}
	tree->root = whole.root;
}

void rbtree_cut(struct rbnode *nodes, struct rbtree *tree, uint32_t node)
{
	struct rbnode *n = nodes;
	uint32_t first = rbtree_next(n, node), x = node, p = parent_of(n, node);
	unsigned int high = 0; /* of the subtree of x */
	struct part rest;

	for (uint32_t below = node; below; below = child_of(n, below, 0))
		high += !is_red(n, below);
	rest = make_part(n, n[node].child_red[1], high - !is_red(n, node));
	/* On the way up to the root, joins the subtrees after the node and skips those before
	 * it. */
	while (p) {
		uint32_t up = parent_of(n, p);
		unsigned int high_above = high + !is_red(n, p);

		if (child_of(n, p, 0) == x)
			rest = join(n, rest, p, make_part(n, n[p].child_red[1], high));
		x = p;
		p = up;
		high = high_above;
	}
	tree->root = rest.root;
	tree->first = first;
	if (!first)
		tree->last = 0;
}
