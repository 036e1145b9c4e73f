/* SPDX-License-Identifier: MIT */
/*
 * The benchmark of a timer's life (life.h) with sd-event's timers.
 */
#include <stdlib.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "bench.h"
#include "life.h"

static sd_event *event;
static sd_event_source **sources;
static uint64_t start;
static size_t fired, room;

static int fire(sd_event_source *source, uint64_t due, void *userdata)
{
	(void)source, (void)due, (void)userdata;
	fired++;
	return 0;
}

void life_open(size_t n, size_t records)
{
	(void)records;
	room = n;
	sources = bench_alloc(n, sizeof(sd_event_source *));
	if (sd_event_new(&event) < 0)
		bench_die("sd_event_new", 0);
	start = bench_ns() / 1000;
}

void life_close(void)
{
	for (size_t i = 0; i < room; i++)
		sd_event_source_unref(sources[i]);
	sd_event_unref(event);
	free(sources);
}

void life_add(size_t i, uint64_t due)
{
	/* The second run begins after the end of the first. So `add` includes freeing the first
	 * run's sources. */
	sources[i] = sd_event_source_unref(sources[i]);
	sd_event_add_time(event, &sources[i], CLOCK_MONOTONIC, start + due, 1, fire, NULL);
}

void life_cancel(size_t i)
{
	sources[i] = sd_event_source_unref(sources[i]);
}

void life_flush(void)
{
}

/* sd-event fires one source in a turn. */
size_t life_expire(void)
{
	fired = 0;
	while (sd_event_run(event, 0) > 0)
		;
	start = bench_ns() / 1000;
	return fired;
}
