/* SPDX-License-Identifier: MIT */
/*
 * Lateness is kept in a log-linear histogram: 16 steps to each doubling, so that a quantile costs a
 * walk over 976 counters and is off by 6 % at most, and a wake costs two additions.
 */
#include "report.h"

#include <string.h>

static unsigned int bucket_of(uint64_t late)
{
	unsigned int doubling;

	if (late < LATENESS_STEPS)
		return (unsigned int)late;
	doubling = 63u - (unsigned int)__builtin_clzll(late) - 4; /* 16 to 31: 0 */
	return (doubling + 1) * LATENESS_STEPS + (unsigned int)(late >> doubling) % LATENESS_STEPS;
}

static uint64_t bucket_end(unsigned int bucket)
{
	unsigned int doubling;

	if (bucket < LATENESS_STEPS)
		return bucket;
	doubling = bucket / LATENESS_STEPS - 1;
	return ((uint64_t)(LATENESS_STEPS + bucket % LATENESS_STEPS) << doubling) +
		((UINT64_C(1) << doubling) - 1);
}

void report_late(struct counters *counters, uint64_t late)
{
	counters->late[bucket_of(late)]++;
	if (late > counters->late_max)
		counters->late_max = late;
}

uint64_t report_quantile(const struct counters *counters, unsigned int percent)
{
	uint64_t total = 0, wanted, seen, end;
	unsigned int bucket = 0;

	for (unsigned int i = 0; i < LATENESS_BUCKETS; i++)
		total += counters->late[i];
	if (!total)
		return 0;
	/* The rank of the quantile, rounded up, without overflow. */
	wanted = total / 100 * percent + (total % 100 * percent + 99) / 100;
	/* Ends at the last bucket at the latest, where seen is total, whatever the counters are. */
	for (seen = counters->late[0]; seen < wanted; seen += counters->late[bucket])
		bucket++;
	end = bucket_end(bucket);
	return end < counters->late_max ? end : counters->late_max;
}

/* due - now, as far as a signed number goes. */
static int64_t time_left(uint64_t due, uint64_t at)
{
	uint64_t distance = due > at ? due - at : at - due;
	int64_t left = distance > INT64_MAX ? INT64_MAX : (int64_t)distance;

	return due > at ? left : -left;
}

static void describe(const struct worker *w, uint32_t timer, uint32_t reader, const struct now *now,
	struct proto_listed *ret)
{
	const struct arena *arena = &w->arena;
	const struct rbnode *node = &arena->nodes[timer];
	const struct timer *t = &arena->timers[timer];
	const struct session *owner = &arena->sessions[t->session];
	unsigned int clock = timers_clock(arena, timer);

	*ret = (struct proto_listed){
		.id = timers_id(arena, timer),
		.cookie = t->session == reader ? t->cookie : 0,
		.due = node->due,
		.left = time_left(node->due, timers_now(now, clock)),
		.slack = timers_slack(arena, timer),
		.every = t->every,
		.fired = t->fired,
		.count = t->count,
		.uid = owner->uid,
		.pid = owner->pid,
		.clock = (uint8_t)clock,
	};
	if (clock >= PROTO_CLOCKS) {
		ret->flags = PROTO_WAKE_SYSTEM;
		ret->clock = clock == CLOCK_OF_BOOTTIME_ALARM ? PROTO_CLOCK_BOOTTIME
							      : PROTO_CLOCK_REALTIME;
	}
	memcpy(ret->comm, owner->comm, sizeof(ret->comm));
	if (timers_labelled(arena, timer))
		memcpy(ret->label, arena->labels[timer], sizeof(ret->label));
}

void report_list(const struct worker *w, uint32_t session, struct match_scan *scan,
	const struct now *now, struct codec_writer *answer)
{
	uint32_t timer;

	while (!codec_full(answer) && (timer = match_next(w, scan))) {
		struct proto_listed listed;

		describe(w, timer, session, now, &listed);
		codec_put(answer, &listed, sizeof(listed));
	}
}

/* Until the alarm rings for a client's timer, whichever clock's comes first. user: for a timer of
 * that user; 0: of anybody. */
static uint64_t next_alarm(const struct worker *w, uint32_t user, const struct now *now)
{
	uint64_t next = PROTO_FOREVER;

	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
		uint64_t current = timers_now(now, clock);
		uint64_t at = user ? sessions_next_of_user(&w->arena, user, clock)
				   : sessions_next_of_clients(&w->arena, clock);
		uint64_t left = at > current ? at - current : 0;

		if (at != TIMERS_FOREVER && left < next)
			next = left;
	}
	return next;
}

/* Replaces what all users have done, and when the next of all timers is due, by the reader's own. */
static void keep_own(const struct worker *w, uint32_t user, const struct now *now,
	struct proto_status_answer *status)
{
	const struct user *u = &w->arena.users[user];

	status->clients = u->clients;
	status->timers = u->timers;
	status->next = next_alarm(w, user, now);
	status->registered = u->tally.registered;
	status->woken = u->tally.woken;
	status->cancelled = u->tally.cancelled;
	status->refused = u->tally.refused;
	status->wakeups = u->tally.wakeups;
	status->adopted_sessions = u->tally.adopted_sessions;
	status->adopted_timers = u->tally.adopted_timers;
}

void report_status(const struct worker *w, uint32_t session, const struct now *now,
	struct proto_status_answer *ret)
{
	const struct session *reader = &w->arena.sessions[session];
	const struct arena_header *h = w->arena.header;
	const struct counters *c = &h->counters;

	*ret = (struct proto_status_answer){
		.uptime = now->at[PROTO_CLOCK_BOOTTIME] - w->started,
		.clients = h->clients,
		.timers = h->timers,
		.next = next_alarm(w, 0, now),
		.registered = c->registered,
		.woken = c->woken,
		.cancelled = c->cancelled,
		.refused = c->refused,
		.wakeups = c->wakeups,
		.late_p50 = report_quantile(c, 50),
		.late_p99 = report_quantile(c, 99),
		.late_max = c->late_max,
		.restarts = c->restarts,
		.adopted_sessions = c->adopted_sessions,
		.adopted_timers = c->adopted_timers,
		.dropped_records = c->dropped_records,
		.pid = w->config.pid,
		.warnings = w->config.warnings,
	};
	for (size_t i = 0; i < sizeof(ret->version) && w->config.version[i]; i++)
		ret->version[i] = w->config.version[i];
	if (reader->uid != 0)
		keep_own(w, reader->user, now, ret);
}
