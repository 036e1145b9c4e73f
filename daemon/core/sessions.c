/* SPDX-License-Identifier: MIT */
/*
 * The clocks' trees of sessions, and the queue of ready sessions.
 *
 * A head is the node of a session in a clock's tree. Its tag is the session's first timer on that
 * clock, or 0 if the session is not in that tree. A watched session is in the tree of each clock on
 * which it has timers; other sessions are in no tree.
 */
#include "sessions.h"

#include <string.h>

#include "check.h"
#include "timer_bulk.h"

/* Whether session a's first timer comes before session b's. */
static bool head_before(const struct arena *arena, unsigned int clock, uint32_t a, uint32_t b)
{
	const struct rbnode *heads = arena_heads(arena, clock);

	if (heads[a].due != heads[b].due)
		return heads[a].due < heads[b].due;
	return arena->timers[heads[a].tag].sequence < arena->timers[heads[b].tag].sequence;
}

static void head_out(struct arena *arena, unsigned int clock, uint32_t session)
{
	struct rbnode *heads = arena_heads(arena, clock);

	if (!heads[session].tag)
		return;
	rbtree_erase(heads, &arena->header->watched[clock], session);
	heads[session].tag = 0;
}

/* The session has timers on that clock. */
static void head_in(struct arena *arena, unsigned int clock, uint32_t session)
{
	const struct rbtree *timers = &arena->sessions[session].timers[clock];
	struct rbtree *tree = &arena->header->watched[clock];
	struct rbnode *heads = arena_heads(arena, clock);
	uint32_t parent = 0;
	bool after = true;

	heads[session].due = arena->nodes[timers->first].due;
	heads[session].latest = rbtree_least(arena->nodes, timers);
	heads[session].tag = timers->first;
	for (uint32_t next = tree->root; next; next = rbtree_child(heads, next, after)) {
		parent = next;
		after = head_before(arena, clock, next, session);
	}
	rbtree_insert(heads, tree, session, parent, after);
}

/* Updates the head after the session's timers on that clock have changed. */
static void head_renew(struct arena *arena, unsigned int clock, uint32_t session)
{
	const struct rbtree *timers = &arena->sessions[session].timers[clock];
	struct rbnode *heads = arena_heads(arena, clock), *head = &heads[session];
	uint64_t least;

	if (arena->sessions[session].serving != SESSION_WATCHED)
		return;
	least = rbtree_least(arena->nodes, timers);
	/* A timer in a tree never changes its due. So the same first timer means the same due. */
	if (head->tag && head->tag == timers->first) {
		if (head->latest != least)
			rbtree_set_latest(heads, session, least);
		return;
	}
	head_out(arena, clock, session);
	if (timers->root)
		head_in(arena, clock, session);
}

void sessions_renew(struct arena *arena, uint32_t session)
{
	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++)
		if (arena->sessions[session].timers[clock].root ||
			arena_heads(arena, clock)[session].tag)
			head_renew(arena, clock, session);
}

void sessions_init(struct arena *arena)
{
	arena->sessions[ARENA_OWN_SESSION] = (struct session){.state = SESSION_OPEN};
	/* In an adopted arena the head is still that of the old process. */
	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++)
		arena_heads(arena, clock)[ARENA_OWN_SESSION].tag = 0;
}

void sessions_link_user(struct arena *arena, uint32_t session)
{
	struct session *s = &arena->sessions[session];
	uint32_t *first = &arena->users[s->user].sessions;

	s->user_prev = 0;
	s->user_next = *first;
	if (*first)
		arena->sessions[*first].user_prev = session;
	*first = session;
}

static void unlink_user(struct arena *arena, uint32_t session)
{
	const struct session *s = &arena->sessions[session];

	*(s->user_prev ? &arena->sessions[s->user_prev].user_next
		       : &arena->users[s->user].sessions) = s->user_next;
	if (s->user_next)
		arena->sessions[s->user_next].user_prev = s->user_prev;
}

uint32_t sessions_open(struct arena *arena, uint32_t user, const struct peer *peer)
{
	uint32_t session = arena_take_session(arena);
	struct session *s = &arena->sessions[session];

	ARENA_WRITE(s->user, user);
	sessions_link_user(arena, session);
	ARENA_WRITE(s->uid, peer->uid);
	ARENA_WRITE(s->pid, peer->pid);
	ARENA_WRITE(s->socket, peer->socket);
	s->max_timers = peer->own.max_timers;
	for (size_t i = 0; i < sizeof(s->comm) && peer->comm[i]; i++)
		s->comm[i] = peer->comm[i];
	ARENA_WRITE(s->born, arena->header->sequence);
	ARENA_WRITE(s->check, check_session(arena, session));
	ARENA_PUBLISH(s->state, SESSION_NEW);
	return session;
}

static struct turns ready_turns(const struct arena *arena)
{
	return (struct turns){
		.users = &arena->header->ready,
		.user = &arena->users->ready,
		.user_stride = sizeof(struct user),
		.session = &arena->sessions->ready,
		.session_stride = sizeof(struct session),
	};
}

/* Takes the session out of the clocks' trees or the queue. */
static void leave(struct arena *arena, uint32_t session)
{
	struct session *s = &arena->sessions[session];
	struct turns turns = ready_turns(arena);

	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++)
		head_out(arena, clock, session);
	if (s->serving == SESSION_READY && session != ARENA_OWN_SESSION)
		turns_remove(&turns, s->user, session);
	s->serving = SESSION_BLOCKED;
}

void sessions_make_ready(struct arena *arena, uint32_t session)
{
	struct session *s = &arena->sessions[session];
	struct turns turns = ready_turns(arena);

	if (s->serving == SESSION_READY)
		return;
	leave(arena, session);
	if (session != ARENA_OWN_SESSION)
		turns_add(&turns, s->user, session);
	s->serving = SESSION_READY;
}

uint32_t sessions_take_ready(struct arena *arena)
{
	struct turns turns = ready_turns(arena);
	uint32_t session = turns_take(&turns);

	if (session)
		arena->sessions[session].serving = SESSION_BLOCKED;
	return session;
}

bool sessions_own_ready(const struct arena *arena)
{
	return arena->sessions[ARENA_OWN_SESSION].serving == SESSION_READY;
}

void sessions_watch(struct arena *arena, uint32_t session)
{
	leave(arena, session);
	arena->sessions[session].serving = SESSION_WATCHED;
	sessions_renew(arena, session);
}

void sessions_block(struct arena *arena, uint32_t session)
{
	leave(arena, session);
}

void sessions_close(struct arena *arena, uint32_t session)
{
	struct session *s = &arena->sessions[session];

	leave(arena, session);
	unlink_user(arena, session);
	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++)
		arena_orphan_timers(arena, s->timers[clock].root);
	arena_orphan_timers(arena, sessions_first_cancelled(arena, session));
	arena_free_session(arena, session);
}

void sessions_enroll(struct arena *arena, uint32_t timer)
{
	uint32_t session = arena->timers[timer].session;
	unsigned int clock = timers_clock(arena, timer);

	timers_enroll(arena, &arena->sessions[session].timers[clock], timer);
	head_renew(arena, clock, session);
}

/* Registers at most BULK_ABREAST timers. Those that the run takes are linked later. */
static void enroll_abreast(struct arena *arena, uint32_t session, const struct timer_new *new,
	unsigned int n, struct bulk_run *run, uint32_t *ret_timers)
{
	struct rbtree *timers = arena->sessions[session].timers;
	const struct rbtree *trees[BULK_ABREAST];
	uint32_t positions[BULK_ABREAST];
	uint64_t dues[BULK_ABREAST];

	for (unsigned int i = 0; i < n; i++) {
		trees[i] = &timers[new[i].clock];
		dues[i] = new[i].due;
	}
	bulk_find_positions(arena, trees, dues, n, positions);
	for (unsigned int i = 0; i < n; i++) {
		struct rbtree *tree = &timers[new[i].clock];
		uint32_t timer = arena_take_timer(arena);

		timer_state_publish(arena, timer, session, &new[i]);
		if (!bulk_run_take(arena, run, tree, timer))
			bulk_insert(arena, tree, timer, positions[i]);
		ret_timers[i] = timer;
	}
}

void sessions_enroll_batch(struct arena *arena, uint32_t session, const struct timer_new *new,
	unsigned int n, uint32_t *ret_timers)
{
	struct bulk_run run;

	run.n = 0;
	run.floor = 0;
	for (unsigned int i = 0; i < n; i += BULK_ABREAST) {
		unsigned int abreast = n - i < BULK_ABREAST ? n - i : BULK_ABREAST;

		enroll_abreast(arena, session, new + i, abreast, &run, ret_timers + i);
	}
	bulk_run_link(arena, &run);
	timer_state_count_registered(arena, session, n);
	sessions_renew(arena, session);
}

void sessions_withdraw_one(struct arena *arena, uint32_t timer)
{
	uint32_t session = arena->timers[timer].session;
	unsigned int clock = timers_clock(arena, timer);

	timers_withdraw(arena, &arena->sessions[session].timers[clock], timer);
}

void sessions_withdraw(struct arena *arena, uint32_t timer)
{
	sessions_withdraw_one(arena, timer);
	head_renew(arena, timers_clock(arena, timer), arena->timers[timer].session);
}

void sessions_withdraw_until(struct arena *arena, uint32_t timer)
{
	uint32_t session = arena->timers[timer].session;
	unsigned int clock = timers_clock(arena, timer);

	timers_withdraw_until(arena, &arena->sessions[session].timers[clock], timer);
	head_renew(arena, clock, session);
}

void sessions_queue_cancelled(struct arena *arena, uint32_t timer)
{
	uint32_t session = arena->timers[timer].session;
	struct session *s = &arena->sessions[session];
	struct rbnode *node = &arena->nodes[timer];

	timer_state_set(arena, timer, TIMER_CANCELLED);
	node->child_red[0] = node->child_red[1] = 0;
	if (s->cancelled_last)
		arena->nodes[s->cancelled_last].child_red[0] = timer << 1;
	else
		s->cancelled_first = timer;
	s->cancelled_last = timer;
	if (s->serving == SESSION_WATCHED)
		sessions_make_ready(arena, session);
}

void sessions_free_cancelled(struct arena *arena, uint32_t session)
{
	struct session *s = &arena->sessions[session];
	uint32_t timer = s->cancelled_first;

	s->cancelled_first = sessions_next_cancelled(arena, timer);
	if (!s->cancelled_first)
		s->cancelled_last = 0;
	timer_state_free(arena, timer);
}

void sessions_queue_clock_set(struct arena *arena, uint32_t session)
{
	struct session *s = &arena->sessions[session];

	if (s->state != SESSION_OPEN || !s->wants_clock_set)
		return;
	ARENA_WRITE(s->clock_set_pending, true);
	if (s->serving == SESSION_WATCHED)
		sessions_make_ready(arena, session);
}

bool sessions_collect(struct arena *arena, const struct now *now, uint32_t budget)
{
	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
		const struct rbtree *tree = &arena->header->watched[clock];
		const struct rbnode *heads = arena_heads(arena, clock);

		for (; tree->root && heads[tree->first].due <= timers_now(now, clock); budget--) {
			if (!budget)
				return true;
			sessions_make_ready(arena, tree->first);
		}
	}
	return false;
}

bool sessions_due(const struct arena *arena, uint32_t session, const struct now *now)
{
	const struct session *s = &arena->sessions[session];

	/* A session that recovers must be served, even if there is nothing to send: its client is
	 * not read from until then. */
	if (s->cancelled_first || s->fault || s->clock_set_pending || sessions_recovers(s))
		return true;
	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
		uint32_t first = s->timers[clock].first;

		if (first && arena->nodes[first].due <= timers_now(now, clock))
			return true;
	}
	return false;
}

void sessions_requeue(struct arena *arena, uint32_t session, const struct now *now)
{
	if (sessions_due(arena, session, now))
		sessions_make_ready(arena, session);
	else
		sessions_watch(arena, session);
}

uint64_t sessions_next(const struct arena *arena, unsigned int clock)
{
	return rbtree_least(arena_heads(arena, clock), &arena->header->watched[clock]);
}

/* Lowers each instant to that of the session. */
static void lower_next(const struct arena *arena, uint32_t session, uint64_t next[ARENA_CLOCKS])
{
	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
		uint64_t least = rbtree_least(
			arena->nodes, &arena->sessions[session].timers[clock]);

		if (least < next[clock])
			next[clock] = least;
	}
}

void sessions_next_of_user(
	const struct arena *arena, uint32_t user, uint64_t ret_next[ARENA_CLOCKS])
{
	memset(ret_next, 0xff, sizeof(*ret_next) * ARENA_CLOCKS); /* TIMERS_FOREVER */
	for (uint32_t session = arena->users[user].sessions; session;
		session = arena->sessions[session].user_next)
		lower_next(arena, session, ret_next);
}

void sessions_next_of_clients(const struct arena *arena, uint64_t ret_next[ARENA_CLOCKS])
{
	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
		const struct rbnode *heads = arena_heads(arena, clock);

		ret_next[clock] = heads[ARENA_OWN_SESSION].tag
			? rbtree_least_beside(heads, ARENA_OWN_SESSION)
			: sessions_next(arena, clock);
	}
	/* The trees have watched sessions only. */
	for (uint32_t session = ARENA_OWN_SESSION + 1; session <= arena->header->sessions_top;
		session++)
		if (arena->sessions[session].state != SESSION_FREE &&
			arena->sessions[session].serving != SESSION_WATCHED)
			lower_next(arena, session, ret_next);
}
