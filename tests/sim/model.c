/* SPDX-License-Identifier: MIT */
/*
 * The sessions and timers of the model, and what the arena should contain.
 */
#include "model.h"

#include <assert.h>
#include <string.h>

void model_init(struct model *m, const struct worker_config *config, uint64_t *events,
	const struct now *now)
{
	memset(m, 0, sizeof(*m));
	m->config = config;
	m->events = events;
	m->started = now->at[PROTO_CLOCK_BOOTTIME];
	m->looked = *now;
	m->internal_due = m->internal_latest = TIMERS_FOREVER;
}

void model_copy(struct model *to, const struct model *from)
{
	uint64_t *events = to->events;

	memcpy(to, from, offsetof(struct model, timers) + sizeof(from->timers[0]) * from->count);
	to->events = events;
}

struct model_timer *model_find(struct model *m, uint64_t id)
{
	for (uint32_t i = 0; i < m->count; i++)
		if (m->timers[i].id == id)
			return &m->timers[i];
	return NULL;
}

void model_remove(struct model *m, struct model_timer *t)
{
	*t = m->timers[--m->count];
}

/* How many timers a user has, or all users have. */
uint32_t model_held(const struct model *m, const uint32_t *uid)
{
	uint32_t held = 0;

	for (uint32_t i = 0; i < m->count; i++)
		held += !uid || m->sessions[m->timers[i].session].uid == *uid;
	return held;
}

struct model_counts *model_own(struct model *m, uint32_t uid)
{
	uint32_t i = 0;

	while (i < m->users && m->own_uids[i] != uid)
		i++;
	assert(i < MODEL_USERS);
	m->own_uids[i] = uid;
	if (i == m->users)
		m->users++;
	return &m->own[i];
}

static void count_refused(struct model *m, uint32_t uid)
{
	m->counts.refused++;
	model_own(m, uid)->refused++;
}

enum proto_status model_connect(struct model *m, uint32_t uid)
{
	const struct limits *limits = &m->config->limits;
	uint32_t all = 0, same = 0, reserve = limits->max_clients / 16;

	reserve = reserve < LIMITS_ROOT_RESERVE ? reserve : LIMITS_ROOT_RESERVE;
	for (uint32_t i = 0; i < MODEL_SESSIONS_MAX; i++) {
		all += m->sessions[i].open;
		same += m->sessions[i].open && m->sessions[i].uid == uid;
	}
	if (all >= limits->max_clients - (uid == 0 ? 0 : reserve)) {
		count_refused(m, uid);
		m->events[EVENT_NO_PLACE]++;
		return PROTO_E_CLIENTS;
	}
	if (uid != 0 && same >= limits->max_clients_per_user) {
		count_refused(m, uid);
		m->events[EVENT_NO_PLACE_USER]++;
		return PROTO_E_CLIENTS_USER;
	}
	m->events[EVENT_CONNECTED]++;
	m->events[EVENT_ROOT_RESERVE] += all >= limits->max_clients - reserve;
	m->events[EVENT_ROOT_CLIENTS] += same >= limits->max_clients_per_user;
	return PROTO_OK;
}

void model_open(
	struct model *m, uint32_t session, uint32_t uid, uint32_t pid, const struct now *now)
{
	m->sessions[session] = (struct model_session){
		.open = true,
		.uid = uid,
		.pid = pid,
		.hello_due = now->at[PROTO_CLOCK_MONOTONIC] + PROTO_HELLO_TIMEOUT_US,
	};
}

void model_close(struct model *m, uint32_t session)
{
	for (uint32_t i = m->count; i-- > 0;)
		if (m->timers[i].session == session)
			model_remove(m, &m->timers[i]);
	m->sessions[session].open = false;
}

static bool is_off(uint64_t counted, uint64_t should, uint64_t most)
{
	return counted < should || counted > should + most;
}

const char *model_recount(
	struct model *m, const struct counters *counters, uint64_t most, uint64_t kills)
{
	struct model_counts *c = &m->counts;

	m->own_lost = true;
	if (is_off(counters->registered + counters->refused, c->registered + c->refused, most) ||
		is_off(counters->cancelled + most, c->cancelled, 2 * most) ||
		is_off(counters->woken, c->woken, most))
		return "a kill has made a count wrong by more than was in hand";
	if (is_off(counters->restarts, c->restarts + 1, kills - 1) ||
		is_off(counters->adopted_sessions, c->adopted_sessions, kills) ||
		is_off(counters->adopted_timers, c->adopted_timers, kills * MODEL_TIMERS_MAX))
		return "restarts or adoptions are counted wrongly";
	if (counters->wakeups != c->wakeups || counters->late_max + MODEL_JUMP < c->late_least)
		return "wake-ups or lateness are counted wrongly";
	*c = (struct model_counts){
		.registered = counters->registered,
		.woken = counters->woken,
		.cancelled = counters->cancelled,
		.refused = counters->refused,
		.wakeups = counters->wakeups,
		.restarts = counters->restarts,
		.adopted_sessions = counters->adopted_sessions,
		.adopted_timers = counters->adopted_timers,
		.late_least = c->late_least,
		/* The wake that is being sent may have been counted already. */
		.late_most = counters->late_max > c->late_most ? counters->late_max : c->late_most,
	};
	return NULL;
}

void model_resumed(struct model *m, uint32_t session)
{
	m->counts.adopted_sessions++;
	for (uint32_t i = 0; i < m->count; i++)
		m->counts.adopted_timers += m->timers[i].session == session;
}

void model_adopted(struct model *m, const struct now *now)
{
	m->started = now->at[PROTO_CLOCK_BOOTTIME];
	for (uint32_t i = 0; i < MODEL_SESSIONS_MAX; i++) {
		struct model_session *s = &m->sessions[i];

		if (s->open && !s->greeted)
			model_close(m, i);
		s->resumed = s->tell = true;
		s->blocked = false;
		s->may_clock_set = s->may_clock_set || s->greeted;
		s->clock_set_pending = false;
	}
	model_look(m, now);
	for (uint32_t i = 0; i < m->count; i++)
		m->timers[i].excused |= m->timers[i].since != 0;
	m->internal_due = m->internal_latest = TIMERS_FOREVER;
}

void model_clock_set(struct model *m)
{
	for (uint32_t i = 0; i < MODEL_SESSIONS_MAX; i++) {
		struct model_session *s = &m->sessions[i];

		s->clock_set_pending = s->clock_set_pending ||
			(s->open && s->greeted && s->wants_clock_set);
	}
}

void model_internal(struct model *m, const struct now *now)
{
	uint64_t slack = m->internal_latest - m->internal_due;

	while (m->internal_due <= now->at[PROTO_CLOCK_MONOTONIC])
		m->internal_due += m->internal_every;
	m->internal_latest = m->internal_due + slack;
}

/* All internal timers are on that clock. */
static uint64_t next_own(const struct model *m, const bool *blocked)
{
	uint64_t next = m->internal_latest;

	if (blocked[ARENA_OWN_SESSION])
		return TIMERS_FOREVER;

	for (uint32_t i = 0; i < MODEL_SESSIONS_MAX; i++) {
		const struct model_session *s = &m->sessions[i];
		uint64_t latest = s->hello_due + PROTO_HELLO_TIMEOUT_US / 4;

		/* A blocked session that has waited too long is about to end. */
		if (s->open && !s->greeted && !blocked[i] && latest < next)
			next = latest;
	}
	return next;
}

uint64_t model_next_of_clients(
	const struct model *m, unsigned int clock, const bool *blocked, const uint32_t *uid)
{
	uint64_t next = TIMERS_FOREVER;

	for (uint32_t i = 0; i < m->count; i++) {
		const struct model_timer *t = &m->timers[i];

		if (t->clock == clock && !t->cancelled && !(blocked && blocked[t->session]) &&
			t->latest < next && (!uid || m->sessions[t->session].uid == *uid))
			next = t->latest;
	}
	return next;
}

uint64_t model_next(const struct model *m, unsigned int clock, const bool *blocked)
{
	uint64_t own = clock == CLOCK_OF_MONOTONIC ? next_own(m, blocked) : TIMERS_FOREVER;
	uint64_t next = model_next_of_clients(m, clock, blocked, NULL);

	return own < next ? own : next;
}

bool model_due(const struct model *m, uint32_t session, const struct now *now)
{
	for (uint32_t i = 0; i < m->count; i++) {
		const struct model_timer *t = &m->timers[i];

		if (t->session == session && (t->cancelled || t->due <= timers_now(now, t->clock)))
			return true;
	}
	return m->sessions[session].tell || m->sessions[session].clock_set_pending;
}

uint32_t model_slot(const struct arena *arena, uint64_t id)
{
	uint32_t slot = timers_index(arena, id);

	return slot && timers_id(arena, slot) == id && timers_alive(arena, slot) ? slot : 0;
}

static const char *compare_timer(
	const struct model *m, const struct arena *arena, const struct model_timer *t)
{
	uint32_t slot = model_slot(arena, t->id);
	const struct timer *record = &arena->timers[slot];
	const struct rbnode *node = &arena->nodes[slot];
	char label[PROTO_LABEL_MAX] = {0};

	(void)m;
	if (!slot)
		return "a timer is lost";
	if (timers_labelled(arena, slot))
		memcpy(label, arena->labels[slot], sizeof(label));
	if (timers_state(arena, slot) != (t->cancelled ? TIMER_CANCELLED : TIMER_ARMED))
		return "a timer is in the wrong state";
	if (record->session != t->session || record->cookie != t->cookie)
		return "a timer is another's";
	if (timers_clock(arena, slot) != t->clock || memcmp(label, t->label, sizeof(label)) != 0)
		return "a timer's clock or label is wrong";
	if (node->due != t->due || node->latest != t->latest)
		return "a timer's due or latest is wrong";
	if (record->every != t->every || record->count != t->count)
		return "a timer's period or count is wrong";
	if (record->fired != t->fired)
		return "a timer's number of wakes is wrong";
	return NULL;
}

static const char *compare_session(
	const struct model_session *s, const struct arena *arena, uint32_t session)
{
	const struct session *record = &arena->sessions[session];
	enum session_state state = s->greeted ? SESSION_OPEN : SESSION_NEW;

	if (session > arena->header->sessions_top || record->state == SESSION_FREE)
		return s->open ? "a session is lost" : NULL;
	if (!s->open)
		return "a session lives on";
	if (record->state != state || record->uid != s->uid || record->pid != s->pid)
		return "a session is another's";
	if (record->serial != s->serial)
		return "a session's serial is wrong";
	return NULL;
}

const char *model_compare(const struct model *m, const struct arena *arena)
{
	const char *fault = NULL;

	for (uint32_t i = ARENA_OWN_SESSION + 1; i < MODEL_SESSIONS_MAX && !fault; i++)
		if (i <= arena->header->max_clients + 1)
			fault = compare_session(&m->sessions[i], arena, i);
	for (uint32_t i = 0; i < m->count && !fault; i++)
		fault = compare_timer(m, arena, &m->timers[i]);
	if (!fault && arena->header->timers != m->count)
		return arena->header->timers > m->count ? "there is a timer too many"
							: "there are timers too few";
	return fault;
}
