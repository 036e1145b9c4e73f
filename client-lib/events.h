/* SPDX-License-Identifier: MIT */
/*
 * Events that have arrived and wait for toytimer_process(): a ring, in the order of arrival.
 *
 * Whoever receives without processing, as a thread of blocking calls does, must not make it grow
 * without end: once much is queued, a further wake of a timer is merged into the one it has
 * waiting, as the daemon does for a client that does not read. So there are at most EVENTS_APART
 * wakes, and besides, for each timer, one wake and one event that ends it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "registry.h"

#define EVENTS_APART 4096

struct event {
	uint64_t timer; /* its name; the event is stale once that is gone */
	uint64_t due, late, overruns;
	int error;
	uint8_t type; /* enum toytimer_event_type */
	bool last;
};

struct events {
	struct event *ring;
	uint32_t room; /* 0 or a power of two */
	uint32_t head; /* sequence of the oldest, modulo 2^32 as all of them */
	uint32_t length;
};

void events_destroy(struct events *events);

/* Room for n more; frees stale ones before it allocates. Return: 0 or -ENOMEM, nothing lost. */
int events_reserve(struct events *events, struct registry *timers, size_t n);

/* Queues an event of a timer, or merges it into the one that waits. Room has been reserved. */
void events_push(struct events *events, struct timer *timer, const struct event *event);

/* Drops stale events from the front, so that there is a wanted one unless there is none. */
void events_trim(struct events *events, struct registry *timers);

/* Takes the oldest. Return: whether there was one. */
bool events_pop(struct events *events, struct event *ret);
