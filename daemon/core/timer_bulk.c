/* SPDX-License-Identifier: MIT */
#include "timer_bulk.h"

#include "rbtree_bulk.h"

/* The most levels above a tree's last node at which a search begins. About a hundred timers are
 * below such a node. */
#define FINGER_STEPS 8

/*
 * Finds the node from which to descend. Most new timers come near the end of their tree, so the
 * search goes a few levels up from the last node instead of down from the root (a finger search:
 * Guibas, McCreight, Plass and Roberts, 1977). Return: the node; 0: the new timer comes last.
 */
static uint32_t finger(const struct rbnode *nodes, const struct rbtree *tree, uint64_t due)
{
	uint32_t top = tree->last;

	if (!top || nodes[top].due <= due)
		return 0;
	for (unsigned int i = 0; i < FINGER_STEPS; i++) {
		uint32_t parent = nodes[top].parent;

		if (!parent || nodes[parent].due <= due)
			return top;
		top = parent;
	}
	return tree->root;
}

/* Searches for one position. */
static uint32_t find_position(const struct rbnode *nodes, const struct rbtree *tree, uint64_t due)
{
	uint32_t parent = tree->last, next = finger(nodes, tree, due);
	bool after = parent != 0;

	while (next) {
		parent = next;
		after = nodes[parent].due <= due;
		next = rbtree_child(nodes, parent, after);
	}
	return parent << 1 | after;
}

/* The smallest due for which finger() does not return the root. */
static uint64_t near_end(const struct rbnode *nodes, const struct rbtree *tree)
{
	uint32_t top = tree->last;

	for (unsigned int i = 0; i < FINGER_STEPS && nodes[top].parent; i++)
		top = nodes[top].parent;
	return nodes[top].due;
}

/* a, or b if a is 0, without a branch. */
static uint32_t first_nonzero(uint32_t a, uint32_t b)
{
	return a | (b & -(uint32_t)(a == 0));
}

static bool is_among(const uint32_t *positions, unsigned int n, uint32_t position)
{
	while (n && positions[n - 1] != position)
		n--;
	return n;
}

/*
 * A position is the gap between two neighbours. Once a timer was inserted into the gap, another
 * timer that found the same gap may belong before or after the first. So only the first timer keeps
 * the position.
 */
static void forget_shared(uint32_t *positions, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (positions[i] != POSITION_UNKNOWN && is_among(positions, i, positions[i]))
			positions[i] = POSITION_UNKNOWN;
}

void bulk_find_positions(const struct arena *arena, const struct rbtree *const *trees,
	const uint64_t *dues, unsigned int n, uint32_t *ret_positions)
{
	const struct rbnode *nodes = arena->nodes;
	uint32_t at[BULK_ABREAST], above[BULK_ABREAST], any = 0;
	uint64_t near = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (i == 0 || trees[i] != trees[i - 1])
			near = near_end(nodes, trees[i]);
		at[i] = dues[i] < near ? trees[i]->root : 0;
		above[i] = 0;
		any |= at[i];
		ret_positions[i] = POSITION_UNKNOWN;
	}
	if (!any)
		return;
	/* No branch depends on the data, because a wrong prediction would delay all descents. A
	 * finished descent stays at nil, whose children are nil. */
	while (any) {
		any = 0;
		for (unsigned int i = 0; i < n; i++) {
			uint32_t x = at[i];
			const struct rbnode *node = &nodes[x];
			/* The only use of the comparison, see "a trap" in tests/bench/README.md. */
			uint32_t next = node->child_red[node->due <= dues[i]] >> 1;

			__builtin_prefetch(&nodes[next]);
			above[i] = first_nonzero(x, above[i]);
			at[i] = next;
			any |= next;
		}
	}
	for (unsigned int i = 0; i < n; i++) {
		bool after = nodes[above[i]].due <= dues[i];

		ret_positions[i] = above[i] ? above[i] << 1 | after : POSITION_UNKNOWN;
	}
	forget_shared(ret_positions, n);
}

void bulk_insert(struct arena *arena, struct rbtree *tree, uint32_t timer, uint32_t position)
{
	/* If there is a child, the position has moved to the other neighbour. */
	if (position == POSITION_UNKNOWN || arena->nodes[position >> 1].child_red[position & 1])
		position = find_position(arena->nodes, tree, arena->nodes[timer].due);
	rbtree_insert(arena->nodes, tree, timer, position >> 1, position & 1);
}

/* A timer of a run is not due before any timer that was taken this many timers earlier. */
#define RUN_DISORDER 16

/* A key is due << RUN_INDEX_BITS | the index in the run: equal dues stay in the order of their
 * registration. */
#define RUN_INDEX_BITS 8
#define RUN_DUE_MAX    (UINT64_MAX >> RUN_INDEX_BITS) /* some 2,000 years */
static_assert(BULK_MAX <= 1 << RUN_INDEX_BITS, "each has an index");

bool bulk_run_take(struct arena *arena, struct bulk_run *run, struct rbtree *tree, uint32_t timer)
{
	uint64_t due = arena->nodes[timer].due, floor = run->floor;
	uint32_t k = run->n;

	if (k == BULK_MAX || (k && tree != run->tree) || due < arena->nodes[tree->last].due)
		return false;
	if (k >= RUN_DISORDER) {
		uint64_t earlier = run->keys[k - RUN_DISORDER];

		floor = earlier > floor ? earlier : floor;
	}
	if (due < floor >> RUN_INDEX_BITS || due > RUN_DUE_MAX) {
		bulk_run_link(arena, run);
		return false;
	}
	run->floor = floor;
	run->keys[k] = due << RUN_INDEX_BITS | k;
	run->timers[k] = timer;
	run->n++;
	run->tree = tree;
	return true;
}

static bool in_order(const uint64_t *keys, unsigned int n)
{
	bool disorder = false;

	for (unsigned int i = 1; i < n; i++)
		disorder |= keys[i] < keys[i - 1];
	return !disorder;
}

/* Passes between two checks of the order; even. 6 took the least time: see
 * tests/bench/README.md. */
#define PASSES 6

/*
 * Odd-even transposition sort (Habermann, Parallel Neighbor-Sort, 1972). No key moves far, because
 * keys RUN_DISORDER apart are in order: so a few passes are enough. The distance that a key moves
 * is random, and this sort has no branch that depends on it.
 */
static void sort_run(uint64_t *keys, unsigned int n)
{
	while (!in_order(keys, n))
		for (unsigned int pass = 0; pass < PASSES; pass++)
			for (unsigned int i = pass % 2; i + 1 < n; i += 2) {
				uint64_t a = keys[i], b = keys[i + 1];

				keys[i] = a < b ? a : b;
				keys[i + 1] = a < b ? b : a;
			}
}

void bulk_run_link(struct arena *arena, struct bulk_run *run)
{
	uint32_t timers[BULK_MAX];

	if (!run->n)
		return;
	sort_run(run->keys, run->n);
	for (uint32_t i = 0; i < run->n; i++)
		timers[i] = run->timers[run->keys[i] & ((1 << RUN_INDEX_BITS) - 1)];
	rbtree_append(arena->nodes, run->tree, timers, run->n);
	run->n = 0;
	run->floor = 0;
}
