/* SPDX-License-Identifier: MIT */
/*
 * How the model answers requests.
 */
#include <string.h>

#include "model.h"
#include "plain.h"

/* One request. */
struct request {
	struct model *m;
	uint32_t session;
	const struct now *now;
	const void *packet, *answer;
	struct proto_header asked, answered;
};

static enum proto_status instant(uint64_t *due, uint8_t flags, uint64_t at)
{
	if (flags & PROTO_RELATIVE && *due > PROTO_FOREVER - at)
		return PROTO_E_RANGE;
	*due += flags & PROTO_RELATIVE ? at : 0;
	return *due == PROTO_FOREVER ? PROTO_E_RANGE : PROTO_OK;
}

static enum proto_status expect_registration(
	const struct request *q, const struct proto_register *r, uint64_t *due)
{
	const struct worker_config *config = q->m->config;
	uint32_t uid = q->m->sessions[q->session].uid;
	enum proto_status status = plain_register(r);

	if (status)
		return status;
	if (r->flags & PROTO_WAKE_SYSTEM && !config->can_wake_system)
		return PROTO_E_WAKE_SYSTEM;
	*due = r->due;
	status = instant(due, r->flags, q->now->at[r->clock]);
	if (status)
		return status;
	if (uid && model_held(q->m, &uid) >= config->limits.max_timers_per_user)
		return PROTO_E_TIMERS_USER;
	if (model_held(q->m, NULL) >= config->limits.max_timers)
		return PROTO_E_TIMERS;
	if (model_held(q->m, &uid) >= config->limits.max_timers_per_user)
		q->m->events[EVENT_ROOT_TIMERS]++;
	return PROTO_OK;
}

static uint8_t clock_of(const struct proto_register *r)
{
	if (!(r->flags & PROTO_WAKE_SYSTEM))
		return r->clock;
	return r->clock == PROTO_CLOCK_BOOTTIME ? CLOCK_OF_BOOTTIME_ALARM : CLOCK_OF_REALTIME_ALARM;
}

static const char *take_registration(struct request *q, uint32_t i)
{
	struct model *m = q->m;
	struct proto_register r;
	struct proto_registered a;
	enum proto_status status;
	struct model_timer *t;
	uint64_t due = 0;

	codec_get(q->packet, &q->asked, i, &r, sizeof(r));
	codec_get(q->answer, &q->answered, i, &a, sizeof(a));
	status = expect_registration(q, &r, &due);
	m->events[status ? EVENT_REFUSED + status : EVENT_REGISTERED]++;
	m->counts.registered += !status;
	m->counts.refused += status != PROTO_OK;
	model_own(m, m->sessions[q->session].uid)->registered += !status;
	model_own(m, m->sessions[q->session].uid)->refused += status != PROTO_OK;
	if (a.status != (uint32_t)status)
		return "a registration got the wrong status";
	if (status)
		return a.id || a.due ? "a refused registration got an id" : NULL;
	if (!a.id || a.id >> PROTO_ID_BITS || a.due != due)
		return "a registration got a wrong id or due";
	if (model_find(m, a.id))
		return "an id was given twice";
	t = &m->timers[m->count++];
	*t = (struct model_timer){
		.session = q->session,
		.clock = clock_of(&r),
		.count = r.count,
		.id = a.id,
		.cookie = r.cookie,
		.due = due,
		.latest = r.slack > TIMERS_FOREVER - due ? TIMERS_FOREVER : due + r.slack,
		.every = r.every,
		.order = ++m->order,
	};
	memcpy(t->label, r.label, sizeof(t->label));
	model_asked(t, q->now);
	if (r.flags & PROTO_TELL_CLOCK_SET)
		m->sessions[q->session].wants_clock_set = true;
	return NULL;
}

/* The timer with that id, if the session's user may change it. */
static struct model_timer *find_for(const struct request *q, uint64_t id)
{
	struct model_timer *t = model_find(q->m, id);
	uint32_t uid = q->m->sessions[q->session].uid;

	if (!t || t->cancelled)
		return NULL;
	return uid == 0 || q->m->sessions[t->session].uid == uid ? t : NULL;
}

static const char *take_cancel(struct request *q, uint32_t i)
{
	struct proto_cancel r;
	struct proto_cancel_answer a;
	struct model_timer *t;

	codec_get(q->packet, &q->asked, i, &r, sizeof(r));
	codec_get(q->answer, &q->answered, i, &a, sizeof(a));
	t = find_for(q, r.id);
	q->m->events[!t				   ? EVENT_REFUSED + PROTO_E_NO_SUCH_TIMER
			: t->session == q->session ? EVENT_CANCELLED
						   : EVENT_CANCELLED_OTHERS]++;
	q->m->counts.cancelled += t != NULL;
	model_own(q->m, q->m->sessions[q->session].uid)->cancelled += t != NULL;
	if (a.id != r.id || a.status != (t ? PROTO_OK : PROTO_E_NO_SUCH_TIMER))
		return "a cancel got a wrong answer";
	if (t && t->session == q->session)
		model_remove(q->m, t);
	else if (t)
		t->cancelled = true;
	return NULL;
}

static const char *take_rearm(struct request *q, uint32_t i)
{
	struct proto_rearm r;
	struct proto_registered a;
	struct model_timer *t;
	enum proto_status status;
	uint64_t due;

	codec_get(q->packet, &q->asked, i, &r, sizeof(r));
	codec_get(q->answer, &q->answered, i, &a, sizeof(a));
	t = find_for(q, r.id);
	due = r.due;
	status = plain_rearm(&r);
	if (!status && (!t || t->session != q->session))
		status = PROTO_E_NO_SUCH_TIMER;
	if (!status)
		status = instant(&due, r.flags, timers_now(q->now, t->clock));
	q->m->events[status ? EVENT_REFUSED + status : EVENT_REARMED]++;
	if (a.status != (uint32_t)status)
		return "a rearm got the wrong status";
	if (status)
		return a.id || a.due ? "a refused rearm got an id" : NULL;
	if (a.id != r.id || a.due != due)
		return "a rearm got a wrong id or due";
	t->due = due;
	t->latest = r.slack > TIMERS_FOREVER - due ? TIMERS_FOREVER : due + r.slack;
	t->every = r.every;
	t->count = r.count ? t->fired + r.count : 0;
	model_asked(t, q->now);
	return NULL;
}

static bool is_listed(const struct request *q, const struct model_timer *t, bool all)
{
	const struct model_session *s = q->m->sessions;

	return !t->cancelled && (all || s[t->session].uid == s[q->session].uid);
}

static const char *compare_listed(
	const struct request *q, const struct model_timer *t, const struct proto_listed *a)
{
	const struct model_session *s = &q->m->sessions[t->session];
	uint64_t at = timers_now(q->now, t->clock);
	int64_t left = t->due > at + INT64_MAX ? INT64_MAX : (int64_t)(t->due - at);
	static const uint8_t clocks[ARENA_CLOCKS] = {0, 1, 2, 1, 2};

	if (a->cookie != (t->session == q->session ? t->cookie : 0))
		return "a listed cookie is wrong";
	if (a->due != t->due || a->left != left || a->every != t->every)
		return "a listed due, left or period is wrong";
	if (a->slack != (t->latest == TIMERS_FOREVER ? TIMERS_FOREVER : t->latest - t->due))
		return "a listed slack is wrong";
	if (a->fired != t->fired || a->count != t->count)
		return "a listed count is wrong";
	if (strncmp(a->comm, MODEL_COMM, sizeof(a->comm)) != 0)
		return "a listed command is wrong";
	if (a->uid != s->uid || a->pid != s->pid || memcmp(a->label, t->label, sizeof(a->label)))
		return "a listed owner or label is wrong";
	if (a->clock != clocks[t->clock] ||
		a->flags != (t->clock >= PROTO_CLOCKS ? PROTO_WAKE_SYSTEM : 0))
		return "a listed clock is wrong";
	return NULL;
}

static const char *take_list(struct request *q)
{
	uint32_t uid = q->m->sessions[q->session].uid, listed = 0;
	const char *fault = NULL;
	struct proto_list r;
	struct proto_listed a;
	bool all;

	codec_get(q->packet, &q->asked, 0, &r, sizeof(r));
	if (r.flags > 1 || r.reserved) {
		q->m->events[EVENT_REFUSED + PROTO_E_FLAGS]++;
		return q->answered.status == PROTO_E_FLAGS && !q->answered.count
			? NULL
			: "a list with unknown flags was not refused";
	}
	all = r.flags & PROTO_LIST_ALL;
	if (all && uid)
		q->m->events[EVENT_REFUSED + PROTO_E_PERMISSION]++;
	else
		q->m->events[all ? EVENT_LISTED_ALL : EVENT_LISTED]++;
	if (all && uid)
		return q->answered.status == PROTO_E_PERMISSION && !q->answered.count
			? NULL
			: "a list of all was not refused";
	for (uint32_t i = 0; i < q->m->count; i++)
		listed += is_listed(q, &q->m->timers[i], all);
	if (q->answered.status || q->answered.count != listed || q->answered.cursor)
		return "a list is not of the right length";
	for (uint32_t i = 0; i < listed && !fault; i++) {
		const struct model_timer *t;

		codec_get(q->answer, &q->answered, i, &a, sizeof(a));
		t = model_find(q->m, a.id);
		fault = !t || !is_listed(q, t, all) ? "a list has what it should not"
						    : compare_listed(q, t, &a);
	}
	return fault;
}

static bool is_meant(
	const struct request *q, const struct model_timer *t, const struct proto_match *r)
{
	const struct model_session *s = q->m->sessions;
	uint32_t uid = r->flags & PROTO_MATCH_USER ? r->uid : s[q->session].uid;

	if (t->cancelled || (!(r->flags & PROTO_MATCH_EVERYBODY) && s[t->session].uid != uid))
		return false;
	return !(r->flags & PROTO_MATCH_LABEL) || memcmp(t->label, r->label, sizeof(t->label)) == 0;
}

static enum proto_status expect_match(const struct request *q, const struct proto_match *r)
{
	uint32_t uid = q->m->sessions[q->session].uid;
	enum proto_status status = plain_match(r);

	if (status || uid == 0)
		return status;
	if (r->flags & PROTO_MATCH_EVERYBODY || (r->flags & PROTO_MATCH_USER && r->uid != uid))
		return PROTO_E_PERMISSION;
	return PROTO_OK;
}

static const char *take_matched(struct request *q, uint32_t i, const struct proto_match *r)
{
	struct proto_cancelled cancelled;
	struct proto_listed listed;
	struct model_timer *t;

	if (q->asked.opcode == PROTO_LIST_MATCHING) {
		codec_get(q->answer, &q->answered, i, &listed, sizeof(listed));
		t = model_find(q->m, listed.id);
		return !t || !is_meant(q, t, r) ? "a list has what was not meant"
						: compare_listed(q, t, &listed);
	}
	codec_get(q->answer, &q->answered, i, &cancelled, sizeof(cancelled));
	t = model_find(q->m, cancelled.id);
	if (!t || !is_meant(q, t, r))
		return "what was not meant is cancelled";
	if (cancelled.cookie != (t->session == q->session ? t->cookie : 0))
		return "a cancelled timer has a wrong cookie";
	q->m->counts.cancelled++;
	q->m->events[EVENT_CANCELLED_MATCHING]++;
	if (t->session == q->session)
		model_remove(q->m, t);
	else
		t->cancelled = true;
	return NULL;
}

static const char *take_match(struct request *q)
{
	const char *fault = NULL;
	enum proto_status status;
	struct proto_match r;
	uint32_t meant = 0;

	codec_get(q->packet, &q->asked, 0, &r, sizeof(r));
	status = expect_match(q, &r);
	if (status) {
		q->m->events[EVENT_REFUSED + status]++;
		return q->answered.status == status && !q->answered.count
			? NULL
			: "a request that matches was not refused";
	}
	for (uint32_t i = 0; i < q->m->count; i++)
		meant += is_meant(q, &q->m->timers[i], &r);
	if (q->answered.status || q->answered.count != meant || q->answered.cursor)
		return "not all that was meant was found, or more";
	q->m->events[EVENT_LISTED_MATCHING] += q->asked.opcode == PROTO_LIST_MATCHING;
	for (uint32_t i = 0; i < meant && !fault; i++)
		fault = take_matched(q, i, &r);
	return fault;
}

/* The time until the first alarm. */
static uint64_t until_alarm(const struct request *q)
{
	uint32_t uid = q->m->sessions[q->session].uid;
	uint64_t next = PROTO_FOREVER;

	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
		uint64_t now = timers_now(q->now, clock);
		uint64_t at = model_next_of_clients(q->m, clock, NULL, uid ? &uid : NULL);

		if (at == TIMERS_FOREVER)
			continue;
		if (at <= now)
			return 0;
		if (at - now < next)
			next = at - now;
	}
	return next;
}

/* Compares what a user other than root sees. */
static const char *compare_own(
	const struct request *q, uint32_t uid, const struct proto_status_answer *a)
{
	const struct model_counts *own = model_own(q->m, uid);

	if (q->m->own_lost)
		return NULL;
	if (a->registered != own->registered || a->woken != own->woken ||
		a->cancelled != own->cancelled || a->refused != own->refused ||
		a->wakeups > own->woken)
		return "the status counts a user's own wrongly";
	return a->adopted_sessions || a->adopted_timers ? "a user's sessions are counted as adopted"
							: NULL;
}

static const char *compare_all(const struct request *q, const struct proto_status_answer *a)
{
	const struct model_counts *c = &q->m->counts;

	if (a->registered != c->registered || a->woken != c->woken ||
		a->cancelled != c->cancelled || a->refused != c->refused ||
		a->wakeups != c->wakeups)
		return "the status counts wrongly";
	if (a->adopted_sessions != c->adopted_sessions || a->adopted_timers != c->adopted_timers)
		return "the status counts adoptions wrongly";
	return NULL;
}

static const char *take_status(const struct request *q)
{
	const struct model_counts *c = &q->m->counts;
	uint32_t uid = q->m->sessions[q->session].uid;
	struct proto_status_answer a;
	const char *fault;
	uint64_t clients = 0;

	q->m->events[EVENT_STATUS]++;
	codec_get(q->answer, &q->answered, 0, &a, sizeof(a));
	for (uint32_t i = 0; i < MODEL_SESSIONS_MAX; i++)
		clients += q->m->sessions[i].open && (!uid || q->m->sessions[i].uid == uid);
	if (a.clients != clients || a.timers != model_held(q->m, uid ? &uid : NULL))
		return "the status counts clients or timers wrongly";
	fault = uid ? compare_own(q, uid, &a) : compare_all(q, &a);
	if (fault)
		return fault;
	if (a.restarts != c->restarts || a.dropped_records)
		return "the status counts adoptions wrongly";
	if (!model_late(q->m, a.late_max) || a.late_p50 > a.late_p99 || a.late_p99 > a.late_max)
		return "the status is wrong about lateness";
	if (a.uptime != q->now->at[PROTO_CLOCK_BOOTTIME] - q->m->started ||
		a.pid != q->m->config->pid || strcmp(a.version, q->m->config->version) != 0)
		return "the status is another daemon's";
	return a.next == until_alarm(q) ? NULL : "the status is wrong about the alarm";
}

static const char *take_records(struct request *q)
{
	const char *fault = NULL;

	if (q->answered.status || q->answered.count != q->asked.count)
		return "not every record was answered";
	for (uint32_t i = 0; i < q->asked.count && !fault; i++) {
		if (q->asked.opcode == PROTO_REGISTER)
			fault = take_registration(q, i);
		else if (q->asked.opcode == PROTO_CANCEL)
			fault = take_cancel(q, i);
		else
			fault = take_rearm(q, i);
	}
	return fault;
}

static const char *take(struct request *q)
{
	struct model_session *s = &q->m->sessions[q->session];

	switch (q->asked.opcode) {
	case PROTO_HELLO:
		s->greeted = true;
		s->late = q->now->at[PROTO_CLOCK_MONOTONIC] >= s->hello_due;
		return NULL;
	case PROTO_LIST:
		return take_list(q);
	case PROTO_LIST_MATCHING:
	case PROTO_CANCEL_MATCHING:
		return take_match(q);
	case PROTO_STATUS:
		return take_status(q);
	default:
		return take_records(q);
	}
}

static bool is_bad_hello(const struct request *q)
{
	struct proto_hello hello;

	codec_get(q->packet, &q->asked, 0, &hello, sizeof(hello));
	return hello.magic != PROTO_MAGIC || hello.version < PROTO_VERSION || hello.reserved;
}

const char *model_request(struct model *m, uint32_t session, const void *packet, size_t size,
	const struct now *now, const struct model_answer *answer)
{
	struct model_session *s = &m->sessions[session];
	struct request q = {m, session, now, packet, answer->bytes, {0}, {0}};
	bool bad = !plain_request(packet, size, &q.asked) ||
		(q.asked.opcode == PROTO_HELLO) == s->greeted;
	bool turn = !bad && q.asked.serial == s->serial + 1;
	const char *fault;

	if (bad || (!turn && !s->resumed) || (q.asked.opcode == PROTO_HELLO && is_bad_hello(&q))) {
		m->events[EVENT_TURNED_OUT]++;
		return answer->end ? NULL : "a session that misbehaved was not ended";
	}
	if (answer->end)
		return "a session was ended for nothing";
	m->events[EVENT_CAME_AGAIN] += !turn;
	if (!turn)
		return answer->size ? "a packet that came again was answered" : NULL;
	if (codec_open(answer->bytes, answer->size, CODEC_FROM_DAEMON, &q.answered) != CODEC_OK ||
		q.answered.opcode != (q.asked.opcode | PROTO_ANSWER) ||
		q.answered.serial != q.asked.serial)
		return "a request was not answered as such";
	fault = take(&q);
	s->serial = q.asked.serial;
	return fault;
}
