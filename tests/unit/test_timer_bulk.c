/* SPDX-License-Identifier: MIT */
/*
 * Positions that are found for several timers before any of them is linked, and runs of timers that
 * come last. For all dues, even if several timers find the same position, the trees must be the
 * same as if each timer were inserted by itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dice.h"
#include "timer_bulk.h"

#define TREES  3
#define TIMERS 2000
#define ROUNDS 20000

struct fixture {
	struct arena arena;
	void *block;
	struct rbtree trees[TREES];
	struct bulk_run run;
	uint8_t tree_of[TIMERS + 1]; /* and one; 0: the timer is free */
	uint32_t count[TREES];
	struct dice dice;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->block = aligned_alloc(4096, arena_size(TIMERS, 1));
	for (size_t i = 0; i < arena_size(TIMERS, 1); i++)
		((char *)f->block)[i] = 0;
	arena_init(&f->arena, f->block, TIMERS, 1);
	f->dice = dice_new("places", 20261124);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->block);
	free(f);
	return 0;
}

/* A due as clients choose it: at an end of a tree, equal to another one, or any. */
static uint64_t some_due(struct fixture *f, const struct rbtree *tree)
{
	const struct rbnode *nodes = f->arena.nodes;

	switch (dice_below(&f->dice, 5)) {
	case 0:
		return nodes[tree->last].due + dice_below(&f->dice, 3);
	case 1:
		return nodes[tree->last].due - dice_below(&f->dice, 1 + nodes[tree->last].due) % 64;
	case 2:
		return nodes[tree->first].due -
			dice_below(&f->dice, 2) % (nodes[tree->first].due + 1);
	case 3:
		return 1000 + dice_below(&f->dice, 8) * 100;
	default:
		return 1 + dice_below(&f->dice, 1000000);
	}
}

/* Timers of one packet. */
static void link_some(struct fixture *f)
{
	uint32_t positions[BULK_ABREAST], n = 1 + (uint32_t)dice_below(&f->dice, BULK_ABREAST);
	const struct rbtree *trees[BULK_ABREAST];
	uint64_t dues[BULK_ABREAST];
	uint32_t which[BULK_ABREAST];
	struct arena *arena = &f->arena;
	bool late = dice_once_in(&f->dice, 3), far = dice_once_in(&f->dice, 300);

	if (f->count[0] + f->count[1] + f->count[2] + n > TIMERS)
		return;
	for (uint32_t i = 0; i < n; i++) {
		which[i] = late ? 0 : (uint32_t)dice_below(&f->dice, TREES);
		trees[i] = &f->trees[which[i]];
		dues[i] = some_due(f, trees[i]);
		if (late) /* in random order, and too many for a run */
			dues[i] = arena->nodes[trees[i]->last].due + dice_below(&f->dice, 100);
		if (far &&
			dice_once_in(&f->dice, 2)) /* near the greatest due that a key can hold */
			dues[i] = (UINT64_MAX >> 8) - 2 + dice_below(&f->dice, 5);
	}
	bulk_find_positions(arena, trees, dues, n, positions);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t timer = arena_take_timer(arena);

		if (dice_once_in(&f->dice, 20)) { /* a refused timer */
			arena_give_timer(arena, timer);
			continue;
		}
		arena->timers[timer].sequence = ++arena->header->sequence;
		arena->nodes[timer].due = arena->nodes[timer].latest = dues[i];
		if (!bulk_run_take(arena, &f->run, &f->trees[which[i]], timer))
			bulk_insert(arena, &f->trees[which[i]], timer, positions[i]);
		f->tree_of[timer] = (uint8_t)(which[i] + 1);
		f->count[which[i]]++;
	}
}

static void unlink_some(struct fixture *f)
{
	bool all = dice_once_in(&f->dice, 500);

	for (uint64_t n = all ? 10 * TIMERS : dice_below(&f->dice, 4 * BULK_ABREAST); n; n--) {
		uint32_t timer = 1 + (uint32_t)dice_below(&f->dice, TIMERS);
		uint8_t tree = f->tree_of[timer];

		if (!tree)
			continue;
		timers_withdraw(&f->arena, &f->trees[tree - 1], timer);
		arena_give_timer(&f->arena, timer);
		f->tree_of[timer] = 0;
		f->count[tree - 1]--;
	}
}

/* Checks that all timers are in the tree by (due, sequence), and its first, last and smallest
 * latest. */
static void check(const struct fixture *f, unsigned int tree)
{
	const struct rbnode *nodes = f->arena.nodes;
	const struct rbtree *t = &f->trees[tree];
	uint32_t n = 0, before = 0;

	for (uint32_t timer = t->first; timer; timer = rbtree_next(nodes, timer)) {
		assert_int_equal(f->tree_of[timer], tree + 1);
		assert_true(!before || nodes[before].due < nodes[timer].due ||
			(nodes[before].due == nodes[timer].due &&
				f->arena.timers[before].sequence <
					f->arena.timers[timer].sequence));
		before = timer;
		n++;
	}
	assert_int_equal(n, f->count[tree]);
	assert_int_equal(before, t->last);
	assert_int_equal(rbtree_least(nodes, t), n ? nodes[t->first].due : UINT64_MAX);
}

static void test_bulk_insertion_equals_single_insertions(void **state)
{
	struct fixture *f = *state;

	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (uint64_t n = 1 + dice_below(&f->dice, 4); n; n--)
			link_some(f);
		bulk_run_link(&f->arena, &f->run);
		unlink_some(f);
		if (dice_once_in(&f->dice, 20))
			for (unsigned int tree = 0; tree < TREES; tree++)
				check(f, tree);
	}
}

static bool taken(struct fixture *f, uint64_t due)
{
	uint32_t timer = arena_take_timer(&f->arena);

	f->arena.nodes[timer].due = f->arena.nodes[timer].latest = due;
	return bulk_run_take(&f->arena, &f->run, &f->trees[0], timer);
}

/* A timer that is due before one taken sixteen or more timers earlier does not fit in a run,
 * because sorting would take too long. The run is linked first. */
static void test_a_run_ends_at_too_much_disorder(void **state)
{
	struct fixture *f = *state;

	assert_true(taken(f, 5000));
	for (unsigned int i = 0; i < 14; i++)
		assert_true(taken(f, 2000));
	assert_true(taken(f, 1000));  /* fifteen timers too late */
	assert_true(taken(f, 5000));  /* equal dues are in order, whatever their distance */
	assert_false(taken(f, 3000)); /* the first one counts, although smaller ones came later */
	assert_int_equal(f->run.n, 0);
	assert_int_equal(f->arena.nodes[f->trees[0].first].due, 1000);
	assert_int_equal(f->arena.nodes[f->trees[0].last].due, 5000);
	assert_true(taken(f, 5000)); /* the next run begins anew */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_bulk_insertion_equals_single_insertions, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_run_ends_at_too_much_disorder, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
