/* SPDX-License-Identifier: MIT */
/*
 * The fewest wake-ups. For a while nothing happens except that time passes: no request comes, no
 * clock is set, and every client reads. All dues in that time are known beforehand, so the number
 * of rings can be computed offline. Each wake is an interval from due to due + slack, and each
 * ring stabs all intervals that it lies in. A walk over the intervals in order of their ends finds
 * the fewest stabs. (The intervals that made the walk stab do not overlap, which proves that no
 * fewer stabs are enough.) Then the daemon lives through the same time, and its alarm must ring
 * exactly as often.
 */
#include <stdlib.h>

#include "world.h"

#define INTERVALS_MAX 512

/* In microseconds from the start of the quiet time, on any clock. */
struct interval {
	uint64_t first, last;
};

struct quiet {
	uint64_t end;
	size_t count;
	bool too_many;
	struct interval intervals[INTERVALS_MAX];
};

/* Adds the intervals of all wakes of a timer until the end. */
static void add_timer(struct quiet *q, struct interval next, uint64_t every, uint64_t wakes)
{
	while (next.last <= q->end && wakes--) {
		if (q->count == INTERVALS_MAX) {
			q->too_many = true;
			return;
		}
		q->intervals[q->count++] = next;
		if (!every || every > q->end)
			return;
		next.first += every;
		next.last += every;
	}
}

static uint64_t wakes_left(const struct model_timer *t)
{
	if (!t->every)
		return 1;
	return t->count ? t->count - t->fired : UINT64_MAX;
}

/* If one ring can serve several periods of a timer, and its count ends it, the intervals depend on
 * the rings. So the quiet time must end before this timer can end. */
static void end_before(struct quiet *q, const struct model_timer *t, struct interval next)
{
	uint64_t wakes = wakes_left(t), end;

	if (wakes < 2 || wakes == UINT64_MAX || next.last - next.first < t->every)
		return;
	if (!__builtin_mul_overflow(wakes, t->every, &end) && end < q->end)
		q->end = end;
}

static struct interval from_now(uint64_t due, uint64_t latest, uint64_t now)
{
	return (struct interval){due > now ? due - now : 0, latest > now ? latest - now : 0};
}

static void add_own(struct quiet *q, const struct model *m, uint64_t now)
{
	for (uint32_t i = 0; i < MODEL_SESSIONS_MAX; i++) {
		const struct model_session *s = &m->sessions[i];

		if (s->open && !s->greeted)
			add_timer(q,
				from_now(s->hello_due, s->hello_due + PROTO_HELLO_TIMEOUT_US / 4,
					now),
				0, 1);
	}
	add_timer(q, from_now(m->internal_due, m->internal_latest, now), m->internal_every,
		UINT64_MAX);
}

static void add_all(struct quiet *q, const struct world *w)
{
	const struct model *m = &w->model;

	q->count = 0;
	q->too_many = false;
	for (int pass = 0; pass < 2; pass++)
		for (uint32_t i = 0; i < m->count; i++) {
			const struct model_timer *t = &m->timers[i];
			struct interval next = from_now(
				t->due, t->latest, timers_now(&w->now, t->clock));

			if (t->latest == TIMERS_FOREVER)
				continue; /* infinite slack: no ring is needed for it */
			if (pass == 0)
				end_before(q, t, next);
			else
				add_timer(q, next, t->every, wakes_left(t));
		}
	add_own(q, m, w->now.at[PROTO_CLOCK_MONOTONIC]);
}

static int by_last(const void *a, const void *b)
{
	const struct interval *x = a, *y = b;

	return (x->last > y->last) - (x->last < y->last);
}

static uint64_t fewest(struct quiet *q)
{
	uint64_t stabs = 0, last_stab = 0;

	qsort(q->intervals, q->count, sizeof(q->intervals[0]), by_last);
	for (size_t i = 0; i < q->count; i++) {
		if (stabs && q->intervals[i].first <= last_stab)
			continue;
		last_stab = q->intervals[i].last;
		stabs++;
	}
	return stabs;
}

/* Passes time from ring to ring. Return: how many rings there were. */
static uint64_t count_rings(struct world *w, const struct quiet *q, uint64_t most)
{
	uint64_t rings = 0, left = q->end, next;

	while ((next = world_next_alarm(w)) <= left) {
		if (rings++ == most)
			world_fail(w, "the alarm rings more often than it has to");
		left -= next;
		world_ring(w, next);
		world_calm(w);
	}
	return rings;
}

void quiet_time(struct world *w, struct dice *dice)
{
	static struct quiet quiet;
	struct quiet *q = &quiet;
	uint64_t best, rings;

	for (uint32_t i = 0; i < w->clients_count; i++)
		w->clients[i].stalled = false;
	world_calm(w);
	q->end = dice_below(dice, UINT64_C(10000000));
	do {
		q->end -= q->end / 4;
		add_all(q, w);
	} while (q->too_many);
	best = fewest(q);
	rings = count_rings(w, q, best);
	if (rings < best)
		world_fail(w, "the alarm rings less often than it has to");
	world_happened(w, EVENT_QUIET);
	w->counts.quiet_wakes += q->count;
	w->counts.quiet_rings += rings;
}
