/* SPDX-License-Identifier: MIT */
/*
 * Adopts sessions first, because a timer needs its session; then the packet that was being applied;
 * then timers. The greatest indexes in the header may be damaged, so a scan continues beyond them
 * until it finds UNUSED_STRETCH slots in a row that were never used.
 */
#include "adopt.h"

#include <string.h>

#include "check.h"
#include "codec.h"
#include "layout_3.h"
#include "limits.h"
#include "timer_bulk.h"

/* After this number of failed attempts the daemon starts without the old state: a service without
 * state is better than one that cannot start. */
#define ATTEMPTS 16

/* No real sequence gets this high: a record with a greater one is damaged. */
#define SEQUENCE_MAX (UINT64_MAX / 4)

/* A scan ends after this number of slots in a row that were never used. */
#define UNUSED_STRETCH 1024

bool adopt_fits(const void *block, uint32_t max_timers, uint32_t max_clients)
{
	const struct arena_header *h = block;

	return h->magic == ARENA_MAGIC && h->layout == ARENA_LAYOUT && h->adopting < ATTEMPTS &&
		h->max_timers == max_timers && h->max_clients == max_clients &&
		h->size == arena_size(max_timers, max_clients);
}

size_t adopt_previous_size(uint32_t max_timers, uint32_t max_clients)
{
	return layout_3_size(max_timers, max_clients);
}

bool adopt_convert(void *previous, void *block, uint32_t max_timers, uint32_t max_clients)
{
	struct arena arena;

	if (!layout_3_fits(previous, max_timers, max_clients) ||
		*layout_3_adopting(previous) >= ATTEMPTS)
		return false;
	/* The previous block stays until the new one is in the fd store. So it counts the attempts:
	 * a conversion that always crashes is not repeated for ever. */
	ARENA_WRITE(*layout_3_adopting(previous), *layout_3_adopting(previous) + 1);
	arena_init(&arena, block, max_timers, max_clients);
	layout_3_convert(previous, &arena);
	arena.header->adopting = 0;
	return true;
}

static void raise_sequence(struct arena *arena, uint64_t sequence)
{
	if (sequence > arena->header->sequence)
		arena->header->sequence = sequence;
}

/* Keeps the persistent fields of a session and resets the derived ones. */
static void renew_session(struct arena *arena, uint32_t session)
{
	struct session *s = &arena->sessions[session];

	memset(s->timers, 0, sizeof(s->timers));
	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++)
		arena_heads(arena, clock)[session].tag = 0;
	s->user = limits_adopt_client(arena, s->uid);
	sessions_link_user(arena, session);
	s->held = 0;
	s->max_timers = 0;
	s->cancelled_first = s->cancelled_last = 0;
	s->ready = (struct turns_link){0};
	s->hello_timer = 0;
	s->serving = SESSION_BLOCKED;
	s->fault = PROTO_OK;
	s->adoption = SESSION_ADOPTED;
	if (s->sending != check_sending(s))
		ARENA_WRITE(s->sending, 0);
	raise_sequence(arena, s->born);
}

static void adopt_session(struct arena *arena, uint32_t session)
{
	struct session *s = &arena->sessions[session];

	if (s->state == SESSION_OPEN && s->born <= SEQUENCE_MAX &&
		s->check == check_session(arena, session)) {
		renew_session(arena, session);
		return;
	}
	if (s->state != SESSION_FREE && s->state != SESSION_NEW)
		arena->header->counters.dropped_records++;
	arena_free_session(arena, session);
}

static void adopt_sessions(struct arena *arena, uint32_t top)
{
	uint32_t most = arena->header->max_clients + 1, unused = 0;

	if (top > most)
		top = most;
	for (uint32_t session = ARENA_OWN_SESSION + 1; session <= most; session++) {
		const struct session *s = &arena->sessions[session];

		unused = s->state == SESSION_FREE && !s->check ? unused + 1 : 0;
		if (session > top && unused > UNUSED_STRETCH)
			break;
		arena->header->sessions_top = session;
		adopt_session(arena, session);
	}
}

/* The outcome of the packet that the old process was applying. */
enum outcome {
	OUTCOME_NONE,
	OUTCOME_COMMITTED,
	OUTCOME_TAKEN_BACK,
};

static enum outcome judge_packet(struct arena *arena)
{
	struct arena_applying *applying = &arena->header->applying;
	uint32_t session = applying->session;

	if (!session)
		return OUTCOME_NONE;
	if (session <= ARENA_OWN_SESSION || session > arena->header->sessions_top ||
		arena->sessions[session].state != SESSION_OPEN ||
		applying->check != check_applying(applying, session)) {
		/* The session is gone, so nobody will send the packet again; or this record is
		 * damaged. Keep what the packet has changed. */
		ARENA_PUBLISH(applying->session, 0);
		return OUTCOME_COMMITTED;
	}
	if (arena->sessions[session].serial >= applying->serial)
		return OUTCOME_COMMITTED;
	return OUTCOME_TAKEN_BACK;
}

/* Whether the timer's record is within all bounds and its check word matches. */
static bool is_whole(const struct arena *arena, uint32_t timer)
{
	struct arena_intent values = timer_state_values(arena, timer);
	uint32_t session = arena->timers[timer].session;
	unsigned int clock = timers_clock(arena, timer);
	uint32_t known = TIMERS_TAG_STATES | UINT32_C(0xff) << TIMERS_TAG_CLOCK_SHIFT |
		TIMERS_TAG_LABELLED | TIMERS_TAG_PAST;

	return clock < ARENA_CLOCKS && !(arena->nodes[timer].tag & ~known) &&
		session <= arena->header->sessions_top && session > 0 &&
		arena->timers[timer].sequence > 0 &&
		arena->timers[timer].sequence <= SEQUENCE_MAX && values.due <= values.latest &&
		values.due != TIMERS_FOREVER &&
		values.check == check_timer(arena, timer, &values) &&
		(!timers_labelled(arena, timer) ||
			codec_label_valid(arena->labels[timer], PROTO_LABEL_MAX));
}

/* Return: the state in which to adopt the timer, after a possible kill. */
static enum timer_state resolve(struct arena *arena, uint32_t timer, enum outcome outcome,
	uint64_t sequence, uint32_t session)
{
	const struct timer *t = &arena->timers[timer];
	enum timer_state state = timers_state(arena, timer);

	if (t->session == ARENA_OWN_SESSION || !timers_alive(arena, timer))
		return TIMER_FREE;
	if (outcome == OUTCOME_TAKEN_BACK && t->session == session && t->sequence > sequence)
		return TIMER_FREE;
	if (state != TIMER_CANCELLING)
		return state;
	if (outcome == OUTCOME_TAKEN_BACK)
		return TIMER_ARMED;
	return t->session == session ? TIMER_FREE : TIMER_CANCELLED;
}

static void adopt_timer(struct arena *arena, uint32_t timer, enum timer_state state)
{
	struct session *s = &arena->sessions[arena->timers[timer].session];
	unsigned int clock = timers_clock(arena, timer);

	raise_sequence(arena, arena->timers[timer].sequence);
	if (state == TIMER_FREE) {
		timer_state_free(arena, timer);
		return;
	}
	s->held++;
	limits_take_timers(arena, s->user, 1);
	if (state == TIMER_CANCELLED) {
		sessions_queue_cancelled(arena, timer);
		return;
	}
	timer_state_set(arena, timer, TIMER_ARMED);
	timers_enroll(arena, &s->timers[clock], timer);
}

/* Prefetches the nodes that enrolling the next timers will read: bulk_find_positions() touches
 * them. Without it, adopting 10^6 timers with random dues takes twice as long. */
static void prefetch_positions(const struct arena *arena, uint32_t from)
{
	const struct rbtree *trees[BULK_ABREAST];
	uint64_t dues[BULK_ABREAST];
	uint32_t positions[BULK_ABREAST], most = arena->header->max_timers;
	unsigned int n = 0;

	for (uint32_t timer = from; timer < from + BULK_ABREAST && timer <= most; timer++) {
		uint32_t session = arena->timers[timer].session;
		unsigned int clock = timers_clock(arena, timer);

		/* The tree of a session that was not adopted may contain anything. */
		if (timers_state(arena, timer) == TIMER_FREE || clock >= ARENA_CLOCKS || !session ||
			session > arena->header->sessions_top ||
			arena->sessions[session].state == SESSION_FREE)
			continue;
		trees[n] = &arena->sessions[session].timers[clock];
		dues[n++] = arena->nodes[timer].due;
	}
	/* The positions themselves are not used: the timers are not in order of sequence. */
	bulk_find_positions(arena, trees, dues, n, positions);
}

static void adopt_timers(struct arena *arena, uint32_t top, enum outcome outcome)
{
	struct arena_applying applying = arena->header->applying;
	uint32_t most = arena->header->max_timers, unused = 0;

	if (top > most)
		top = most;
	for (uint32_t timer = 1; timer <= most; timer++) {
		uint32_t tag = arena->nodes[timer].tag;

		if (timer % BULK_ABREAST == 1)
			prefetch_positions(arena, timer);
		unused = !tag && !arena->timers[timer].sequence ? unused + 1 : 0;
		if (timer > top && unused > UNUSED_STRETCH)
			break;
		arena->header->timers_top = timer;
		if (timers_state(arena, timer) == TIMER_FREE) {
			timer_state_free(arena, timer);
		} else if (timers_state(arena, timer) > TIMER_CANCELLING ||
			!is_whole(arena, timer)) {
			arena->header->counters.dropped_records++;
			timer_state_free(arena, timer);
		} else {
			adopt_timer(arena, timer,
				resolve(arena, timer, outcome, applying.sequence,
					applying.session));
		}
	}
}

void adopt(struct arena *arena)
{
	uint32_t sessions_top = arena->header->sessions_top, timers_top = arena->header->timers_top;
	enum outcome outcome;

	ARENA_WRITE(arena->header->adopting, arena->header->adopting + 1);
	timer_state_redo(arena);
	limits_remember_all(arena);
	arena_reset(arena);
	if (arena->header->sequence > SEQUENCE_MAX)
		arena->header->sequence = 0; /* damaged; the records raise it again */
	sessions_init(arena);
	adopt_sessions(arena, sessions_top);
	outcome = judge_packet(arena);
	if (outcome == OUTCOME_TAKEN_BACK)
		timer_state_take_back(arena);
	adopt_timers(arena, timers_top, outcome);
	if (outcome == OUTCOME_TAKEN_BACK)
		ARENA_PUBLISH(arena->header->applying.session, 0);
	arena->header->counters.restarts++;
}
