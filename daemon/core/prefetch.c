/* SPDX-License-Identifier: MIT */
#include "prefetch.h"

/* a, or b if a is 0, without a branch. */
static uint32_t first_nonzero(uint32_t a, uint32_t b)
{
	return a | (b & -(uint32_t)(a == 0));
}

/* A record of 40 bytes may begin in one cache line and end in the next. */
static void fetch(const void *record)
{
	static_assert(sizeof(struct rbnode) == 40 && sizeof(struct timer) == 40, "either");
	__builtin_prefetch(record);
	__builtin_prefetch((const char *)record + 39);
}

void prefetch_timer(const struct arena *arena, uint32_t timer)
{
	fetch(&arena->nodes[timer]);
	fetch(&arena->timers[timer]);
}

/* The most levels of the descent to the next node. It seldom needs more than two. */
#define AFTER_STEPS 4

void prefetch_for_removal(const struct arena *arena, const uint32_t *timers, unsigned int n)
{
	const struct rbnode *nodes = arena->nodes;
	uint32_t in_tree[PREFETCH_ABREAST], leaves[PREFETCH_ABREAST];
	unsigned int way[PREFETCH_ABREAST], on_their_way = 0;

	for (unsigned int i = 0; i < n; i++)
		prefetch_timer(arena, timers[i]);
	for (unsigned int i = 0; i < n; i++) {
		/* Only a timer in a tree has valid links; in an adopted arena others may have
		 * any. */
		uint32_t timer = timers_state(arena, timers[i]) == TIMER_ARMED ? timers[i] : 0;
		const struct rbnode *node = &nodes[timer];

		fetch(&nodes[node->parent]);
		fetch(&nodes[node->child_red[0] >> 1]);
		fetch(&nodes[node->child_red[1] >> 1]);
		in_tree[i] = timer;
		/* If the node has two children, the next node moves to its position. */
		leaves[i] = node->child_red[1] >> 1 & -(uint32_t)(node->child_red[0] != 0);
		way[on_their_way] = i;
		on_their_way += leaves[i] != 0;
	}
	for (unsigned int step = 0; step < AFTER_STEPS; step++) {
		unsigned int were = on_their_way;

		on_their_way = 0;
		for (unsigned int k = 0; k < were; k++) {
			unsigned int i = way[k];
			uint32_t before = rbtree_child(nodes, leaves[i], false);

			fetch(&nodes[before]);
			leaves[i] = first_nonzero(before, leaves[i]);
			way[on_their_way] = i;
			on_their_way += before != 0;
		}
	}
	/* A removal reads the sibling, to rebalance, and the ancestors, to update `least`. */
	for (unsigned int i = 0; i < n; i++) {
		uint32_t x = first_nonzero(leaves[i], in_tree[i]);
		uint32_t parent = nodes[x].parent;

		fetch(&nodes[rbtree_child(nodes, parent, rbtree_child(nodes, parent, 0) == x)]);
		fetch(&nodes[nodes[parent].parent]);
	}
}
