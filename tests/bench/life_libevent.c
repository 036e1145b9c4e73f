/* SPDX-License-Identifier: MIT */
/*
 * The benchmark of a timer's life (life.h) with libevent's timers.
 */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "life.h"

static struct event_base *base;
static struct event *events;
static size_t fired;

static void fire(evutil_socket_t fd, short what, void *userdata)
{
	(void)fd, (void)what, (void)userdata;
	fired++;
}

void life_open(size_t n, size_t records)
{
	(void)records;
	base = event_base_new();
	if (!base)
		bench_die("event_base_new", 0);
	events = bench_alloc(n, sizeof(*events));
	memset(events, 0, n * sizeof(*events));
	for (size_t i = 0; i < n; i++)
		evtimer_assign(&events[i], base, fire, NULL);
}

void life_close(void)
{
	event_base_free(base);
	free(events);
}

void life_add(size_t i, uint64_t due)
{
	struct timeval span = {
		.tv_sec = (time_t)(due / 1000000),
		.tv_usec = (suseconds_t)(due % 1000000),
	};

	evtimer_add(&events[i], &span);
}

void life_cancel(size_t i)
{
	evtimer_del(&events[i]);
}

void life_flush(void)
{
}

size_t life_expire(void)
{
	fired = 0;
	for (size_t before = 1; before != fired;) {
		before = fired;
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	return fired;
}
