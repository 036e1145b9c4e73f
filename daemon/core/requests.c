/* SPDX-License-Identifier: MIT */
/*
 * Each record stands for itself: it is checked, applied or refused, and answered, before the next one
 * is looked at. A refusal changes nothing.
 */
#include "requests.h"

#include <string.h>

static unsigned int clock_of(const struct proto_register *r)
{
	if (!(r->flags & PROTO_WAKE_SYSTEM))
		return r->clock;
	return r->clock == PROTO_CLOCK_BOOTTIME ? CLOCK_OF_BOOTTIME_ALARM : CLOCK_OF_REALTIME_ALARM;
}

/* Makes due absolute. Return: PROTO_E_RANGE where the clock does not go that far. */
static enum proto_status absolute(uint64_t *due, uint8_t flags, uint64_t at)
{
	if (flags & PROTO_RELATIVE && __builtin_add_overflow(*due, at, due))
		return PROTO_E_RANGE;
	return *due == PROTO_FOREVER ? PROTO_E_RANGE : PROTO_OK;
}

static enum proto_status check(const struct worker *w, uint32_t session,
	const struct proto_register *r, const struct now *now, uint64_t *ret_due)
{
	enum proto_status status = codec_check_register(r);
	uint64_t due = r->due;

	if (status)
		return status;
	if (r->flags & PROTO_WAKE_SYSTEM && !w->config.can_wake_system)
		return PROTO_E_WAKE_SYSTEM;
	status = absolute(&due, r->flags, now->at[r->clock]);
	if (status)
		return status;
	*ret_due = due;
	if (session == ARENA_OWN_SESSION) /* has places of its own beyond everybody's limit */
		return PROTO_OK;
	return limits_check_timer(&w->arena, &w->config.limits, w->arena.sessions[session].user);
}

uint32_t requests_enroll(struct worker *w, uint32_t session, const struct proto_register *r,
	const struct now *now, enum proto_status *ret_status)
{
	struct arena *arena = &w->arena;
	uint64_t due = 0;
	uint32_t timer;
	enum proto_status status = check(w, session, r, now, &due);

	if (status) {
		*ret_status = status;
		return 0;
	}
	timer = arena_take_timer(arena);
	if (!timer) {
		*ret_status = PROTO_E_TIMERS;
		return 0;
	}
	ARENA_STORE(arena->timers[timer],
		((struct timer){
			.sequence = ++arena->header->sequence,
			.every = r->every,
			.cookie = r->cookie,
			.session = session,
			.count = r->count,
		}));
	if (r->label[0])
		memcpy(arena->labels[timer], r->label, sizeof(r->label));
	ARENA_STORE(arena->nodes[timer].due, due);
	ARENA_STORE(arena->nodes[timer].latest, timers_latest(due, r->slack));
	timers_publish(arena, timer, clock_of(r), r->label[0] != 0);
	sessions_enroll(arena, timer);
	arena->sessions[session].held++;
	if (session != ARENA_OWN_SESSION)
		limits_take_timer(arena, arena->sessions[session].user);
	*ret_status = PROTO_OK;
	return timer;
}

/* Frees a timer that is in no tree, and counts it off. */
static void release(struct worker *w, uint32_t timer)
{
	struct arena *arena = &w->arena;
	uint32_t session = arena->timers[timer].session;

	arena_free_timer(arena, timer);
	arena->sessions[session].held--;
	if (session != ARENA_OWN_SESSION)
		limits_return_timer(arena, arena->sessions[session].user);
}

void requests_drop(struct worker *w, uint32_t timer)
{
	sessions_withdraw(&w->arena, timer);
	release(w, timer);
}

/* Trees up to about this many timers stay in a processor's cache. */
#define FORESEE_FROM 8192

/* Brings what the next records of the packet will need into the cache: see timers_foresee(). */
static void foresee(const struct worker *w, uint32_t session, const struct proto_register *records,
	unsigned int n, const struct now *now)
{
	const struct session *s = &w->arena.sessions[session];
	const struct rbtree *trees[TIMERS_ABREAST];
	uint64_t dues[TIMERS_ABREAST];

	if (s->held < FORESEE_FROM)
		return;
	for (unsigned int i = 0; i < n; i++) {
		/* Only a guess: whether the record can be meant is looked at when its turn comes. */
		unsigned int clock = records[i].clock < PROTO_CLOCKS ? clock_of(&records[i]) : 0;

		trees[i] = &s->timers[clock];
		dues[i] = records[i].due;
		if (records[i].flags & PROTO_RELATIVE)
			dues[i] += timers_now(now, clock);
	}
	timers_foresee(&w->arena, trees, dues, n);
}

static void answer_register(struct worker *w, uint32_t session, const struct proto_register *r,
	const struct now *now, struct codec_writer *answer)
{
	struct counters *counters = &w->arena.header->counters;
	struct proto_registered registered = {0};
	enum proto_status status = PROTO_OK;
	uint32_t timer = requests_enroll(w, session, r, now, &status);

	if (timer) {
		registered.id = timers_id(&w->arena, timer);
		registered.due = w->arena.nodes[timer].due;
		counters->registered++;
	} else {
		registered.status = status;
		counters->refused++;
		w->refusals++;
		w->refused_with = status;
	}
	codec_put(answer, &registered);
}

void requests_register(struct worker *w, uint32_t session, const void *packet,
	const struct proto_header *header, const struct now *now, struct codec_writer *answer)
{
	struct proto_register records[TIMERS_ABREAST];

	for (uint32_t i = 0; i < header->count; i += TIMERS_ABREAST) {
		uint32_t left = header->count - i;
		uint32_t n = left < TIMERS_ABREAST ? left : TIMERS_ABREAST;

		for (uint32_t k = 0; k < n; k++)
			codec_get(packet, header, i + k, &records[k]);
		foresee(w, session, records, n, now);
		for (uint32_t k = 0; k < n; k++)
			answer_register(w, session, &records[k], now, answer);
	}
}

/* The live timer of that id that this session may cancel; 0: there is none, or it is another's. */
static uint32_t find_for(const struct worker *w, uint32_t session, uint64_t id)
{
	const struct arena *arena = &w->arena;
	uint32_t timer = timers_find(arena, id);
	uint32_t owner = arena->timers[timer].session; /* of timer 0: nobody, whom nobody owns */
	uint32_t uid = arena->sessions[session].uid;

	if (!timer || timers_state(arena, timer) != TIMER_ARMED || owner == ARENA_OWN_SESSION)
		return 0;
	return owner == session || uid == 0 || arena->sessions[owner].uid == uid ? timer : 0;
}

/* Takes the timer out of its tree and onto the list of those that go once the packet is committed:
 * until then a kill must leave it as it was, so that the packet can come again. */
static enum proto_status cancel(struct worker *w, uint32_t session, uint64_t id)
{
	struct arena *arena = &w->arena;
	uint32_t timer = find_for(w, session, id);
	struct rbnode *node = &arena->nodes[timer];

	if (!timer)
		return PROTO_E_NO_SUCH_TIMER;
	sessions_withdraw(arena, timer);
	ARENA_PUBLISH(node->tag,
		timers_tag(TIMER_CANCELLING, timers_clock(arena, timer),
			timers_labelled(arena, timer)));
	node->child[0] = 0;
	*(w->cancelling_last ? &arena->nodes[w->cancelling_last].child[0]
			     : &w->cancelling_first) = timer;
	w->cancelling_last = timer;
	return PROTO_OK;
}

void requests_commit(struct worker *w, uint32_t session)
{
	struct arena *arena = &w->arena;

	w->cancelling_last = 0;
	while (w->cancelling_first) {
		uint32_t timer = w->cancelling_first;

		w->cancelling_first = arena->nodes[timer].child[0];
		arena->header->counters.cancelled++;
		if (arena->timers[timer].session == session)
			release(w, timer);
		else
			sessions_tell_cancelled(arena, timer);
	}
}

static void answer_cancel(
	struct worker *w, uint32_t session, uint64_t id, struct codec_writer *answer)
{
	struct proto_cancel_answer cancelled = {.id = id};

	cancelled.status = cancel(w, session, id);
	codec_put(answer, &cancelled);
}

void requests_cancel(struct worker *w, uint32_t session, const void *packet,
	const struct proto_header *header, struct codec_writer *answer)
{
	struct proto_cancel records[TIMERS_ABREAST];
	uint32_t timers[TIMERS_ABREAST];

	for (uint32_t i = 0; i < header->count; i += TIMERS_ABREAST) {
		uint32_t left = header->count - i;
		uint32_t n = left < TIMERS_ABREAST ? left : TIMERS_ABREAST;

		for (uint32_t k = 0; k < n; k++) {
			codec_get(packet, header, i + k, &records[k]);
			timers[k] = timers_index(&w->arena, records[k].id);
		}
		timers_foresee_withdrawal(&w->arena, timers, n);
		for (uint32_t k = 0; k < n; k++)
			answer_cancel(w, session, records[k].id, answer);
	}
}

static enum proto_status rearm(struct worker *w, uint32_t session, const struct proto_rearm *r,
	const struct now *now, uint64_t *ret_due)
{
	struct arena *arena = &w->arena;
	uint32_t timer = find_for(w, session, r->id);
	enum proto_status status = codec_check_rearm(r);
	struct arena_intent change = {.due = r->due, .every = r->every};

	if (status)
		return status;
	if (!timer || arena->timers[timer].session != session)
		return PROTO_E_NO_SUCH_TIMER;
	status = absolute(&change.due, r->flags, timers_now(now, timers_clock(arena, timer)));
	if (status)
		return status;
	change.latest = timers_latest(change.due, r->slack);
	change.fired = arena->timers[timer].fired;
	/* A new count counts from now on, whatever was sent before. */
	if (r->count && __builtin_add_overflow(change.fired, r->count, &change.count))
		change.count = UINT32_MAX;
	sessions_withdraw(arena, timer);
	timers_rearm(arena, timer, &change);
	sessions_enroll(arena, timer);
	*ret_due = change.due;
	return PROTO_OK;
}

void requests_rearm(struct worker *w, uint32_t session, const void *packet,
	const struct proto_header *header, const struct now *now, struct codec_writer *answer)
{
	for (uint32_t i = 0; i < header->count; i++) {
		struct proto_registered registered = {0};
		struct proto_rearm r;

		codec_get(packet, header, i, &r);
		registered.id = r.id;
		registered.status = rearm(w, session, &r, now, &registered.due);
		if (registered.status)
			registered.id = 0;
		codec_put(answer, &registered);
	}
}
