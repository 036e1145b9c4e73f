/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "events.h"

#define ROOM_MIN 16
#define ROOM_MAX (UINT32_C(1) << 31)

void events_destroy(struct events *events)
{
	free(events->ring);
	*events = (struct events){0};
}

static struct event *at(const struct events *events, uint32_t sequence)
{
	return &events->ring[sequence & (events->room - 1)];
}

static bool is_stale(const struct event *event, struct registry *timers)
{
	const struct timer *timer = registry_find(timers, event->timer);

	return !timer || timer->released;
}

/* Removes the events of cancelled timers. */
static void compact(struct events *events, struct registry *timers)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < events->length; i++) {
		struct event *event = at(events, events->head + i);

		if (is_stale(event, timers))
			continue;
		registry_find(timers, event->timer)->event = events->head + kept;
		*at(events, events->head + kept++) = *event;
	}
	events->length = kept;
}

int events_reserve(struct events *events, struct registry *timers, size_t n)
{
	struct events larger = *events;

	if (n <= events->room - events->length)
		return 0;
	compact(events, timers);
	if (n > ROOM_MAX - events->length)
		return -ENOMEM;
	/* Keep half of the ring empty, so that compacting costs O(1) for each event. */
	if (!larger.room)
		larger.room = ROOM_MIN;
	while (larger.room < ROOM_MAX && larger.room / 2 < events->length + n)
		larger.room *= 2;
	if (larger.room == events->room)
		return 0;
	larger.ring = reallocarray(NULL, larger.room, sizeof(*larger.ring));
	if (!larger.ring)
		return -ENOMEM;
	for (uint32_t i = 0; i < events->length; i++)
		*at(&larger, events->head + i) = *at(events, events->head + i);
	larger.length = events->length;
	free(events->ring);
	*events = larger;
	return 0;
}

/* The timer's latest event in the queue, if it has the type of `like`; otherwise NULL. */
static struct event *find_waiting(
	const struct events *events, const struct timer *timer, const struct event *like)
{
	struct event *event;

	if (timer->event - events->head >= events->length)
		return NULL;
	event = at(events, timer->event);
	return event->timer == like->timer && event->type == like->type ? event : NULL;
}

static uint64_t add_saturating(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static void merge(struct event *into, const struct event *event)
{
	uint64_t sent = add_saturating(event->due, event->late);

	into->late = sent > into->due ? sent - into->due : 0;
	into->overruns = add_saturating(into->overruns, add_saturating(event->overruns, 1));
	into->last = event->last;
}

void events_push(struct events *events, struct timer *timer, const struct event *event)
{
	if (events->length >= EVENTS_UNMERGED_MAX && event->type == TOYTIMER_WOKEN) {
		struct event *waiting = find_waiting(events, timer, event);

		if (waiting) {
			merge(waiting, event);
			return;
		}
	}
	/* A second event of these types says nothing new. */
	if ((event->type == TOYTIMER_CLOCK_SET ||
		    (event->type == TOYTIMER_REFUSED && !event->last)) &&
		find_waiting(events, timer, event))
		return;
	timer->event = events->head + events->length++;
	*at(events, timer->event) = *event;
}

bool events_pop(struct events *events, struct event *ret)
{
	if (!events->length)
		return false;
	*ret = *at(events, events->head);
	events->head++;
	if (--events->length == 0 && events->room > EVENTS_UNMERGED_MAX)
		events_destroy(events);
	return true;
}

void events_trim(struct events *events, struct registry *timers)
{
	struct event stale;

	while (events->length && is_stale(at(events, events->head), timers))
		(void)events_pop(events, &stale);
}
