/* SPDX-License-Identifier: MIT */
/*
 * Which timers are due according to the model, and in what order.
 */
#include "model.h"

/* The timer after `after` (NULL: the first one) among the timers of a session and clock that are
 * due: in order of due, then of registration. */
static const struct model_timer *next_due(const struct model *m, uint32_t session,
	unsigned int clock, uint64_t at, const struct model_timer *after)
{
	const struct model_timer *next = NULL;

	for (uint32_t i = 0; i < m->count; i++) {
		const struct model_timer *t = &m->timers[i];

		if (t->session != session || t->clock != clock || t->cancelled || t->due > at)
			continue;
		if (after &&
			(t->due < after->due || (t->due == after->due && t->order <= after->order)))
			continue;
		if (!next || t->due < next->due || (t->due == next->due && t->order < next->order))
			next = t;
	}
	return next;
}

static uint64_t overruns(const struct model_timer *t, uint64_t at)
{
	return t->every ? (at - t->due) / t->every : 0;
}

static bool is_last(const struct model_timer *t, uint64_t at)
{
	return !t->every || (t->count && t->fired + 1 >= t->count) ||
		t->every > UINT64_MAX - t->due - overruns(t, at) * t->every - 1;
}

static const char *compare_wake(
	const struct model_timer *t, const struct proto_wake *wake, uint64_t at, uint64_t now)
{
	if (wake->id != t->id || wake->cookie != t->cookie)
		return "a wake is out of order";
	if (wake->due != t->due)
		return "a wake's due is wrong";
	if (wake->late != (now > t->due ? now - t->due : 0))
		return "a wake's lateness is wrong";
	if (wake->overruns != overruns(t, at))
		return "a wake's overruns are wrong";
	if (wake->number != t->fired + 1)
		return "a wake's number is wrong";
	if (wake->flags != (is_last(t, at) ? PROTO_WAKE_LAST : 0))
		return "a wake is the last, or is not";
	return NULL;
}

/* Determines which timers are due at the time `made`. ret_count: how many wakes there must be. If
 * there is a packet, compares it. ret_held: whether a wake had to wait for its client. */
static const char *due_at(const struct model *m, uint32_t session, const struct now *now,
	const struct now *made, bool drained, const void *packet, const struct proto_header *h,
	uint32_t *ret_count, bool *ret_held)
{
	const char *fault = NULL;

	*ret_count = 0;
	*ret_held = false;
	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
		const struct model_timer *t = NULL;
		uint64_t at = timers_now(made, clock), before = TIMERS_FOREVER;
		struct proto_wake wake;

		while (!fault && (t = next_due(m, session, clock, at, t))) {
			*ret_held = !drained && t->fired;
			if (*ret_held)
				return NULL;
			if (packet && *ret_count < h->count) {
				codec_get(packet, h, *ret_count, &wake, sizeof(wake));
				fault = compare_wake(t, &wake, at, timers_now(now, clock));
				m->events[EVENT_WAKE_EQUALS] += before == t->due;
				before = t->due;
			}
			(*ret_count)++;
		}
	}
	return fault;
}

static const char *compare_cancelled(
	struct model *m, uint32_t session, const void *packet, const struct proto_header *h)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->count; i++)
		n += m->timers[i].session == session && m->timers[i].cancelled;
	if (h->opcode != PROTO_CANCELLED || h->count != n)
		return "not every cancelled timer was told";
	for (uint32_t i = 0; i < n; i++) {
		struct proto_cancelled cancelled;
		struct model_timer *t;

		codec_get(packet, h, i, &cancelled, sizeof(cancelled));
		t = model_find(m, cancelled.id);
		if (!t || !t->cancelled || t->session != session || t->cookie != cancelled.cookie)
			return "a cancelled timer was told wrongly";
	}
	return NULL;
}

static const char *compare_resumed(
	const struct model_session *s, const void *packet, const struct proto_header *h)
{
	struct proto_resumed resumed;

	if (h->opcode != PROTO_RESUMED)
		return "a session was not told that it resumed";
	codec_get(packet, h, 0, &resumed, sizeof(resumed));
	return resumed.serial == s->serial ? NULL : "a session resumed at a wrong serial";
}

static bool has_cancelled(const struct model *m, uint32_t session)
{
	for (uint32_t i = 0; i < m->count; i++)
		if (m->timers[i].session == session && m->timers[i].cancelled)
			return true;
	return false;
}

static const char *compare_wakes(struct model *m, uint32_t session, const struct now *now,
	bool drained, enum wakes_next what, const void *packet, const struct proto_header *h,
	struct now *made)
{
	struct model_session *s = &m->sessions[session];
	const char *fault;
	uint32_t count;
	bool held;

	/* Repeated wakes were due at that time, even if a clock has been set back since. */
	*made = s->again ? s->sent_at : *now;
	due_at(m, session, now, made, drained, NULL, NULL, &count, &held);
	if (s->again && !count && !held) {
		s->again = false;
		*made = *now;
	}
	fault = due_at(m, session, now, made, drained, what == WAKES_PACKET ? packet : NULL, h,
		&count, &held);
	if (fault)
		return fault;
	if (!count)
		return what == (held ? WAKES_HOLD : WAKES_NOTHING) ? NULL
								   : "nothing should be sent";
	if (what != WAKES_PACKET || h->opcode != PROTO_WAKE || h->count != count)
		return "not all that is due is sent, or more";
	return NULL;
}

const char *model_wakes(struct model *m, uint32_t session, const struct now *now, bool drained,
	enum wakes_next what, const void *packet, size_t size, struct now *ret_made)
{
	struct model_session *s = &m->sessions[session];
	struct proto_header h = {0};

	if (!s->greeted) {
		if (now->at[PROTO_CLOCK_MONOTONIC] < s->hello_due)
			return "a session is served before its hello";
		m->events[EVENT_HELLO_LATE]++;
		return what == WAKES_END ? NULL : "a session without a hello goes on";
	}
	if (what == WAKES_END && s->late)
		return NULL;
	if (what == WAKES_END)
		return "a session was ended for nothing";
	if (what == WAKES_PACKET &&
		(codec_open(packet, size, CODEC_FROM_DAEMON, &h) != CODEC_OK || h.serial))
		return "an event is malformed";
	if (s->tell)
		return compare_resumed(s, packet, &h);
	if (has_cancelled(m, session))
		return compare_cancelled(m, session, packet, &h);
	if (h.opcode == PROTO_CLOCK_SET)
		return s->clock_set_pending || s->may_clock_set
			? NULL
			: "a session was told that a clock was set which was not";
	if (s->clock_set_pending)
		return "a session was not told that the clock was set";
	return compare_wakes(m, session, now, drained, what, packet, &h, ret_made);
}

static void take_off(
	struct model *m, struct model_timer *t, const struct now *made, const struct now *now)
{
	uint64_t at = timers_now(made, t->clock);
	uint64_t slack = t->latest - t->due;

	m->events[EVENT_WAKE + t->clock]++;
	m->events[EVENT_WAKE_OVERRUN] += overruns(t, at) != 0;
	if (is_last(t, at)) {
		if (t->every)
			m->events[t->count && t->fired + 1 >= t->count ? EVENT_WAKE_COUNTED_OUT
								       : EVENT_WAKE_END_OF_TIME]++;
		model_remove(m, t);
		return;
	}
	t->fired++;
	t->due += (overruns(t, at) + 1) * t->every;
	if (t->latest != TIMERS_FOREVER)
		t->latest = slack > TIMERS_FOREVER - t->due ? TIMERS_FOREVER : t->due + slack;
	model_advanced(t, made, now);
}

/* Whether the arena shows that this wake, or this cancelled event, was not sent yet. */
static bool is_left(const struct arena *arena, const struct model_timer *t)
{
	uint32_t slot = model_slot(arena, t->id);

	if (!slot)
		return false;
	return timers_state(arena, slot) == TIMER_CANCELLED ||
		arena->timers[slot].fired == t->fired;
}

void model_sent_in_part(struct model *m, const struct arena *arena, uint32_t session,
	const void *packet, size_t size, const struct now *made, const struct now *now)
{
	struct proto_header h = {0};

	codec_open(packet, size, CODEC_FROM_DAEMON, &h);
	if (h.opcode == PROTO_RESUMED)
		m->sessions[session].tell = false;
	if (h.opcode == PROTO_CLOCK_SET) {
		m->events[EVENT_CLOCK_SET_TOLD]++;
		m->sessions[session].clock_set_pending = arena &&
			arena->sessions[session].clock_set_pending;
		m->sessions[session].may_clock_set = false;
	}
	for (uint32_t i = 0; i < h.count; i++) {
		struct proto_cancelled cancelled;
		struct proto_wake wake = {0};
		struct model_timer *t;

		if (h.opcode == PROTO_WAKE)
			codec_get(packet, &h, i, &wake, sizeof(wake));
		else if (h.opcode == PROTO_CANCELLED)
			codec_get(packet, &h, i, &cancelled, sizeof(cancelled));
		else
			continue;
		t = model_find(m, h.opcode == PROTO_WAKE ? wake.id : cancelled.id);
		if (!t || (arena && is_left(arena, t)))
			continue;
		m->events[EVENT_TOLD] += t->cancelled;
		if (t->cancelled) {
			model_remove(m, t);
			continue;
		}
		m->counts.woken++;
		model_own(m, m->sessions[t->session].uid)->woken++;
		model_count_late(m, t, now);
		take_off(m, t, made, now);
	}
}

void model_sent(struct model *m, uint32_t session, const void *packet, size_t size,
	const struct now *made, const struct now *now)
{
	model_sent_in_part(m, NULL, session, packet, size, made, now);
}
