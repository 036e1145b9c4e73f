/* SPDX-License-Identifier: MIT */
/*
 * The one place where a timer's state changes, and with it the counters.
 *
 * A timer goes from TIMER_FREE to TIMER_ARMED (timer_state_publish) and from there to TIMER_FREE,
 * at once or by way of TIMER_CANCELLING and TIMER_CANCELLED. Nothing else writes the state, the
 * values or the check word of a timer. The trees are not changed here.
 *
 * This file also keeps the crash journal. A kill between any two stores leaves a state that the next
 * process can complete or undo: a change of several words is noted first (timer_state_redo()), and a
 * packet is applied as a whole or not at all (timer_state_take_back()).
 */
#pragma once

#include "timers.h"

/* A registration that was checked. */
struct timer_new {
	uint64_t due, latest, every, cookie;
	uint32_t count;
	uint8_t clock; /* enum arena_clock */
	bool past;     /* latest has passed already */
	char label[PROTO_LABEL_MAX];
};

/* Fills a record, which arena_take_timer() gave, and makes it an armed timer of the session. Counts
 * it, unless the session is the daemon's own. */
void timer_state_publish(
	struct arena *arena, uint32_t timer, uint32_t session, const struct timer_new *new);

/* Sets the state alone: TIMER_CANCELLING, TIMER_CANCELLED, or TIMER_ARMED in an adoption. */
void timer_state_set(struct arena *arena, uint32_t timer, enum timer_state state);

/* Makes the timer TIMER_FREE and its record free for another one. It is in no tree. */
void timer_state_free(struct arena *arena, uint32_t timer);

/* The session holds n timers fewer, which were freed. Apart from timer_state_free() because it is
 * called once for a whole packet: that saves 3 % to 4 % of a life at 10^6. */
void timer_state_count_freed(struct arena *arena, uint32_t session, uint32_t n);

/* Counts n timers that a packet of the session has cancelled. */
void timer_state_count_cancelled(struct arena *arena, uint32_t session, uint32_t n);

/* The values of a timer, as a change that changes nothing. */
struct arena_intent timer_state_values(const struct arena *arena, uint32_t timer);

/* Changes due, latest, every, count and fired of a timer that is in no tree: all of them or none. */
void timer_state_change(struct arena *arena, uint32_t timer, const struct arena_intent *change);

/* The same for a change by the packet that is being applied, which can be taken back. past: latest
 * has passed already. */
void timer_state_rearm(
	struct arena *arena, uint32_t timer, const struct arena_intent *change, bool past);

/*
 * Counts one wake as sent at that time and moves a timer, which is in no tree, to its next due: the
 * first after that time that is a whole number of periods after its due. Not for a last wake.
 */
void timer_state_advance(struct arena *arena, uint32_t timer, uint64_t at);

/* A packet of that session begins, is committed with its answer, is answered. A kill before the
 * commit makes its changes undone. */
void timer_state_begin(struct arena *arena, uint32_t session, uint64_t serial);
void timer_state_commit(struct arena *arena, uint32_t session, uint64_t serial, size_t answer_size);
void timer_state_answered(struct arena *arena);

/* For adopt.c: completes the change that a kill may have interrupted; undoes what the packet that
 * was not committed has re-armed. */
void timer_state_redo(struct arena *arena);
void timer_state_take_back(struct arena *arena);
