/* SPDX-License-Identifier: MIT */
/*
 * Sessions: the timers of each client, and the order in which clients are served.
 *
 * Each session has one tree of timers for each clock. In addition, each clock has one tree of
 * sessions. There a session has the due of its first timer and the smallest latest of all its
 * timers. So the smallest due + slack of all timers, to which the alarm is set, is found in O(1).
 *
 * Sessions with due timers wait in a queue. One turn sends one packet to one session (turns.h), so
 * a client with a million due timers does not delay the others. A due timer stays in its tree until
 * its wake is sent: there is no second queue of wakes that could fill up or get lost.
 *
 * A session is in one of three states (enum session_serving): watched, ready or blocked.
 */
#pragma once

#include "limits.h"
#include "timer_state.h"

/* Opens the daemon's own session, ARENA_OWN_SESSION. Call it once, after arena_init() or
 * arena_reset(). */
void sessions_init(struct arena *arena);

/* The client process of a connection, as the kernel reports it. */
struct peer {
	uint32_t uid, pid;
	uint64_t socket;  /* SO_COOKIE: unique among all sockets of this boot */
	const char *comm; /* the command's name, zero-terminated or PROTO_COMM_MAX bytes */
	struct limits_own own;
};

/* Opens a session that waits for its hello. The caller has counted the client with
 * limits_take_client(). O(1). */
uint32_t sessions_open(struct arena *arena, uint32_t user, const struct peer *peer);

/* Ends the session and drops its timers. O(log sessions), for any number of timers. */
void sessions_close(struct arena *arena, uint32_t session);

/* Puts a published timer into its session's tree; takes a timer out. O(log n). */
void sessions_enroll(struct arena *arena, uint32_t timer);
void sessions_withdraw(struct arena *arena, uint32_t timer);

/*
 * Registers n timers of a session, in this order. The caller has checked the limits for all of
 * them.
 *   ret_timers: their indexes.
 * O(log n) each; O(1) each if they come after all other timers and are nearly in order.
 */
void sessions_enroll_batch(struct arena *arena, uint32_t session, const struct timer_new *new,
	unsigned int n, uint32_t *ret_timers);

/* Takes one timer out and leaves the clocks' trees of sessions as they are. The caller withdraws
 * several timers this way and then calls sessions_renew() once. O(log n). */
void sessions_withdraw_one(struct arena *arena, uint32_t timer);

/* Brings the clocks' trees of sessions up to date after sessions_withdraw_one(). */
void sessions_renew(struct arena *arena, uint32_t session);

/* Takes this timer and all timers before it out of their tree. O(log n), for any number of them. */
void sessions_withdraw_until(struct arena *arena, uint32_t timer);

/* Marks a timer, which is in no tree, as cancelled by another session. Its own session will send a
 * cancelled event for it. */
void sessions_queue_cancelled(struct arena *arena, uint32_t timer);

/* The list of timers for which the session must send a cancelled event: its first timer, and the
 * one after a timer. 0: there is none. */
static inline uint32_t sessions_first_cancelled(const struct arena *arena, uint32_t session)
{
	return arena->sessions[session].cancelled_first;
}

static inline uint32_t sessions_next_cancelled(const struct arena *arena, uint32_t timer)
{
	return rbtree_child(arena->nodes, timer, false);
}

/* The event for the first timer of that list was sent: takes it off the list and frees it. */
void sessions_free_cancelled(struct arena *arena, uint32_t session);

/* The wall clock was set: the session will send an event if its client has asked for it. O(log
 * sessions). */
void sessions_queue_clock_set(struct arena *arena, uint32_t session);

/* Makes watched sessions with due timers ready, at most `budget` of them. O(log sessions) each.
 * Return: true if there are more. */
bool sessions_collect(struct arena *arena, const struct now *now, uint32_t budget);

/* Whether the session was resumed, and has not yet sent what it must send first. */
static inline bool sessions_recovers(const struct session *s)
{
	return s->adoption == SESSION_SENDS_RESUMED || s->adoption == SESSION_SENDS_AGAIN;
}

/* Whether the session must still send the wakes of sent_at again. */
static inline bool sessions_send_again(const struct session *s)
{
	return s->sending && s->adoption >= SESSION_ADOPTED && s->adoption <= SESSION_SENDS_AGAIN;
}

/* Takes the session whose turn it is out of the queue. Return: the session; 0: the queue is empty.
 * The caller serves the session and then watches, requeues, blocks or closes it. */
uint32_t sessions_take_ready(struct arena *arena);

/* Whether the daemon's own session has a due timer. It belongs to no user and is in no queue. */
bool sessions_own_ready(const struct arena *arena);

/* Moves a session from any state to ready, watched or blocked. */
void sessions_make_ready(struct arena *arena, uint32_t session);
void sessions_watch(struct arena *arena, uint32_t session);
void sessions_block(struct arena *arena, uint32_t session);

/* Whether there is something to send to the session. */
bool sessions_due(const struct arena *arena, uint32_t session, const struct now *now);

/* Makes a session ready if there is something to send to it; else watches it. */
void sessions_requeue(struct arena *arena, uint32_t session, const struct now *now);

/* The instant on the clock at which the alarm must ring; TIMERS_FOREVER: never. O(1). */
uint64_t sessions_next(const struct arena *arena, unsigned int clock);

/*
 * For the status: on each clock the smallest due + slack of all clients' timers, or of one user's;
 * TIMERS_FOREVER: there is none. The sessions that wait for their turn, or for their client to
 * read, count too. O(sessions); O(sessions of this user).
 */
void sessions_next_of_clients(const struct arena *arena, uint64_t ret_next[ARENA_CLOCKS]);
void sessions_next_of_user(
	const struct arena *arena, uint32_t user, uint64_t ret_next[ARENA_CLOCKS]);

/* Puts an adopted session on the list of its user. O(1). */
void sessions_link_user(struct arena *arena, uint32_t session);
