/* SPDX-License-Identifier: MIT */
/*
 * Checks all invariants of the tree after each step: the order, the colours, the black height, the
 * smallest latest of each subtree, the links to parents, the first and the last node. A tree that
 * violates one of these still works most of the time, so no weaker test would find the fault.
 *
 * The checker has its own record of the nodes of each tree. It computes everything from that record
 * and from the links.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dice.h"
#include "rbtree.h"
#include "rbtree_bulk.h"

#define TREES	  2
#define NODES_MAX 5000

/* The checker's own record of a node. */
struct known {
	uint64_t due, latest, sequence;
	int tree; /* -1: in none */
};

struct forest {
	struct rbnode nodes[NODES_MAX + 1];
	struct known known[NODES_MAX + 1];
	struct rbtree trees[TREES];
	uint32_t size[TREES];
	uint32_t count; /* nodes that may be used: 1 .. count */
	uint64_t sequence;
};

/* The state of a walk over a tree. */
struct walk {
	int tree;
	uint32_t last, seen;
};

static struct forest *forest_new(uint32_t count)
{
	struct forest *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->count = count;
	for (uint32_t i = 0; i <= count; i++)
		f->known[i].tree = -1;
	rbtree_init_nodes(f->nodes);
	return f;
}

static bool known_before(const struct forest *f, uint32_t a, uint32_t b)
{
	const struct known *x = &f->known[a], *y = &f->known[b];

	return x->due != y->due ? x->due < y->due : x->sequence < y->sequence;
}

/* Checks one node: it is in this tree, and has the fields that its owner set. */
static void check_node(const struct forest *f, uint32_t x, uint32_t parent, struct walk *walk)
{
	const struct rbnode *node = &f->nodes[x];

	assert_in_range(x, 1, f->count);
	assert_int_equal(f->known[x].tree, walk->tree);
	assert_int_equal(node->parent, parent);
	assert_int_equal(node->due, f->known[x].due);
	assert_int_equal(node->latest, f->known[x].latest);
	assert_int_equal(node->tag, x);
	if (walk->last) {
		assert_true(known_before(f, walk->last, x));
		assert_int_equal(rbtree_next(f->nodes, walk->last), x);
	} else {
		assert_int_equal(f->trees[walk->tree].first, x);
	}
	walk->last = x;
	walk->seen++;
}

/* Checks x, the link to it, and everything below it. Return: the black height, including nil. */
static uint32_t check_below(const struct forest *f, uint32_t x_red, uint32_t parent,
	struct walk *walk, uint64_t *ret_least)
{
	uint32_t x = x_red >> 1;
	const struct rbnode *node = &f->nodes[x];
	uint64_t least[2] = {UINT64_MAX, UINT64_MAX}, smallest;
	uint32_t height[2];
	bool red = x_red & 1;

	*ret_least = UINT64_MAX;
	if (!x) {
		assert_false(red);
		return 1;
	}
	if (red)
		assert_false((node->child_red[0] | node->child_red[1]) & 1);
	height[0] = check_below(f, node->child_red[0], x, walk, &least[0]);
	check_node(f, x, parent, walk);
	height[1] = check_below(f, node->child_red[1], x, walk, &least[1]);
	assert_int_equal(height[0], height[1]);
	smallest = least[0] < least[1] ? least[0] : least[1];
	if (node->latest < smallest)
		smallest = node->latest;
	assert_int_equal(node->least, smallest);
	*ret_least = smallest;
	return height[0] + !red;
}

static void check_forest(const struct forest *f)
{
	for (int i = 0; i < TREES; i++) {
		const struct rbtree *tree = &f->trees[i];
		struct walk walk = {.tree = i};
		uint64_t least;

		check_below(f, tree->root << 1, 0, &walk, &least);
		assert_int_equal(walk.seen, f->size[i]);
		assert_int_equal(tree->last, walk.last);
		assert_int_equal(rbtree_least(f->nodes, tree), least);
		if (!walk.seen)
			assert_int_equal(tree->first, 0);
		else
			assert_int_equal(rbtree_next(f->nodes, tree->last), 0);
	}
	/* All ends of the tree read nil, so nobody may have written to it. */
	assert_int_equal(f->nodes[0].least, UINT64_MAX);
	assert_int_equal(f->nodes[0].parent, 0);
	assert_int_equal(f->nodes[0].child_red[0] | f->nodes[0].child_red[1], 0);
}

/* Makes x a node that is to be linked in a tree. */
static void make(struct forest *f, int i, uint32_t x, uint64_t due, uint64_t latest)
{
	f->known[x] = (struct known){due, latest, ++f->sequence, i};
	f->nodes[x] = (struct rbnode){
		.due = due,
		.latest = latest,
		.tag = x,
		/* Fills the node with rubbish, like a node that was used before. */
		.least = latest / 2,
		.child_red = {x, x},
		.parent = x,
	};
	f->size[i]++;
}

static void insert(struct forest *f, int i, uint32_t x, uint64_t due, uint64_t latest)
{
	struct rbtree *tree = &f->trees[i];
	uint32_t parent = 0, old_first = tree->first;
	bool after = false, is_first;

	make(f, i, x, due, latest);
	for (uint32_t next = tree->root; next; next = rbtree_child(f->nodes, next, after)) {
		parent = next;
		after = known_before(f, next, x);
	}
	is_first = rbtree_insert(f->nodes, tree, x, parent, after);
	assert_int_equal(is_first, !old_first || known_before(f, x, old_first));
}

static void erase(struct forest *f, uint32_t x)
{
	int i = f->known[x].tree;

	rbtree_erase(f->nodes, &f->trees[i], x);
	assert_int_equal(f->nodes[x].due, f->known[x].due);
	assert_int_equal(f->nodes[x].latest, f->known[x].latest);
	assert_int_equal(f->nodes[x].tag, x);
	f->known[x].tree = -1;
	f->size[i]--;
}

/* Cuts off all nodes up to x. */
static void cut(struct forest *f, uint32_t x)
{
	int i = f->known[x].tree;

	rbtree_cut(f->nodes, &f->trees[i], x);
	for (uint32_t y = 1; y <= f->count; y++)
		if (f->known[y].tree == i && !known_before(f, x, y)) {
			f->known[y].tree = -1;
			f->size[i]--;
			/* No remaining node may link to it. */
			f->nodes[y].parent = f->nodes[y].child_red[0] = f->nodes[y].child_red[1] =
				UINT32_MAX;
		}
}

/* A random node that is in a tree (or in none); 0: there is no such node. */
static uint32_t some_node(const struct forest *f, struct dice *dice, bool in_tree)
{
	uint32_t start = (uint32_t)dice_below(dice, f->count);

	for (uint32_t i = 0; i < f->count; i++) {
		uint32_t x = 1 + (start + i) % f->count;

		if ((f->known[x].tree >= 0) == in_tree)
			return x;
	}
	return 0;
}

/* A node to cut at: mostly one of the first, as for wakes; sometimes any. */
static uint32_t some_cut(const struct forest *f, struct dice *dice, int i)
{
	uint32_t x = f->trees[i].first;

	if (dice_once_in(dice, f->count))
		return some_node(f, dice, true);
	for (uint64_t n = dice_below(dice, 4); n && x && x != f->trees[i].last; n--)
		x = rbtree_next(f->nodes, x);
	return x;
}

/* One of a few values, so that they are often equal; sometimes the greatest value. */
static uint64_t some_time(const struct forest *f, struct dice *dice)
{
	return dice_once_in(dice, 20) ? UINT64_MAX : dice_below(dice, f->count * UINT64_C(2));
}

/* The same, but not before due, and often equal to it. */
static uint64_t some_latest(const struct forest *f, struct dice *dice, uint64_t due)
{
	uint64_t latest = dice_once_in(dice, 3) ? 0 : some_time(f, dice);

	return __builtin_add_overflow(due, latest, &latest) ? UINT64_MAX : latest;
}

/* Appends up to n nodes that are in no tree. */
static void append(struct forest *f, struct dice *dice, int i, uint32_t n)
{
	struct rbtree *tree = &f->trees[i];
	uint64_t due = f->nodes[tree->last].due;
	uint32_t run[NODES_MAX], taken = 0, x;

	while (taken < n && (x = some_node(f, dice, false))) {
		if (__builtin_add_overflow(due, dice_below(dice, 3), &due))
			due = UINT64_MAX;
		make(f, i, x, due, some_latest(f, dice, due));
		run[taken++] = x;
	}
	rbtree_append(f->nodes, tree, run, taken);
}

/* One step. growing: insert more often than erase. */
static void random_step(struct forest *f, struct dice *dice, int trees, bool growing)
{
	int i = (int)dice_below(dice, (uint64_t)trees);
	uint64_t what = dice_below(dice, 100);
	uint32_t x;

	if (what < (growing ? 50 : 20)) {
		x = some_node(f, dice, false);
		if (x) {
			uint64_t due = some_time(f, dice);

			insert(f, i, x, due, some_latest(f, dice, due));
		}
	} else if (what < 70) {
		x = some_node(f, dice, true);
		if (x)
			erase(f, x);
	} else if (what < 78) {
		if (f->trees[i].first)
			erase(f, f->trees[i].first);
	} else if (what < 82) {
		if (f->trees[i].last)
			erase(f, f->trees[i].last);
	} else if (what < 86) {
		x = some_cut(f, dice, i);
		if (x)
			cut(f, x);
	} else if (what < 88) {
		append(f, dice, i, (uint32_t)dice_below(dice, 1 + f->count / 10));
	} else {
		x = some_node(f, dice, true);
		if (x) {
			f->known[x].latest = some_latest(f, dice, f->known[x].due);
			rbtree_set_latest(f->nodes, x, f->known[x].latest);
		}
	}
}

static void random_run(const char *name, uint64_t seed, int trees, uint32_t count, uint64_t steps,
	uint64_t check_every)
{
	struct dice dice = dice_new(name, seed);
	struct forest *f = forest_new(count);
	uint32_t most = 0;
	bool growing = true;

	for (uint64_t step = 1; step <= steps; step++) {
		uint32_t size;

		random_step(f, &dice, trees, growing);
		if (step % check_every == 0)
			check_forest(f);
		size = f->size[0] + f->size[1];
		most = size > most ? size : most;
		if (size == 0)
			growing = true;
		/* Sometimes the trees become empty, because small trees are special cases. */
		else if (size > count - count / 8 || dice_once_in(&dice, count * UINT64_C(8)))
			growing = false;
	}
	check_forest(f);
	assert_true(most > count / 2);
	free(f);
}

static void test_small_trees_stay_valid_under_random_changes(void **state)
{
	(void)state;
	random_run("random_small", 1, 1, 12, 100000, 1);
}

static void test_trees_stay_valid_under_random_changes(void **state)
{
	(void)state;
	random_run("random", 2, 1, 300, 100000, 1);
}

static void test_large_trees_stay_valid_under_random_changes(void **state)
{
	(void)state;
	random_run("random_large", 3, 1, NODES_MAX, 100000, 100);
}

static void test_two_trees_share_one_array(void **state)
{
	(void)state;
	random_run("two_trees", 4, 2, 200, 100000, 1);
}

enum order {
	ASCENDING,
	DESCENDING,
	EQUAL,
	INWARDS,
	ORDERS,
};

static uint64_t due_in_order(enum order order, uint64_t i, uint64_t n)
{
	switch (order) {
	case ASCENDING:
		return i;
	case DESCENDING:
		return n - i;
	case EQUAL:
		return 7;
	default:
		return i % 2 ? n - i : i;
	}
}

/* A tree is filled in one order of dues and another order of latest, and emptied from each end. */
static void test_trees_stay_valid_in_every_order_of_dues_and_latests(void **state)
{
	const uint32_t n = 500;

	(void)state;
	for (unsigned int order = 0; order < ORDERS * ORDERS * 2; order++) {
		struct forest *f = forest_new(n);
		enum order dues = order % ORDERS, latests = order / ORDERS % ORDERS;
		bool from_last = order >= ORDERS * ORDERS;

		for (uint32_t x = 1; x <= n; x++) {
			/* No due is later than n. */
			insert(f, 0, x, due_in_order(dues, x, n), n + due_in_order(latests, x, n));
			check_forest(f);
		}
		/* Equal dues stay in the order in which they came. */
		if (dues == EQUAL)
			for (uint32_t x = 1; x < n; x++)
				assert_int_equal(rbtree_next(f->nodes, x), x + 1);
		while (f->size[0]) {
			erase(f, from_last ? f->trees[0].last : f->trees[0].first);
			check_forest(f);
		}
		assert_int_equal(f->trees[0].root | f->trees[0].first | f->trees[0].last, 0);
		free(f);
	}
}

/* Each node of each small tree is erased once, from each order of insertion of up to six. */
static void test_every_removal_from_every_small_tree(void **state)
{
	(void)state;
	for (uint32_t n = 1; n <= 6; n++) {
		uint32_t arrangements = 1;

		for (uint32_t i = 2; i <= n; i++)
			arrangements *= i;
		for (uint32_t a = 0; a < arrangements * n; a++) {
			struct forest *f = forest_new(n);
			uint32_t left[6] = {1, 2, 3, 4, 5, 6}, code = a / n;

			for (uint32_t size = n; size; code /= size, size--) {
				uint32_t pick = code % size, due = left[pick];

				memmove(&left[pick], &left[pick + 1],
					(size - 1 - pick) * sizeof(left[0]));
				insert(f, 0, due, due, 100 - due);
				check_forest(f);
			}
			erase(f, 1 + a % n);
			check_forest(f);
			free(f);
		}
	}
}

/* Appends each number of nodes to each number of nodes, and erases them in any order. */
static void test_append_of_a_run_equals_single_insertions(void **state)
{
	struct dice dice = dice_new("append", 5);

	(void)state;
	for (uint32_t held = 0; held < 40; held++)
		for (uint32_t n = 0; n < 70; n++) {
			struct forest *f = forest_new(120);
			uint32_t x;

			for (x = 1; x <= held; x++)
				insert(f, 0, x, dice_below(&dice, 50), 50 + dice_below(&dice, 50));
			append(f, &dice, 0, n);
			assert_int_equal(f->size[0], held + n);
			check_forest(f);
			while ((x = some_node(f, &dice, true))) {
				erase(f, x);
				check_forest(f);
			}
			free(f);
		}
}

static void test_empty_tree_has_no_ends(void **state)
{
	struct rbnode nodes[2];
	struct rbtree tree = {0};

	(void)state;
	memset(nodes, 0xff, sizeof(nodes));
	rbtree_init_nodes(nodes);
	assert_int_equal(rbtree_least(nodes, &tree), UINT64_MAX);
	nodes[1].due = nodes[1].latest = 5;
	assert_true(rbtree_insert(nodes, &tree, 1, 0, false));
	assert_int_equal(rbtree_least(nodes, &tree), 5);
	assert_int_equal(rbtree_next(nodes, 1), 0);
	rbtree_erase(nodes, &tree, 1);
	assert_int_equal(tree.root | tree.first | tree.last, 0);
	assert_int_equal(rbtree_least(nodes, &tree), UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_tree_has_no_ends),
		cmocka_unit_test(test_every_removal_from_every_small_tree),
		cmocka_unit_test(test_trees_stay_valid_in_every_order_of_dues_and_latests),
		cmocka_unit_test(test_append_of_a_run_equals_single_insertions),
		cmocka_unit_test(test_small_trees_stay_valid_under_random_changes),
		cmocka_unit_test(test_trees_stay_valid_under_random_changes),
		cmocka_unit_test(test_large_trees_stay_valid_under_random_changes),
		cmocka_unit_test(test_two_trees_share_one_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
