/* SPDX-License-Identifier: MIT */
/*
 * Since when each timer could have been sent. The model sees every reading of the clocks, and
 * remembers for each timer when it first saw that its due + slack had passed.
 *
 * The daemon remembers less. It may count less lateness where a wake has an excuse, and never
 * more.
 */
#include "model.h"

static uint64_t measure(const struct now *now, unsigned int clock)
{
	return now->at[clock < PROTO_CLOCKS ? PROTO_CLOCK_MONOTONIC : PROTO_CLOCK_BOOTTIME];
}

static void forget(struct model_timer *t)
{
	t->since = 0;
	t->excused = false;
}

/* The part of the time since `before` that the clock needed to reach the timer's latest by itself.
 */
static void look_at(struct model_timer *t, const struct now *before, const struct now *now)
{
	uint64_t was = timers_now(before, t->clock), is = timers_now(now, t->clock);
	uint64_t from = measure(before, t->clock), at = measure(now, t->clock);
	int64_t jump = (int64_t)(is - was) - (int64_t)(at - from);

	if (t->latest > is || t->latest == TIMERS_FOREVER) {
		forget(t);
		return;
	}
	t->excused |= jump != 0;
	if (t->since)
		return;
	t->since = at;
	if (t->latest >= was && t->latest - was < at - from)
		t->since = from + (t->latest - was);
}

void model_look(struct model *m, const struct now *now)
{
	for (uint32_t i = 0; i < m->count; i++)
		look_at(&m->timers[i], &m->looked, now);
	m->looked = *now;
}

void model_asked(struct model_timer *t, const struct now *now)
{
	forget(t);
	if (t->latest > timers_now(now, t->clock))
		return;
	t->since = measure(now, t->clock);
	t->past = true;
}

void model_advanced(struct model_timer *t, const struct now *made, const struct now *now)
{
	forget(t);
	t->past = false;
	/* A repeated wake has the time from before the kill. The timer was armed for the next wake
	 * in between. */
	if (t->latest > timers_now(now, t->clock))
		return;
	t->since = measure(made, t->clock);
	t->excused = true;
}

void model_block(struct model *m, uint32_t session)
{
	m->sessions[session].blocked = true;
}

void model_unblock(struct model *m, uint32_t session, const struct now *now)
{
	m->sessions[session].blocked = false;
	model_look(m, now);
	for (uint32_t i = 0; i < m->count; i++) {
		struct model_timer *t = &m->timers[i];

		if (t->session != session || !t->since)
			continue;
		t->since = measure(now, t->clock);
		t->excused = true;
	}
}

void model_count_late(struct model *m, const struct model_timer *t, const struct now *now)
{
	struct model_counts *c = &m->counts;
	uint64_t late = t->since ? measure(now, t->clock) - t->since : 0;

	if (late > c->late_most)
		c->late_most = late;
	if (late > c->late_least && !t->excused && !t->past)
		c->late_least = late;
}

bool model_late(const struct model *m, uint64_t late_max)
{
	return late_max + MODEL_JUMP >= m->counts.late_least &&
		late_max <= m->counts.late_most + MODEL_JUMP;
}
