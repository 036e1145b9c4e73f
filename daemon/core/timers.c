/* SPDX-License-Identifier: MIT */
/*
 * The tree's order, and the arithmetic of time. Sums with what a client gave go through
 * __builtin_add_overflow and end in TIMERS_FOREVER.
 */
#include "timers.h"

/* Odd constants: successive values of splitmix64 (Steele, Lea and Flood, 2014) from 0, made odd. */
static const uint64_t odd[] = {
	UINT64_C(0xe220a8397b1dcdaf),
	UINT64_C(0x6e789e6aa1b965f5),
	UINT64_C(0x06c45d188009454f),
	UINT64_C(0xf88bb8a8724c81ed),
	UINT64_C(0x1b39896a51a8749b),
	UINT64_C(0x53cb9f0c747ea2eb),
	UINT64_C(0x2c829abe1f4532e1),
	UINT64_C(0xc584133ac916ab3d),
	UINT64_C(0x3ee5789041c98ac3),
	UINT64_C(0xf3b8488c368cb0a7),
	UINT64_C(0x657eecdd3cb13d09),
};

uint64_t timers_slack(const struct arena *arena, uint32_t timer)
{
	const struct rbnode *node = &arena->nodes[timer];

	return node->latest == TIMERS_FOREVER ? TIMERS_FOREVER : node->latest - node->due;
}

uint32_t timers_find(const struct arena *arena, uint64_t id)
{
	uint32_t timer = timers_index(arena, id);

	if (timer == 0 || timers_id(arena, timer) != id)
		return 0;
	return timers_alive(arena, timer) ? timer : 0;
}

static inline uint32_t check_of(
	const struct arena *arena, uint32_t timer, const struct arena_intent *change)
{
	const struct timer *t = &arena->timers[timer];
	uint64_t kind = (arena->nodes[timer].tag & ~TIMERS_TAG_PAST) >> TIMERS_TAG_CLOCK_SHIFT;
	uint64_t sum = (uint64_t)timer << 32;

	sum += odd[0] * t->sequence + odd[1] * t->cookie;
	sum += odd[2] * ((uint64_t)t->session << 32 | change->count);
	sum += odd[3] * (kind << 32 | change->fired);
	sum += odd[4] * change->every + odd[5] * change->due + odd[6] * change->latest;
	sum += odd[7] * timer;
	if (timers_labelled(arena, timer))
		for (unsigned int i = 0; i < PROTO_LABEL_MAX / 8; i++) {
			uint64_t word;

			__builtin_memcpy(&word, arena->labels[timer] + i * 8, 8);
			sum += odd[8 + i] * word;
		}
	return (uint32_t)(sum >> 32);
}

uint32_t timers_check(const struct arena *arena, uint32_t timer, const struct arena_intent *change)
{
	return check_of(arena, timer, change);
}

struct arena_intent timers_values(const struct arena *arena, uint32_t timer)
{
	const struct timer *t = &arena->timers[timer];

	return (struct arena_intent){
		.timer = timer,
		.check = t->check,
		.count = t->count,
		.fired = t->fired,
		.due = arena->nodes[timer].due,
		.latest = arena->nodes[timer].latest,
		.every = t->every,
	};
}

void timers_publish(struct arena *arena, uint32_t timer, unsigned int clock, uint32_t kind)
{
	struct rbnode *node = &arena->nodes[timer];
	struct arena_intent values = timers_values(arena, timer);

	ARENA_STORE(node->tag, (uint32_t)TIMER_FREE | clock << TIMERS_TAG_CLOCK_SHIFT | kind);
	ARENA_STORE(arena->timers[timer].check, check_of(arena, timer, &values));
	timers_set_state(arena, timer, TIMER_ARMED);
}

static void change_apply(struct arena *arena, const struct arena_intent *change)
{
	struct rbnode *node = &arena->nodes[change->timer];
	struct timer *t = &arena->timers[change->timer];

	ARENA_STORE(node->due, change->due);
	ARENA_STORE(node->latest, change->latest);
	ARENA_STORE(t->every, change->every);
	ARENA_STORE(t->count, change->count);
	ARENA_STORE(t->fired, change->fired);
	ARENA_STORE(t->check, change->check);
}

void timers_change(struct arena *arena, uint32_t timer, const struct arena_intent *change)
{
	struct arena_intent *intent = &arena->header->intent;

	ARENA_STORE(intent->due, change->due);
	ARENA_STORE(intent->latest, change->latest);
	ARENA_STORE(intent->every, change->every);
	ARENA_STORE(intent->count, change->count);
	ARENA_STORE(intent->fired, change->fired);
	ARENA_STORE(intent->check, timers_check(arena, timer, intent));
	ARENA_PUBLISH(intent->timer, timer);
	change_apply(arena, intent);
	ARENA_PUBLISH(intent->timer, 0);
}

void timers_redo(struct arena *arena)
{
	struct arena_intent change = arena->header->intent;

	/* The check word covers what the change leaves alone as well: it fits this very timer
	 * only. */
	if (change.timer && change.timer <= arena->header->max_timers &&
		timers_check(arena, change.timer, &change) == change.check)
		change_apply(arena, &change);
	ARENA_PUBLISH(arena->header->intent.timer, 0);
}

void timers_rearm(struct arena *arena, uint32_t timer, const struct arena_intent *change)
{
	struct arena_applying *applying = &arena->header->applying;

	ARENA_STORE(arena->rearmed[applying->rearmed], timers_values(arena, timer));
	ARENA_PUBLISH(applying->rearmed, applying->rearmed + 1);
	timers_change(arena, timer, change);
}

void timers_take_back(struct arena *arena)
{
	uint32_t n = arena->header->applying.rearmed;

	/* From the last to the first: one packet may re-arm a timer several times. */
	for (n = n < ARENA_REARMED_MAX ? n : ARENA_REARMED_MAX; n; n--) {
		struct arena_intent was = arena->rearmed[n - 1];

		if (was.timer && was.timer <= arena->header->max_timers &&
			timers_check(arena, was.timer, &was) == was.check)
			change_apply(arena, &was);
	}
}

/* Whether timer a comes before timer b. The cold half is looked at for equal dues only. */
static bool before(const struct arena *arena, uint32_t a, uint32_t b)
{
	uint64_t due_a = arena->nodes[a].due, due_b = arena->nodes[b].due;

	if (due_a != due_b)
		return due_a < due_b;
	return arena->timers[a].sequence < arena->timers[b].sequence;
}

/* How far up from a tree's last node a search may begin: the last hundred timers or so lie
 * below. */
#define FINGER_STEPS 8

/*
 * Where the search for a due's place begins. New timers mostly come near the end of their tree, so
 * it goes up from the last node rather than down from the root, if not too far (a finger search:
 * Guibas, McCreight, Plass and Roberts, 1977). Return: the node to descend from; 0: it comes last.
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

/* Return: the place, by one search. */
static uint32_t find_place(const struct rbnode *nodes, const struct rbtree *tree, uint64_t due)
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

/* The due from which on a finger need not go to the root. */
static uint64_t near_end(const struct rbnode *nodes, const struct rbtree *tree)
{
	uint32_t top = tree->last;

	for (unsigned int i = 0; i < FINGER_STEPS && nodes[top].parent; i++)
		top = nodes[top].parent;
	return nodes[top].due;
}

/* Not a place: it is looked for when it is needed. Near the end of a tree that is as fast. */
#define NO_PLACE UINT32_MAX

/* a; where that is 0, b. Nothing is guessed. */
static uint32_t either(uint32_t a, uint32_t b)
{
	return a | (b & -(uint32_t)(a == 0));
}

static bool among(const uint32_t *places, unsigned int n, uint32_t place)
{
	while (n && places[n - 1] != place)
		n--;
	return n;
}

/*
 * A place is the gap between two neighbours. Once somebody has been put into it, it may be that of
 * whoever found it as well, or that beside it: who is not the first to have found one has none.
 */
static void drop_shared(uint32_t *places, unsigned int n)
{
	uint64_t seen = 0;

	for (unsigned int i = 0; i < n; i++) {
		/* Each has one bit of 64, by Fibonacci hashing as in limits.c. Only who meets one
		 * that is set has to compare. */
		uint32_t hash = places[i] * UINT32_C(2654435769) >> 26;
		uint64_t bit = (uint64_t)(places[i] != NO_PLACE) << hash;

		if (seen & bit && among(places, i, places[i]))
			places[i] = NO_PLACE;
		seen |= bit;
	}
}

void timers_foresee(const struct arena *arena, const struct rbtree *const *trees,
	const uint64_t *dues, unsigned int n, uint32_t *ret_places)
{
	const struct rbnode *nodes = arena->nodes;
	uint32_t at[TIMERS_ABREAST], above[TIMERS_ABREAST], any = 0;
	uint64_t near = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (i == 0 || trees[i] != trees[i - 1])
			near = near_end(nodes, trees[i]);
		at[i] = dues[i] < near ? trees[i]->root : 0;
		above[i] = 0;
		any |= at[i];
		ret_places[i] = NO_PLACE;
	}
	if (!any)
		return;
	/* There is no branch to be guessed wrong, which would make all of them wait: who has
	 * arrived stays at nil, below which there is nothing. */
	while (any) {
		any = 0;
		for (unsigned int i = 0; i < n; i++) {
			uint32_t x = at[i];
			const struct rbnode *node = &nodes[x];
			/* The only use of the comparison, see "a trap" in tests/bench/README.md. */
			uint32_t next = node->child_red[node->due <= dues[i]] >> 1;

			__builtin_prefetch(&nodes[next]);
			above[i] = either(x, above[i]);
			at[i] = next;
			any |= next;
		}
	}
	for (unsigned int i = 0; i < n; i++) {
		bool after = nodes[above[i]].due <= dues[i];

		ret_places[i] = above[i] ? above[i] << 1 | after : NO_PLACE;
	}
	drop_shared(ret_places, n);
}

/* A record of 40 bytes may begin in one cache line and end in the next. */
static void fetch(const void *record)
{
	static_assert(sizeof(struct rbnode) == 40 && sizeof(struct timer) == 40, "either");
	__builtin_prefetch(record);
	__builtin_prefetch((const char *)record + 39);
}

void timers_fetch(const struct arena *arena, uint32_t timer)
{
	fetch(&arena->nodes[timer]);
	fetch(&arena->timers[timer]);
}

/* Levels that are looked down for the node after one. There are seldom more than two. */
#define AFTER_STEPS 4

void timers_foresee_withdrawal(const struct arena *arena, const uint32_t *timers, unsigned int n)
{
	const struct rbnode *nodes = arena->nodes;
	uint32_t in_tree[TIMERS_WITHDRAWN_ABREAST], leaves[TIMERS_WITHDRAWN_ABREAST];
	unsigned int way[TIMERS_WITHDRAWN_ABREAST], on_their_way = 0;

	for (unsigned int i = 0; i < n; i++)
		timers_fetch(arena, timers[i]);
	for (unsigned int i = 0; i < n; i++) {
		/* The links of one that is in no tree may be those of a damaged arena. Nil has
		 * none. */
		uint32_t timer = timers_state(arena, timers[i]) == TIMER_ARMED ? timers[i] : 0;
		const struct rbnode *node = &nodes[timer];

		fetch(&nodes[node->parent]);
		fetch(&nodes[node->child_red[0] >> 1]);
		fetch(&nodes[node->child_red[1] >> 1]);
		in_tree[i] = timer;
		/* Where it has two children the node after it takes its place, and leaves its
		 * own. */
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
			leaves[i] = either(before, leaves[i]);
			way[on_their_way] = i;
			on_their_way += before != 0;
		}
	}
	/* What a removal leaves behind is balanced with what hangs beside it, and made known
	 * further up. */
	for (unsigned int i = 0; i < n; i++) {
		uint32_t x = either(leaves[i], in_tree[i]);
		uint32_t parent = nodes[x].parent;

		fetch(&nodes[rbtree_child(nodes, parent, rbtree_child(nodes, parent, 0) == x)]);
		fetch(&nodes[nodes[parent].parent]);
	}
}

void timers_enroll(struct arena *arena, struct rbtree *tree, uint32_t timer)
{
	uint32_t parent = tree->last;
	bool after = true;

	if (parent && before(arena, timer, parent)) {
		after = !before(arena, timer, tree->first);
		parent = after ? tree->root : tree->first;
		for (uint32_t next = after ? parent : 0; next;
			next = rbtree_child(arena->nodes, next, after)) {
			parent = next;
			after = before(arena, next, timer);
		}
	}
	rbtree_insert(arena->nodes, tree, timer, parent, after);
}

void timers_enroll_foreseen(
	struct arena *arena, struct rbtree *tree, uint32_t timer, uint32_t place)
{
	/* If a child hangs there, the place is on the other neighbour's side now. */
	if (place == NO_PLACE || arena->nodes[place >> 1].child_red[place & 1])
		place = find_place(arena->nodes, tree, arena->nodes[timer].due);
	rbtree_insert(arena->nodes, tree, timer, place >> 1, place & 1);
}

/* What is taken is due no sooner than any that was taken so many before it, or more. */
#define RUN_DISORDER 16

/* A key is due << RUN_INDEX_BITS | the index in the run: equal dues stay in the order of their
 * registration. */
#define RUN_INDEX_BITS 10
#define RUN_DUE_MAX    (UINT64_MAX >> RUN_INDEX_BITS) /* some 570 years */
static_assert(PROTO_RECORDS_MAX(struct proto_register) <= 1 << RUN_INDEX_BITS, "each has an index");

bool timers_run_take(
	struct arena *arena, struct timers_run *run, struct rbtree *tree, uint32_t timer)
{
	uint64_t due = arena->nodes[timer].due, settled = run->settled;
	uint32_t k = run->n;

	if ((k && tree != run->tree) || due < arena->nodes[tree->last].due)
		return false;
	if (k >= RUN_DISORDER) {
		uint64_t earlier = run->keys[k - RUN_DISORDER];

		settled = earlier > settled ? earlier : settled;
	}
	if (due < settled >> RUN_INDEX_BITS || due > RUN_DUE_MAX) {
		timers_run_link(arena, run);
		return false;
	}
	run->settled = settled;
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

/* Passes between two looks at whether that was enough: an even number. 6 took the least time,
 * see tests/bench/README.md. */
#define PASSES 6

/*
 * Odd-even transposition (Habermann, Parallel Neighbor-Sort, 1972). As nothing is out of order with
 * what came RUN_DISORDER before it, so many passes are enough. How far each key has to go is a
 * matter of chance, and here nothing depends on guessing it.
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

void timers_run_link(struct arena *arena, struct timers_run *run)
{
	uint32_t timers[PROTO_RECORDS_MAX(struct proto_register)];

	if (!run->n)
		return;
	sort_run(run->keys, run->n);
	for (uint32_t i = 0; i < run->n; i++)
		timers[i] = run->timers[run->keys[i] & ((1 << RUN_INDEX_BITS) - 1)];
	rbtree_append(arena->nodes, run->tree, timers, run->n);
	run->n = 0;
	run->settled = 0;
}

void timers_withdraw(struct arena *arena, struct rbtree *tree, uint32_t timer)
{
	rbtree_erase(arena->nodes, tree, timer);
}

void timers_withdraw_until(struct arena *arena, struct rbtree *tree, uint32_t timer)
{
	rbtree_cut(arena->nodes, tree, timer);
}

uint64_t timers_overruns(const struct arena *arena, uint32_t timer, uint64_t at)
{
	uint64_t due = arena->nodes[timer].due, every = arena->timers[timer].every;

	return every && at > due ? (at - due) / every : 0;
}

/* The due after the wake that is sent at that time; TIMERS_FOREVER: there is none. */
static uint64_t next_due(const struct arena *arena, uint32_t timer, uint64_t at)
{
	uint64_t due = arena->nodes[timer].due;
	/* At most at - due, so the product cannot overflow; the last step can. */
	uint64_t passed = timers_overruns(arena, timer, at) * arena->timers[timer].every;
	uint64_t next;

	if (__builtin_add_overflow(due + passed, arena->timers[timer].every, &next))
		return TIMERS_FOREVER;
	return next;
}

bool timers_last(const struct arena *arena, uint32_t timer, uint64_t at)
{
	const struct timer *t = &arena->timers[timer];

	if (!t->every || (t->count && t->fired + 1 >= t->count))
		return true;
	return next_due(arena, timer, at) == TIMERS_FOREVER;
}

void timers_advance(struct arena *arena, uint32_t timer, uint64_t at)
{
	struct arena_intent change = timers_values(arena, timer);

	change.due = next_due(arena, timer, at);
	change.latest = timers_latest(change.due, timers_slack(arena, timer));
	change.fired++;
	timers_change(arena, timer, &change);
	if (arena->nodes[timer].tag & TIMERS_TAG_PAST)
		ARENA_STORE(arena->nodes[timer].tag, arena->nodes[timer].tag & ~TIMERS_TAG_PAST);
}
