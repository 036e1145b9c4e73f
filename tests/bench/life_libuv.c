/* SPDX-License-Identifier: MIT */
/*
 * The benchmark of a timer's life (life.h) with libuv's timers.
 */
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "bench.h"
#include "life.h"

static uv_loop_t loop;
static uv_timer_t *timers;
static size_t fired, room;

static void fire(uv_timer_t *timer)
{
	(void)timer;
	fired++;
}

void life_open(size_t n, size_t records)
{
	(void)records;
	room = n;
	timers = bench_alloc(n, sizeof(*timers));
	if (uv_loop_init(&loop) < 0)
		bench_die("uv_loop_init", 0);
	for (size_t i = 0; i < n; i++)
		uv_timer_init(&loop, &timers[i]);
}

void life_close(void)
{
	for (size_t i = 0; i < room; i++)
		uv_close((uv_handle_t *)&timers[i], NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	free(timers);
}

void life_add(size_t i, uint64_t due)
{
	uv_timer_start(&timers[i], fire, due / 1000, 0);
}

void life_cancel(size_t i)
{
	uv_timer_stop(&timers[i]);
}

void life_flush(void)
{
}

size_t life_expire(void)
{
	fired = 0;
	for (size_t before = 1; before != fired;) {
		before = fired;
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	return fired;
}
