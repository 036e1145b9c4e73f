/* SPDX-License-Identifier: MIT */
/*
 * The benchmark of a timer's life (life.h) with libev's timers.
 */
#include <stdlib.h>

/* As its manual advises for strict aliasing: watchers are not cast to their base. */
#define EV_COMPAT3 0
#include <ev.h>

#include "bench.h"
#include "life.h"

static struct ev_loop *loop;
static ev_timer *timers;
static size_t fired;

static void fire(struct ev_loop *l, ev_timer *timer, int events)
{
	(void)l, (void)timer, (void)events;
	fired++;
}

void life_open(size_t n, size_t records)
{
	(void)records;
	timers = bench_alloc(n, sizeof(*timers));
	loop = ev_loop_new(EVFLAG_AUTO);
	if (!loop)
		bench_die("ev_loop_new", 0);
	for (size_t i = 0; i < n; i++)
		ev_init(&timers[i], fire);
}

void life_close(void)
{
	ev_loop_destroy(loop);
	free(timers);
}

void life_add(size_t i, uint64_t due)
{
	ev_timer_set(&timers[i], (double)due / 1e6, 0.);
	ev_timer_start(loop, &timers[i]);
}

void life_cancel(size_t i)
{
	ev_timer_stop(loop, &timers[i]);
}

void life_flush(void)
{
}

size_t life_expire(void)
{
	fired = 0;
	for (size_t before = 1; before != fired;) {
		before = fired;
		ev_run(loop, EVRUN_NOWAIT);
	}
	return fired;
}
