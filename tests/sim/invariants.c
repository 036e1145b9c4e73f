/* SPDX-License-Identifier: MIT */
/*
 * The check marks each slot when it reaches it. A slot that is reached twice is part of a cycle or
 * has two owners. A slot that is never reached has leaked.
 */
#include "invariants.h"

#include <string.h>

#include "check.h"
#include "timer_state.h"

struct invariants {
	const struct arena *arena;
	const char *fault; /* the first one */
	uint8_t timers[INVARIANTS_SLOTS_MAX], sessions[INVARIANTS_SLOTS_MAX],
		users[INVARIANTS_SLOTS_MAX];
	uint32_t held, user_timers[INVARIANTS_SLOTS_MAX], user_clients[INVARIANTS_SLOTS_MAX];
	uint32_t all_timers, all_clients;
};

#define REQUIRE(condition, text)                                 \
	do {                                                     \
		if (!(condition)) {                              \
			s->fault = s->fault ? s->fault : (text); \
			return 0;                                \
		}                                                \
	} while (0)

/* The walk through one tree, of timers or of heads of sessions. */
struct walk {
	const struct rbnode *nodes;
	uint8_t *marks;
	uint32_t top;
	uint32_t last; /* the node before, in order */
	bool (*visit)(struct invariants *s, struct walk *walk, uint32_t node);
	uint32_t session;
	unsigned int clock;
};

/* Checks the subtree below a link of the parent. Return: its black height plus one; 0: there is a
 * fault. */
static uint32_t walk_tree(
	struct invariants *s, struct walk *walk, uint32_t node_red, uint32_t parent)
{
	uint32_t node = node_red >> 1, before, after;
	const struct rbnode *n = &walk->nodes[node];
	bool red = node_red & 1;
	uint64_t least;

	if (!node) {
		REQUIRE(!red, "nil is red");
		return 1;
	}
	REQUIRE(node <= walk->top, "a tree's link is out of range");
	REQUIRE(!walk->marks[node], "a slot is in two trees or lists, or twice in one");
	walk->marks[node] = 1;
	REQUIRE(n->parent == parent, "a tree's link upwards is wrong");
	REQUIRE(!red || !((n->child_red[0] | n->child_red[1]) & 1), "red below red");
	before = walk_tree(s, walk, n->child_red[0], node);
	if (!before || !walk->visit(s, walk, node))
		return 0;
	walk->last = node;
	after = walk_tree(s, walk, n->child_red[1], node);
	if (!after)
		return 0;
	REQUIRE(before == after, "a tree is not balanced");
	least = n->latest;
	for (int side = 0; side < 2; side++)
		if (walk->nodes[n->child_red[side] >> 1].least < least)
			least = walk->nodes[n->child_red[side] >> 1].least;
	REQUIRE(n->least == least, "least is not the least");
	return before + !red;
}

static bool check_ends(struct invariants *s, const struct rbnode *nodes, const struct rbtree *tree)
{
	uint32_t first = tree->root, last = tree->root;

	while (rbtree_child(nodes, first, false))
		first = rbtree_child(nodes, first, false);
	while (rbtree_child(nodes, last, true))
		last = rbtree_child(nodes, last, true);
	REQUIRE(tree->first == first && tree->last == last, "a tree's first or last is wrong");
	return true;
}

static bool visit_timer(struct invariants *s, struct walk *walk, uint32_t timer)
{
	const struct arena *arena = s->arena;
	const struct timer *t = &arena->timers[timer];
	const struct rbnode *last = &arena->nodes[walk->last], *n = &arena->nodes[timer];
	struct arena_intent values = timer_state_values(arena, timer);

	REQUIRE(timers_state(arena, timer) == TIMER_ARMED, "a timer in a tree is not armed");
	REQUIRE(timers_clock(arena, timer) == walk->clock, "a timer is in another clock's tree");
	REQUIRE(t->session == walk->session, "a timer is in another session's tree");
	REQUIRE(timers_alive(arena, timer), "a timer in a tree is older than its session");
	REQUIRE(t->sequence <= arena->header->sequence,
		"a timer's sequence number has not been given yet");
	REQUIRE(n->due <= n->latest, "a timer's latest is before its due");
	REQUIRE(values.check == check_timer(arena, timer, &values), "a timer's check is wrong");
	if (walk->last)
		REQUIRE(last->due < n->due ||
				(last->due == n->due &&
					arena->timers[walk->last].sequence <= t->sequence),
			"timers are out of order");
	s->held++;
	return true;
}

static bool visit_head(struct invariants *s, struct walk *walk, uint32_t session)
{
	const struct arena *arena = s->arena;
	const struct session *owner = &arena->sessions[session];
	const struct rbnode *last = &walk->nodes[walk->last], *n = &walk->nodes[session];
	const struct rbtree *timers = &owner->timers[walk->clock];

	REQUIRE(owner->state != SESSION_FREE, "a clock's tree has a session that is free");
	REQUIRE(owner->serving == SESSION_WATCHED, "a clock's tree has a session not watched");
	REQUIRE(timers->root && n->tag == timers->first, "a head is for another timer");
	REQUIRE(n->due == arena->nodes[timers->first].due, "a head's due is wrong");
	REQUIRE(n->latest == arena->nodes[timers->root].least, "a head's latest is wrong");
	if (walk->last)
		REQUIRE(last->due < n->due ||
				(last->due == n->due &&
					arena->timers[last->tag].sequence <=
						arena->timers[n->tag].sequence),
			"heads are out of order");
	return true;
}

static bool check_cancelled(struct invariants *s, uint32_t session)
{
	const struct arena *arena = s->arena;
	uint32_t last = 0;

	for (uint32_t timer = arena->sessions[session].cancelled_first; timer;
		timer = rbtree_child(arena->nodes, timer, false)) {
		REQUIRE(timer <= arena->header->timers_top, "a cancelled timer is out of range");
		REQUIRE(!s->timers[timer], "a cancelled timer is elsewhere too");
		s->timers[timer] = 1;
		REQUIRE(timers_state(arena, timer) == TIMER_CANCELLED &&
				timers_alive(arena, timer) &&
				arena->timers[timer].session == session,
			"a timer in a cancelled list is not a cancelled one of the session");
		s->held++;
		last = timer;
	}
	REQUIRE(arena->sessions[session].cancelled_last == last, "cancelled_last is not the last");
	return true;
}

static bool check_user(struct invariants *s, uint32_t session)
{
	const struct arena *arena = s->arena;
	uint32_t user = arena->sessions[session].user;

	REQUIRE(user && user <= arena->header->users_top, "a session's user is out of range");
	REQUIRE(arena->users[user].uid == arena->sessions[session].uid,
		"a session's user has another uid");
	s->user_timers[user] += s->held;
	s->user_clients[user]++;
	s->all_timers += s->held;
	s->all_clients++;
	return true;
}

static bool check_links_of_session(struct invariants *s, uint32_t session)
{
	const struct arena *arena = s->arena;
	const struct session *owner = &arena->sessions[session];

	s->sessions[session] = 1;
	s->held = 0;
	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
		const struct rbnode *head = &arena_heads(arena, clock)[session];
		struct walk walk = {
			.nodes = arena->nodes,
			.marks = s->timers,
			.top = arena->header->timers_top,
			.visit = visit_timer,
			.session = session,
			.clock = clock,
		};

		if (!walk_tree(s, &walk, owner->timers[clock].root << 1, 0) ||
			!check_ends(s, arena->nodes, &owner->timers[clock]))
			return false;
		REQUIRE(!head->tag ==
				!(owner->serving == SESSION_WATCHED && owner->timers[clock].root),
			"a session is not in the list or tree that it claims to be in");
	}
	if (!check_cancelled(s, session))
		return false;
	REQUIRE(owner->held == s->held, "a session's held is wrong");
	return session == ARENA_OWN_SESSION || check_user(s, session);
}

/* Orphaned timers: a session closed, and their slots are not free yet. */
static bool check_orphaned_timers(struct invariants *s)
{
	const struct arena *arena = s->arena;
	uint32_t stack[INVARIANTS_SLOTS_MAX], n;

	for (uint32_t root = arena->header->timers_orphaned; root;
		root = arena->nodes[root].parent) {
		stack[0] = root;
		n = 1;
		while (n) {
			uint32_t timer = stack[--n];

			if (!timer)
				continue;
			REQUIRE(timer <= arena->header->timers_top,
				"an orphaned timer is out of range");
			REQUIRE(!s->timers[timer], "an orphaned timer is elsewhere too");
			s->timers[timer] = 1;
			REQUIRE(!timers_alive(arena, timer), "an orphaned timer is alive");
			REQUIRE(n + 2 <= INVARIANTS_SLOTS_MAX,
				"a tree of orphaned timers has no end");
			stack[n++] = rbtree_child(arena->nodes, timer, false);
			stack[n++] = rbtree_child(arena->nodes, timer, true);
		}
	}
	return true;
}

/* A timer's slot is either free or has exactly one owner. */
static bool check_free_timers(struct invariants *s)
{
	const struct arena *arena = s->arena;
	uint32_t n = arena->header->max_timers + 1;

	if (!check_orphaned_timers(s))
		return false;
	for (unsigned int level = 0; level < BITSET_LEVELS; level++, n = (n + 63) / 64) {
		const uint64_t *words = arena->free.levels[level];

		for (uint32_t i = 0; i < (n + 63) / 64 * 64; i++) {
			bool set = words[i / 64] >> i % 64 & 1;

			if (level) {
				REQUIRE(set == (i < n && arena->free.levels[level - 1][i]),
					"a level of the free set does not match the one below");
			} else if (set) {
				REQUIRE(i && i <= arena->header->timers_top,
					"a free timer is out of range");
				REQUIRE(!s->timers[i], "a free timer is elsewhere too");
				s->timers[i] = 1;
				REQUIRE(timers_state(arena, i) == TIMER_FREE,
					"a free timer is not free");
			}
		}
	}
	for (uint32_t timer = 1; timer <= arena->header->timers_top; timer++)
		REQUIRE(s->timers[timer], "a timer's slot has leaked");
	return true;
}

static bool check_free_sessions(struct invariants *s)
{
	const struct arena *arena = s->arena;

	for (uint32_t session = arena->header->sessions_free; session;
		session = arena->sessions[session].ready.next) {
		REQUIRE(session > ARENA_OWN_SESSION && session <= arena->header->sessions_top,
			"a free session is out of range");
		REQUIRE(!s->sessions[session], "a free session is elsewhere too");
		s->sessions[session] = 1;
	}
	for (uint32_t session = 1; session <= arena->header->sessions_top; session++)
		REQUIRE(s->sessions[session], "a session's slot has leaked");
	return true;
}

/* The sessions of one user in the queue. Return: how many; UINT32_MAX: the queue is wrong. */
static uint32_t count_ready(const struct invariants *s, uint32_t user)
{
	const struct arena *arena = s->arena;
	const struct turns_list *list = &arena->users[user].ready.sessions;
	uint32_t before = 0, n = 0;

	for (uint32_t session = list->first; session;
		before = session, session = arena->sessions[session].ready.next) {
		const struct session *a = &arena->sessions[session];

		if (session > arena->header->sessions_top || n++ >= arena->header->sessions_top ||
			a->state == SESSION_FREE || a->serving != SESSION_READY ||
			a->user != user || a->ready.prev != before)
			return UINT32_MAX;
	}
	return list->last == before ? n : UINT32_MAX;
}

static bool check_ready(struct invariants *s)
{
	const struct arena *arena = s->arena;
	const struct turns_list *users = &arena->header->ready;
	uint32_t before = 0, n = 0, queued = 0, ready = 0;

	for (uint32_t user = users->first; user;
		before = user, user = arena->users[user].ready.link.next) {
		uint32_t sessions;

		REQUIRE(user <= arena->header->users_top && n++ < arena->header->users_top,
			"the queue leads to no user, or has a cycle");
		REQUIRE(arena->users[user].ready.link.prev == before,
			"a link back in the queue is wrong");
		sessions = count_ready(s, user);
		REQUIRE(sessions && sessions != UINT32_MAX, "a user's part of the queue is wrong");
		queued += sessions;
	}
	REQUIRE(users->last == before, "the queue's last is wrong");
	for (uint32_t session = ARENA_OWN_SESSION + 1; session <= arena->header->sessions_top;
		session++)
		ready += arena->sessions[session].state != SESSION_FREE &&
			arena->sessions[session].serving == SESSION_READY;
	REQUIRE(ready == queued, "a session that is ready is not in the queue");
	return true;
}

static bool check_watched(struct invariants *s)
{
	const struct arena *arena = s->arena;

	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
		uint8_t marks[INVARIANTS_SLOTS_MAX];
		const struct rbnode *heads = arena_heads(arena, clock);
		struct walk walk = {
			.nodes = heads,
			.marks = marks,
			.top = arena->header->sessions_top,
			.visit = visit_head,
			.clock = clock,
		};

		memset(marks, 0, arena->header->sessions_top + 1);
		if (!walk_tree(s, &walk, arena->header->watched[clock].root << 1, 0) ||
			!check_ends(s, heads, &arena->header->watched[clock]))
			return false;
		for (uint32_t session = 1; session <= arena->header->sessions_top; session++)
			REQUIRE(arena->sessions[session].state == SESSION_FREE ||
					!heads[session].tag == !marks[session],
				"a head is not in its clock's tree");
	}
	return true;
}

/* The list of a user's sessions contains each of them once. */
static bool check_user_sessions(struct invariants *s, uint32_t user)
{
	const struct arena *arena = s->arena;
	uint32_t n = 0, previous = 0;

	for (uint32_t session = arena->users[user].sessions; session;
		session = arena->sessions[session].user_next) {
		REQUIRE(session <= arena->header->sessions_top, "a user's session is out of range");
		REQUIRE(arena->sessions[session].user == user, "a user's session is another's");
		REQUIRE(arena->sessions[session].user_prev == previous, "user_prev is wrong");
		REQUIRE(++n <= s->user_clients[user], "a user has too many sessions");
		previous = session;
	}
	REQUIRE(n == s->user_clients[user], "a user's session is not on its list");
	return true;
}

static bool check_users(struct invariants *s)
{
	const struct arena *arena = s->arena;
	const struct arena_header *h = arena->header;

	REQUIRE(h->users_top <= h->max_clients, "more users than there can be");
	for (uint32_t i = 0; i <= arena->buckets_mask; i++)
		for (uint32_t user = arena->buckets[i]; user; user = arena->users[user].next) {
			REQUIRE(user <= h->users_top, "a user is out of range");
			REQUIRE(!s->users[user], "a user is in two chains");
			s->users[user] = 1;
			REQUIRE(arena->users[user].clients, "a user without a client");
			REQUIRE(arena->users[user].clients == s->user_clients[user],
				"a user's count of clients is wrong");
			REQUIRE(arena->users[user].timers == s->user_timers[user],
				"a user's count of timers is wrong");
			if (!check_user_sessions(s, user))
				return false;
		}
	for (uint32_t user = h->users_free; user; user = arena->users[user].next) {
		REQUIRE(user <= h->users_top && !s->users[user], "a free user is elsewhere too");
		s->users[user] = 1;
		REQUIRE(!s->user_clients[user], "a free user has clients");
	}
	for (uint32_t user = 1; user <= h->users_top; user++)
		REQUIRE(s->users[user], "a user's slot has leaked");
	REQUIRE(h->timers == s->all_timers, "the count of timers is wrong");
	REQUIRE(h->clients == s->all_clients, "the count of clients is wrong");
	return true;
}

static bool check_bounds(struct invariants *s)
{
	const struct arena *arena = s->arena;
	const struct arena_header *h = arena->header;
	const struct rbnode *nil = &arena->nodes[0];

	REQUIRE(h->max_timers < INVARIANTS_SLOTS_MAX && h->max_clients + 2 < INVARIANTS_SLOTS_MAX,
		"the arena is too large for this check");
	REQUIRE(h->timers_top <= h->max_timers, "timers_top is out of range");
	REQUIRE(h->sessions_top >= ARENA_OWN_SESSION && h->sessions_top <= h->max_clients + 1,
		"sessions_top is out of range");
	REQUIRE(nil->least == UINT64_MAX && nil->latest == UINT64_MAX && !nil->child_red[0] &&
			!nil->child_red[1] && !nil->parent,
		"the nil node was written to");
	return true;
}

const char *invariants_check(const struct arena *arena)
{
	struct invariants invariants, *s = &invariants;
	const struct arena_header *h = arena->header;

	s->arena = arena;
	s->fault = NULL;
	s->all_timers = s->all_clients = 0;
	if (!check_bounds(s))
		return s->fault;
	memset(s->timers, 0, h->timers_top + 1);
	memset(s->sessions, 0, h->sessions_top + 1);
	memset(s->users, 0, h->max_clients + 1);
	memset(s->user_timers, 0, sizeof(uint32_t) * (h->max_clients + 1));
	memset(s->user_clients, 0, sizeof(uint32_t) * (h->max_clients + 1));
	for (uint32_t session = 1; session <= h->sessions_top; session++)
		if (arena->sessions[session].state != SESSION_FREE &&
			!check_links_of_session(s, session))
			return s->fault;
	if (check_free_timers(s) && check_free_sessions(s) && check_ready(s) && check_watched(s))
		check_users(s);
	return s->fault;
}
