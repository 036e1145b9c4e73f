/* SPDX-License-Identifier: MIT */
/*
 * All changes of a timer's state and values, and of the counters that go with them.
 *
 * A timer goes from TIMER_FREE to TIMER_ARMED (timer_state_publish()). From there it goes back to
 * TIMER_FREE, at once or through TIMER_CANCELLING and TIMER_CANCELLED. No other file writes the
 * state, the values or the check word of a timer. This file does not change the trees.
 *
 * This file also keeps the crash journal. The process may be killed between any two writes, and the
 * next process must be able to complete or undo the change. So a change of several words is written
 * to the journal first (timer_state_redo() repeats it), and a packet is applied completely or not
 * at all (timer_state_take_back() undoes it).
 */
#pragma once

#include "timers.h"

/* A checked registration. */
struct timer_new {
	uint64_t due, latest, every, cookie;
	const char *label; /* borrowed: PROTO_LABEL_MAX bytes; NULL: none */
	uint32_t count;
	uint8_t clock; /* enum arena_clock */
	bool past;     /* latest has already passed */
};

/* Fills a record from arena_take_timer() and makes it an armed timer of the session. The caller
 * counts the timer. */
void timer_state_publish(
	struct arena *arena, uint32_t timer, uint32_t session, const struct timer_new *new);

/* Sets only the state: TIMER_CANCELLING, TIMER_CANCELLED, or TIMER_ARMED in an adoption. */
void timer_state_set(struct arena *arena, uint32_t timer, enum timer_state state);

/* Makes the timer TIMER_FREE and gives its slot back. The timer is in no tree. */
void timer_state_free(struct arena *arena, uint32_t timer);

/* Counts n new timers of the session; counts n freed timers. timer_state_publish() and
 * timer_state_free() do not count, so that a packet counts all its timers in one call: that saves
 * 3 % to 4 % of a life at 10^6. */
void timer_state_count_registered(struct arena *arena, uint32_t session, uint32_t n);
void timer_state_count_freed(struct arena *arena, uint32_t session, uint32_t n);

/* Counts n timers that a packet of the session has cancelled. */
void timer_state_count_cancelled(struct arena *arena, uint32_t session, uint32_t n);

/* The present values of a timer, in the form of a change. */
struct arena_intent timer_state_values(const struct arena *arena, uint32_t timer);

/* Changes due, latest, every, count and fired of a timer, all or none of them even after a kill.
 * The timer is in no tree. */
void timer_state_change(struct arena *arena, uint32_t timer, const struct arena_intent *change);

/* The same for a re-arm by the current packet; timer_state_take_back() can undo it. past: latest
 * has already passed. */
void timer_state_rearm(
	struct arena *arena, uint32_t timer, const struct arena_intent *change, bool past);

/*
 * Counts a wake that was sent at the time `at` and sets the timer's next due: the first one after
 * `at` that is a whole number of periods after the old due. The timer is in no tree, and the wake
 * is not its last.
 */
void timer_state_advance(struct arena *arena, uint32_t timer, uint64_t at);

/* The steps of a packet: it begins, is committed together with its answer, and its answer is sent.
 * After a kill before the commit, the next process undoes the packet's changes. */
void timer_state_begin(struct arena *arena, uint32_t session, uint64_t serial);
void timer_state_commit(struct arena *arena, uint32_t session, uint64_t serial, size_t answer_size);
void timer_state_answered(struct arena *arena);

/* For adopt.c: timer_state_redo() repeats a change that a kill may have interrupted.
 * timer_state_take_back() undoes the re-arms of a packet that was not committed. */
void timer_state_redo(struct arena *arena);
void timer_state_take_back(struct arena *arena);
