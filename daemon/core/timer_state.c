/* SPDX-License-Identifier: MIT */
#include "timer_state.h"

#include <string.h>

#include "check.h"
#include "limits.h"

struct arena_intent timer_state_values(const struct arena *arena, uint32_t timer)
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

void timer_state_set(struct arena *arena, uint32_t timer, enum timer_state state)
{
	uint32_t *tag = &arena->nodes[timer].tag;

	ARENA_PUBLISH(*tag, (*tag & ~TIMERS_TAG_STATES) | (uint32_t)state);
}

void timer_state_publish(
	struct arena *arena, uint32_t timer, uint32_t session, const struct timer_new *new)
{
	struct rbnode *node = &arena->nodes[timer];
	const struct arena_intent values = {
		.count = new->count,
		.due = new->due,
		.latest = new->latest,
		.every = new->every,
	};
	uint32_t kind = 0;

	/* An orphaned timer still has its old state. */
	if (timers_state(arena, timer) != TIMER_FREE)
		ARENA_PUBLISH(node->tag, TIMER_FREE);
	ARENA_WRITE(arena->timers[timer],
		((struct timer){
			.sequence = ++arena->header->sequence,
			.every = new->every,
			.cookie = new->cookie,
			.session = session,
			.count = new->count,
		}));
	if (new->label) {
		kind |= TIMERS_TAG_LABELLED;
		memcpy(arena->labels[timer], new->label, PROTO_LABEL_MAX);
	}
	if (new->past)
		kind |= TIMERS_TAG_PAST;
	ARENA_WRITE(node->due, new->due);
	ARENA_WRITE(node->latest, new->latest);
	ARENA_WRITE(node->tag,
		(uint32_t)TIMER_FREE | (uint32_t) new->clock << TIMERS_TAG_CLOCK_SHIFT | kind);
	ARENA_WRITE(arena->timers[timer].check, check_timer(arena, timer, &values));
	timer_state_set(arena, timer, TIMER_ARMED);
}

void timer_state_free(struct arena *arena, uint32_t timer)
{
	ARENA_PUBLISH(arena->nodes[timer].tag, TIMER_FREE);
	arena_give_timer(arena, timer);
}

void timer_state_count_registered(struct arena *arena, uint32_t session, uint32_t n)
{
	struct session *s = &arena->sessions[session];

	s->held += n;
	if (session == ARENA_OWN_SESSION)
		return;
	limits_take_timers(arena, s->user, n);
	arena->header->counters.registered += n;
	limits_tally(arena, session)->registered += n;
}

void timer_state_count_freed(struct arena *arena, uint32_t session, uint32_t n)
{
	struct session *s = &arena->sessions[session];

	s->held -= n;
	if (session != ARENA_OWN_SESSION)
		limits_return_timers(arena, s->user, n);
}

void timer_state_count_cancelled(struct arena *arena, uint32_t session, uint32_t n)
{
	arena->header->counters.cancelled += n;
	limits_tally(arena, session)->cancelled += n;
}

static void change_apply(struct arena *arena, const struct arena_intent *change)
{
	struct rbnode *node = &arena->nodes[change->timer];
	struct timer *t = &arena->timers[change->timer];

	ARENA_WRITE(node->due, change->due);
	ARENA_WRITE(node->latest, change->latest);
	ARENA_WRITE(t->every, change->every);
	ARENA_WRITE(t->count, change->count);
	ARENA_WRITE(t->fired, change->fired);
	ARENA_WRITE(t->check, change->check);
}

void timer_state_change(struct arena *arena, uint32_t timer, const struct arena_intent *change)
{
	struct arena_intent *intent = &arena->header->intent;

	ARENA_WRITE(intent->due, change->due);
	ARENA_WRITE(intent->latest, change->latest);
	ARENA_WRITE(intent->every, change->every);
	ARENA_WRITE(intent->count, change->count);
	ARENA_WRITE(intent->fired, change->fired);
	ARENA_WRITE(intent->check, check_timer(arena, timer, intent));
	ARENA_PUBLISH(intent->timer, timer);
	change_apply(arena, intent);
	ARENA_PUBLISH(intent->timer, 0);
}

void timer_state_redo(struct arena *arena)
{
	struct arena_intent change = arena->header->intent;

	/* The check word covers the whole timer, so it matches only if the change is for this
	 * one. */
	if (change.timer && change.timer <= arena->header->max_timers &&
		check_timer(arena, change.timer, &change) == change.check)
		change_apply(arena, &change);
	ARENA_PUBLISH(arena->header->intent.timer, 0);
}

void timer_state_rearm(
	struct arena *arena, uint32_t timer, const struct arena_intent *change, bool past)
{
	struct arena_applying *applying = &arena->header->applying;
	struct rbnode *node = &arena->nodes[timer];

	if (past)
		ARENA_WRITE(node->tag, node->tag | TIMERS_TAG_PAST);
	ARENA_WRITE(arena->rearmed[applying->rearmed], timer_state_values(arena, timer));
	ARENA_PUBLISH(applying->rearmed, applying->rearmed + 1);
	timer_state_change(arena, timer, change);
}

void timer_state_take_back(struct arena *arena)
{
	uint32_t n = arena->header->applying.rearmed;

	/* The last one first, because a packet may re-arm the same timer several times. */
	for (n = n < ARENA_REARMED_MAX ? n : ARENA_REARMED_MAX; n; n--) {
		struct arena_intent was = arena->rearmed[n - 1];

		if (was.timer && was.timer <= arena->header->max_timers &&
			check_timer(arena, was.timer, &was) == was.check)
			change_apply(arena, &was);
	}
}

void timer_state_advance(struct arena *arena, uint32_t timer, uint64_t at)
{
	struct arena_intent change = timer_state_values(arena, timer);

	change.due = timers_next_due(arena, timer, at);
	change.latest = timers_latest(change.due, timers_slack(arena, timer));
	change.fired++;
	timer_state_change(arena, timer, &change);
	if (arena->nodes[timer].tag & TIMERS_TAG_PAST)
		ARENA_WRITE(arena->nodes[timer].tag, arena->nodes[timer].tag & ~TIMERS_TAG_PAST);
}

void timer_state_begin(struct arena *arena, uint32_t session, uint64_t serial)
{
	struct arena_applying *applying = &arena->header->applying;

	timer_state_answered(arena);
	ARENA_WRITE(applying->serial, serial);
	ARENA_WRITE(applying->sequence, arena->header->sequence);
	ARENA_WRITE(applying->answer_size, 0);
	ARENA_WRITE(applying->rearmed, 0);
	ARENA_WRITE(applying->check, check_applying(applying, session));
	ARENA_PUBLISH(applying->session, session);
}

void timer_state_commit(struct arena *arena, uint32_t session, uint64_t serial, size_t answer_size)
{
	ARENA_WRITE(arena->header->applying.answer_size, (uint32_t)answer_size);
	ARENA_PUBLISH(arena->sessions[session].serial, serial);
}

void timer_state_answered(struct arena *arena)
{
	ARENA_PUBLISH(arena->header->applying.session, 0);
}
