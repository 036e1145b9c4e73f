/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <string.h>

#include "histogram.h"

/* due - now, limited to the range of a signed number. */
static int64_t time_remaining(uint64_t due, uint64_t at)
{
	uint64_t distance = due > at ? due - at : at - due;
	int64_t remaining = distance > INT64_MAX ? INT64_MAX : (int64_t)distance;

	return due > at ? remaining : -remaining;
}

static void describe(const struct arena *arena, uint32_t timer, uint32_t reader,
	const struct now *now, struct proto_listed *ret)
{
	const struct rbnode *node = &arena->nodes[timer];
	const struct timer *t = &arena->timers[timer];
	const struct session *owner = &arena->sessions[t->session];
	unsigned int clock = timers_clock(arena, timer);

	*ret = (struct proto_listed){
		.id = timers_id(arena, timer),
		.cookie = t->session == reader ? t->cookie : 0,
		.due = node->due,
		.left = time_remaining(node->due, timers_now(now, clock)),
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

void report_list(const struct arena *arena, uint32_t session, struct match_scan *scan,
	const struct now *now, struct codec_writer *answer)
{
	uint32_t timer;

	while (!codec_full(answer) && (timer = match_next(arena, scan))) {
		struct proto_listed listed;

		describe(arena, timer, session, now, &listed);
		codec_put(answer, &listed, sizeof(listed));
	}
}

/* The time until the first of these instants. */
static uint64_t until(const uint64_t instants[static ARENA_CLOCKS], const struct now *now)
{
	uint64_t next = PROTO_FOREVER;

	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
		uint64_t current = timers_now(now, clock), at = instants[clock];
		uint64_t remaining = at > current ? at - current : 0;

		if (at != TIMERS_FOREVER && remaining < next)
			next = remaining;
	}
	return next;
}

/* Replaces the figures of all users by those of the reader's own user. */
static void keep_own(const struct arena *arena, uint32_t user, const struct now *now,
	struct proto_status_answer *status)
{
	const struct user *u = &arena->users[user];
	uint64_t next[ARENA_CLOCKS];

	sessions_next_of_user(arena, user, next);
	status->clients = u->clients;
	status->timers = u->timers;
	status->next = until(next, now);
	status->registered = u->tally.registered;
	status->woken = u->tally.woken;
	status->cancelled = u->tally.cancelled;
	status->refused = u->tally.refused;
	status->wakeups = u->tally.wakeups;
	status->adopted_sessions = u->tally.adopted_sessions;
	status->adopted_timers = u->tally.adopted_timers;
}

void report_status(const struct arena *arena, uint32_t session, const struct now *now,
	struct proto_status_answer *ret)
{
	const struct session *reader = &arena->sessions[session];
	const struct arena_header *h = arena->header;
	const struct counters *c = &h->counters;
	uint64_t next[ARENA_CLOCKS];

	*ret = (struct proto_status_answer){
		.clients = h->clients,
		.timers = h->timers,
		.registered = c->registered,
		.woken = c->woken,
		.cancelled = c->cancelled,
		.refused = c->refused,
		.wakeups = c->wakeups,
		.late_p50 = histogram_quantile(c, 50),
		.late_p99 = histogram_quantile(c, 99),
		.late_max = c->late_max,
		.restarts = c->restarts,
		.adopted_sessions = c->adopted_sessions,
		.adopted_timers = c->adopted_timers,
		.dropped_records = c->dropped_records,
	};
	if (reader->uid != 0) {
		keep_own(arena, reader->user, now, ret);
		return;
	}
	sessions_next_of_clients(arena, next);
	ret->next = until(next, now);
}
