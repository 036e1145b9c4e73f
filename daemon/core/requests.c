/* SPDX-License-Identifier: MIT */
/*
 * The result of a packet is the same as if each record were checked, applied and answered before
 * the next one. A refused record changes nothing.
 */
#include "requests.h"

#include <string.h>

#include "lateness.h"
#include "prefetch.h"

static unsigned int clock_of(const struct proto_register *r)
{
	if (!(r->flags & PROTO_WAKE_SYSTEM))
		return r->clock;
	return r->clock == PROTO_CLOCK_BOOTTIME ? CLOCK_OF_BOOTTIME_ALARM : CLOCK_OF_REALTIME_ALARM;
}

/* Makes due absolute. Return: PROTO_E_RANGE if it overflows. */
static enum proto_status absolute(uint64_t *due, uint8_t flags, uint64_t at)
{
	if (flags & PROTO_RELATIVE && __builtin_add_overflow(*due, at, due))
		return PROTO_E_RANGE;
	return *due == PROTO_FOREVER ? PROTO_E_RANGE : PROTO_OK;
}

/* Checks a record except for the limits. ret_due: its absolute due. */
static enum proto_status check(const struct worker *w, const struct proto_register *r,
	const struct now *now, uint64_t *ret_due)
{
	enum proto_status status = codec_check_register(r);

	*ret_due = r->due;
	if (status)
		return status;
	if (r->flags & PROTO_WAKE_SYSTEM && !w->config.can_wake_system)
		return PROTO_E_WAKE_SYSTEM;
	return absolute(ret_due, r->flags, now->at[r->clock]);
}

/* Fills `new` from a checked record, except for the label. It assigns each field in place: a copy
 * of the whole struct would wait for the narrow writes before it, and make a registration in order
 * take 50 % longer. */
static void write_timer(
	struct timer_new *new, const struct proto_register *r, uint64_t due, const struct now *now)
{
	new->due = due;
	new->latest = timers_latest(due, r->slack);
	new->every = r->every;
	new->cookie = r->cookie;
	new->count = r->count;
	new->clock = (uint8_t)clock_of(r);
	new->past = new->latest < now->at[r->clock];
}

/* The number of records for one call of sessions_enroll_batch(). */
#define BATCH 256

/* Some records of one packet. */
struct batch {
	uint32_t n, accepted;
	enum proto_status status[BATCH];
	struct timer_new new[BATCH]; /* of accepted records */
	uint32_t timers[BATCH];	     /* of accepted records */
};

/* The label of record i of a packet. A label has no byte order. */
static const char *label_of(const void *packet, uint32_t i)
{
	return (const char *)packet + sizeof(struct proto_header) +
		i * sizeof(struct proto_register) + offsetof(struct proto_register, label);
}

/* Checks record i of a packet and adds it to the batch. */
static void check_record(
	struct worker *w, const struct worker_request *request, uint32_t i, struct batch *batch)
{
	struct arena *arena = &w->arena;
	const struct now *now = request->now;
	uint32_t session = request->session;
	struct proto_register r;
	enum proto_status status;
	uint64_t due;

	codec_get(request->packet, &request->header, i, &r, sizeof(r));
	status = check(w, &r, now, &due);

	if (!status)
		status = limits_check_timer(arena, &w->config.limits, session, batch->accepted);
	batch->status[batch->n++] = status;
	if (status)
		return;
	write_timer(&batch->new[batch->accepted], &r, due, now);
	batch->new[batch->accepted].label = r.label[0] ? label_of(request->packet, i) : NULL;
	if (batch->new[batch->accepted++].past)
		lateness_registered_past(arena, session, now);
	if (r.flags & PROTO_TELL_CLOCK_SET)
		ARENA_WRITE(arena->sessions[session].wants_clock_set, true);
}

static void answer_refusal(
	struct worker *w, struct worker_request *request, enum proto_status status)
{
	struct proto_registered *registered = codec_add(&request->answer, sizeof(*registered));

	*registered = (struct proto_registered){.status = status};
	w->arena.header->counters.refused++;
	limits_tally(&w->arena, request->session)->refused++;
	w->refusals++;
	w->refused_with = status;
}

static void answer_batch(
	struct worker *w, struct worker_request *request, const struct batch *batch)
{
	for (uint32_t i = 0, k = 0; i < batch->n; i++) {
		struct proto_registered *registered;

		if (batch->status[i]) {
			answer_refusal(w, request, batch->status[i]);
			continue;
		}
		registered = codec_add(&request->answer, sizeof(*registered));
		*registered = (struct proto_registered){
			.id = timers_id(&w->arena, batch->timers[k]),
			.due = batch->new[k].due,
		};
		k++;
	}
}

void requests_register(struct worker *w, struct worker_request *request)
{
	uint32_t count = request->header.count;
	struct batch batch;

	for (uint32_t i = 0; i < count;) {
		batch.n = batch.accepted = 0;
		for (; i < count && batch.n < BATCH; i++)
			check_record(w, request, i, &batch);
		sessions_enroll_batch(
			&w->arena, request->session, batch.new, batch.accepted, batch.timers);
		answer_batch(w, request, &batch);
	}
}

/*
 * The live timer with this id that this session may cancel; 0: there is none, or it belongs to
 * another user. The time that this takes must not reveal which of the two: so it reads the same
 * records in both cases and does not branch on them.
 */
static inline __attribute__((always_inline)) uint32_t find_permitted(
	const struct worker *w, uint32_t session, uint64_t id)
{
	const struct arena *arena = &w->arena;
	uint32_t timer = timers_index(arena, id);
	const struct timer *t = &arena->timers[timer];
	uint32_t within = -(uint32_t)(t->session <= arena->header->sessions_top);
	const struct session *owner = &arena->sessions[t->session & within];
	uint32_t uid = arena->sessions[session].uid;
	unsigned int allowed = (unsigned int)(uid == 0) | (owner->uid == uid);
	unsigned int alive = (unsigned int)(timers_state(arena, timer) == TIMER_ARMED) &
		(timers_id(arena, timer) == id) & (owner->state != SESSION_FREE) &
		(t->sequence > owner->born) & (t->session != ARENA_OWN_SESSION) & (timer != 0);

	return timer & -(uint32_t)(allowed & alive);
}

/* Takes the timer out of its tree and notes it for requests_commit(), which frees it. Until the
 * commit, a kill must leave the timer alive, because the client sends the packet again. */
static enum proto_status cancel(struct worker *w, uint32_t session, uint32_t timer)
{
	struct arena *arena = &w->arena;
	uint32_t owner;

	/* An earlier record of the packet may have named the same timer. */
	if (!timer || timers_state(arena, timer) != TIMER_ARMED)
		return PROTO_E_NO_SUCH_TIMER;
	owner = arena->timers[timer].session;
	sessions_withdraw_one(arena, timer);
	if (owner != session)
		sessions_renew(arena, owner);
	timer_state_set(arena, timer, TIMER_CANCELLING);
	w->cancelling[w->cancelling_count++] = timer << 1 | (owner != session);
	return PROTO_OK;
}

/* Notes for the log that the packet cancelled a timer of another user. */
static void note_intervention(struct worker *w, uint32_t session, uint32_t timer)
{
	const struct session *owner = &w->arena.sessions[w->arena.timers[timer].session];
	struct worker_intervention *last = w->intervention_count
		? &w->interventions[w->intervention_count - 1]
		: NULL;

	if (owner->uid == w->arena.sessions[session].uid)
		return;
	if (last &&
		((last->uid == owner->uid && last->pid == owner->pid) ||
			w->intervention_count == WORKER_INTERVENTIONS_MAX)) {
		last->count++;
		return;
	}
	w->interventions[w->intervention_count++] = (struct worker_intervention){
		owner->uid, owner->pid, 1, timers_id(&w->arena, timer)};
}

void requests_commit(struct worker *w, uint32_t session)
{
	struct arena *arena = &w->arena;
	uint32_t n = w->cancelling_count, foreign = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t timer = w->cancelling[i] >> 1;

		/* The packet's removals may have pushed it out of the L1 cache. */
		__builtin_prefetch(&arena->nodes[w->cancelling[i + 8 < n ? i + 8 : i] >> 1].tag);
		if (w->cancelling[i] & 1) {
			note_intervention(w, session, timer);
			sessions_queue_cancelled(arena, timer);
			foreign++;
		} else {
			timer_state_free(arena, timer);
		}
	}
	timer_state_count_freed(arena, session, n - foreign);
	timer_state_count_cancelled(arena, session, n);
	w->cancelling_count = 0;
}

static void answer_cancel(
	struct worker *w, struct worker_request *request, uint64_t id, uint32_t timer)
{
	struct proto_cancel_answer *cancelled = codec_add(&request->answer, sizeof(*cancelled));

	*cancelled = (struct proto_cancel_answer){
		.id = id,
		.status = cancel(w, request->session, timer),
	};
}

/* Prefetches the records of a timer that will be cancelled a little later. */
static void fetch_ahead(const struct worker *w, const struct worker_request *request, uint32_t i)
{
	struct proto_cancel later;

	if (i >= request->header.count)
		return;
	codec_get(request->packet, &request->header, i, &later, sizeof(later));
	prefetch_timer(&w->arena, timers_index(&w->arena, later.id));
}

void requests_cancel(struct worker *w, struct worker_request *request)
{
	const struct proto_header *header = &request->header;
	struct proto_cancel records[PREFETCH_ABREAST];
	uint32_t timers[PREFETCH_ABREAST];

	for (uint32_t i = 0; i < PREFETCH_ABREAST; i++)
		fetch_ahead(w, request, i);
	for (uint32_t i = 0; i < header->count; i += PREFETCH_ABREAST) {
		uint32_t remaining = header->count - i;
		uint32_t n = remaining < PREFETCH_ABREAST ? remaining : PREFETCH_ABREAST;

		/* Prefetch another user's timer no more than a free slot: see find_permitted(). */
		for (uint32_t k = 0; k < n; k++) {
			codec_get(request->packet, header, i + k, &records[k], sizeof(records[k]));
			timers[k] = find_permitted(w, request->session, records[k].id);
		}
		prefetch_for_removal(&w->arena, timers, n);
		for (uint32_t k = 0; k < n; k++) {
			answer_cancel(w, request, records[k].id, timers[k]);
			fetch_ahead(w, request, i + n + k);
		}
	}
	sessions_renew(&w->arena, request->session);
}

static_assert(PROTO_RECORDS_MAX(struct proto_cancelled) <=
		sizeof(((struct worker *)NULL)->cancelling) / sizeof(uint32_t),
	"an answer names no more timers than one packet can cancel");

void requests_cancel_matching(
	struct worker *w, struct worker_request *request, struct match_scan *scan)
{
	const struct arena *arena = &w->arena;
	uint32_t session = request->session, timer;

	while (!codec_full(&request->answer) && (timer = match_next(arena, scan))) {
		const struct timer *t = &arena->timers[timer];
		struct proto_cancelled *cancelled = codec_add(&request->answer, sizeof(*cancelled));

		*cancelled = (struct proto_cancelled){
			.cookie = t->session == session ? t->cookie : 0,
			.id = timers_id(arena, timer),
		};
		cancel(w, session, timer);
	}
	sessions_renew(&w->arena, session);
}

static enum proto_status rearm(struct worker *w, uint32_t session, const struct proto_rearm *r,
	const struct now *now, uint64_t *ret_due)
{
	struct arena *arena = &w->arena;
	uint32_t timer = find_permitted(w, session, r->id);
	enum proto_status status = codec_check_rearm(r);
	struct arena_intent change = {.due = r->due, .every = r->every};
	bool past;

	if (status)
		return status;
	if (!timer || arena->timers[timer].session != session)
		return PROTO_E_NO_SUCH_TIMER;
	status = absolute(&change.due, r->flags, timers_now(now, timers_clock(arena, timer)));
	if (status)
		return status;
	change.latest = timers_latest(change.due, r->slack);
	change.fired = arena->timers[timer].fired;
	/* A new count counts from now on, without the wakes sent before. */
	if (r->count && __builtin_add_overflow(change.fired, r->count, &change.count))
		change.count = UINT32_MAX;
	past = change.latest < timers_now(now, timers_clock(arena, timer));
	if (past)
		lateness_registered_past(arena, session, now);
	sessions_withdraw(arena, timer);
	timer_state_rearm(arena, timer, &change, past);
	sessions_enroll(arena, timer);
	*ret_due = change.due;
	return PROTO_OK;
}

void requests_rearm(struct worker *w, struct worker_request *request)
{
	for (uint32_t i = 0; i < request->header.count; i++) {
		struct proto_registered registered = {0};
		struct proto_rearm r;

		codec_get(request->packet, &request->header, i, &r, sizeof(r));
		registered.id = r.id;
		registered.status = rearm(w, request->session, &r, request->now, &registered.due);
		if (registered.status)
			registered.id = 0;
		codec_put(&request->answer, &registered, sizeof(registered));
	}
}
