/* SPDX-License-Identifier: MIT */
/*
 * Whose timers, and whose turn it is.
 *
 * Every session has its own trees of timers, and each clock has one tree more, of sessions, in
 * which a session stands with the due of its first timer and the smallest latest of all of them. So
 * the alarm is still armed to the smallest due + slack of all timers, at O(1); and a client with a
 * million timers due is one entry among the others': wakes are taken from the sessions in turn, a
 * packet each, so that nobody waits behind somebody else's backlog. Turns go round by user, then by
 * session (turns.h): a user with many sessions gets no more of them. A due timer stays in its tree
 * until its wake is sent. There is no queue of wakes to reserve room for, to merge in or to lose.
 *
 * A session is watched (it stands in the clocks' trees), ready (in the queue, something may be
 * due), or blocked (its client does not read; until it does, no alarm rings for it).
 */
#pragma once

#include "timer_state.h"

/* Opens the daemon's own session, ARENA_OWN_SESSION. Once, after arena_init(). */
void sessions_init(struct arena *arena);

/* Who is at the other end of a connection, as the kernel says. */
struct peer {
	uint32_t uid, pid;
	uint64_t socket;  /* SO_COOKIE: no other socket of this boot has it */
	const char *comm; /* the command's name, zero-terminated or PROTO_COMM_MAX bytes */
};

/* A new session, before its hello, for the place that its client has taken (limits.h). O(1). */
uint32_t sessions_open(struct arena *arena, uint32_t user, const struct peer *peer);

/* Ends the session and drops its timers, however many there are. O(log sessions). */
void sessions_close(struct arena *arena, uint32_t session);

/* Puts a filled timer into its session's tree, takes it out. O(log n). */
void sessions_enroll(struct arena *arena, uint32_t timer);
void sessions_withdraw(struct arena *arena, uint32_t timer);

/*
 * Registers n timers of a session, in this order. There is room for them (limits.h).
 * ret_timers: their indexes. O(log n) each; less where they come last and nearly in order.
 */
void sessions_enroll_batch(struct arena *arena, uint32_t session, const struct timer_new *new,
	unsigned int n, uint32_t *ret_timers);

/* Renews the session in the clocks' trees of sessions after sessions_withdraw_one(). */
void sessions_renew(struct arena *arena, uint32_t session);

/* Takes out one of several timers of a session, whose stand in the clocks' trees is to be renewed
 * after the last of them. O(log n). */
void sessions_withdraw_one(struct arena *arena, uint32_t timer);

/* Takes all out of its tree that come before it, and itself. O(log n), however many they are. */
void sessions_withdraw_until(struct arena *arena, uint32_t timer);

/* Marks a timer, which is in no tree, as cancelled by another session: its own will be told. */
void sessions_tell_cancelled(struct arena *arena, uint32_t timer);

/* The wall clock was set: an open session that has asked for it will be told. O(log sessions). */
void sessions_tell_clock_set(struct arena *arena, uint32_t session);

/* Makes every watched session ready that has a timer due, at most `budget` of them; returns whether
 * there are more. O(log sessions) each. */
bool sessions_collect(struct arena *arena, const struct now *now, uint32_t budget);

/* The session whose turn it is. It leaves the queue: served next, it is then to be watched, made
 * ready again or blocked. 0: the queue is empty. The daemon's own session is in no queue: see
 * sessions_own_ready(). */
uint32_t sessions_take_ready(struct arena *arena);

/* Whether the daemon's own session has something due. It is no user's and waits for no turn. */
bool sessions_own_ready(const struct arena *arena);

/* Moves a session, whatever it was, into the queue, the clocks' trees, or neither. */
void sessions_make_ready(struct arena *arena, uint32_t session);
void sessions_watch(struct arena *arena, uint32_t session);
void sessions_block(struct arena *arena, uint32_t session);

/* Whether there is something to send to the session. */
bool sessions_due(const struct arena *arena, uint32_t session, const struct now *now);

/* Puts a session that was taken from the queue back where it belongs: into the queue where there is
 * something to send, else into the clocks' trees. */
void sessions_requeue(struct arena *arena, uint32_t session, const struct now *now);

/* The instant on the clock at which the alarm has to ring; TIMERS_FOREVER: none. O(1). */
uint64_t sessions_next(const struct arena *arena, unsigned int clock);

/* The same but for timers of the daemon's own. O(log sessions). */
uint64_t sessions_next_of_clients(const struct arena *arena, unsigned int clock);

/* The same for the timers of one user. O(sessions of that user). */
uint64_t sessions_next_of_user(const struct arena *arena, uint32_t user, unsigned int clock);

/* Puts a session that is adopted on its user's list. O(1). */
void sessions_link_user(struct arena *arena, uint32_t session);
