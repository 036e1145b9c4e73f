/* SPDX-License-Identifier: MIT */
/*
 * A ring of the events that have arrived and wait for toytimer_process(), in the order of arrival.
 *
 * A program can receive without processing: every blocking call receives. The ring must stay
 * bounded then. Once EVENTS_UNMERGED_MAX events wait, a further wake of a timer is merged into the
 * timer's waiting wake. The daemon does the same for a client that does not read. Beyond that limit
 * the ring therefore holds, for each timer, at most one more wake and its last event.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "registry.h"

#define EVENTS_UNMERGED_MAX 4096

struct event {
	uint64_t timer; /* its name; the event is stale when no timer has the name */
	uint64_t due, late, overruns;
	int error;
	uint8_t type; /* enum toytimer_event_type */
	bool last;
};

struct events {
	struct event *ring;
	uint32_t room; /* 0 or a power of two */
	uint32_t head; /* sequence number of the oldest event; sequence numbers wrap at 2^32 */
	uint32_t length;
};

void events_destroy(struct events *events);

/* Reserves room for n more events. Removes stale events before it allocates. Return: 0, or -ENOMEM:
 * no event is lost. */
int events_reserve(struct events *events, struct registry *timers, size_t n);

/* Queues an event of a timer, or merges it into a waiting event of the timer. The caller has
 * reserved room. */
void events_push(struct events *events, struct timer *timer, const struct event *event);

/* Drops stale events from the front. The oldest event of the ring is then not stale. */
void events_trim(struct events *events, struct registry *timers);

/* Takes the oldest event. Return: false if there is none. */
bool events_pop(struct events *events, struct event *ret);
