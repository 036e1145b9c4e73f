/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto.h"
#include "registry.h"

#ifndef MADV_POPULATE_WRITE /* Linux 5.14; musl 1.2.3 does not name it */
#	define MADV_POPULATE_WRITE 23
#endif

#define ROOM_MIN 16

/* The kernel populates memory in steps of this size: a huge page, if the machine has these. */
#define POPULATE ((size_t)2 << 20)

/* Populate only if at least this many slots are wanted, and keep this many populated ahead. */
#define POPULATE_FROM 1024

/* What malloc() may need of a mapping for itself. */
#define MALLOC_OVERHEAD 64

void registry_init(struct registry *timers)
{
	*timers = (struct registry){
		.free = TIMERS_NONE,
		.first = TIMERS_NONE,
		.last = TIMERS_NONE,
		.unsent = TIMERS_NONE,
	};
}

void registry_destroy(struct registry *timers)
{
	for (uint32_t i = 0; i < timers->used; i++)
		free(timers->array[i].label);
	free(timers->array);
	registry_init(timers);
}

/* The number of slots to allocate for at least `need`. malloc() gives a large array a mapping of
 * its own. If its size is a multiple of a huge page, the kernel (since 6.7) aligns it to huge
 * pages, and moves it by whole huge pages. */
static size_t room_for(size_t need, size_t room)
{
	size_t size;

	while (room < need)
		room *= 2;
	if (!__builtin_mul_overflow(room, sizeof(struct timer), &size) && size >= POPULATE)
		room = ((size | (POPULATE - 1)) - MALLOC_OVERHEAD) / sizeof(struct timer);
	return room < TIMERS_NONE ? room : TIMERS_NONE - 1;
}

/* Asks the kernel to populate the memory of the next slots, one huge page at a time. Page faults,
 * one for each small page, would take most of the time of registering a million timers. Linux
 * before 5.14 does not support this and takes the page faults. */
static void populate_ahead(struct registry *timers, size_t n)
{
	uintptr_t next = (uintptr_t)&timers->array[timers->used];
	uintptr_t start = next > timers->populated ? next : timers->populated;
	uintptr_t mask, table, end, stop;

	if (n < POPULATE_FROM || next + POPULATE_FROM * sizeof(struct timer) < timers->populated)
		return;
	mask = ~(uintptr_t)(sysconf(_SC_PAGESIZE) - 1);
	table = (uintptr_t)timers->array & mask;
	end = (uintptr_t)&timers->array[timers->room] & mask;
	start &= ~(uintptr_t)(POPULATE - 1);
	stop = start + POPULATE;
	start = start < table ? table : start;
	stop = stop > end ? end : stop;
	if (start < stop)
		madvise((void *)start, stop - start, MADV_POPULATE_WRITE);
	timers->populated = stop;
}

/* Return: 0 or -ENOMEM. */
static int resize(struct registry *timers, size_t room)
{
	struct timer *array = reallocarray(timers->array, room, sizeof(*array));
	uintptr_t mask = ~(uintptr_t)(sysconf(_SC_PAGESIZE) - 1);
	uintptr_t start, end;

	if (!array)
		return -ENOMEM;
	start = (uintptr_t)array & mask;
	end = (uintptr_t)&array[room];
	if (end - start >= POPULATE)
		madvise((void *)start, end - start, MADV_HUGEPAGE);
	timers->array = array;
	timers->room = (uint32_t)room;
	timers->populated = 0;
	return 0;
}

int registry_reserve(struct registry *timers, size_t n)
{
	size_t need;
	int r = 0;

	/* This ignores the free slots, which keeps the check simple. It may allocate more than is
	 * needed, but never too little. */
	if (__builtin_add_overflow(timers->used, n, &need) || need >= TIMERS_NONE)
		return -ENOMEM;
	if (need > timers->room)
		r = resize(timers, room_for(need, timers->room ? timers->room : ROOM_MIN));
	if (r == 0)
		populate_ahead(timers, n);
	return r;
}

static uint32_t slot_of(const struct registry *timers, const struct timer *timer)
{
	return (uint32_t)(timer - timers->array);
}

uint64_t registry_name(const struct registry *timers, const struct timer *timer)
{
	return (uint64_t)timer->generation << 32 | slot_of(timers, timer);
}

struct timer *registry_at(struct registry *timers, uint32_t slot)
{
	return slot == TIMERS_NONE ? NULL : &timers->array[slot];
}

struct timer *registry_find(struct registry *timers, uint64_t name)
{
	uint32_t slot = (uint32_t)name;
	struct timer *timer;

	if (slot >= timers->used)
		return NULL;
	timer = &timers->array[slot];
	if (timer->generation != name >> 32 || timer->state == TIMER_FREE)
		return NULL;
	return timer;
}

struct timer *registry_find_id(struct registry *timers, uint64_t id)
{
	for (uint32_t i = 0; id && i < timers->used; i++) {
		struct timer *timer = &timers->array[i];

		if ((timer->state == TIMER_HELD || timer->state == TIMER_ENDED) && timer->id == id)
			return timer;
	}
	return NULL;
}

static uint32_t take_slot(struct registry *timers, uint32_t *ret_generation)
{
	uint32_t slot = timers->free;

	if (slot == TIMERS_NONE) {
		assert(timers->used < timers->room);
		*ret_generation = 1;
		return timers->used++;
	}
	timers->free = timers->array[slot].next;
	*ret_generation = timers->array[slot].generation;
	return slot;
}

/* Appends a timer to the list, as QUEUED. */
static void enqueue(struct registry *timers, struct timer *timer)
{
	uint32_t slot = slot_of(timers, timer);
	struct timer *last = registry_at(timers, timers->last);

	timer->state = TIMER_QUEUED;
	timer->previous = timers->last;
	timer->next = TIMERS_NONE;
	if (last)
		last->next = slot;
	else
		timers->first = slot;
	timers->last = slot;

	if (timers->unsent == TIMERS_NONE)
		timers->unsent = slot;
	timers->unsent_count++;
	timers->queued++;
	timers->count++;
}

struct timer *registry_add(struct registry *timers, const struct timer *model)
{
	uint32_t generation;
	uint32_t slot = take_slot(timers, &generation);
	struct timer *timer = &timers->array[slot];

	*timer = *model;
	timer->generation = generation;
	enqueue(timers, timer);
	return timer;
}

static void unlink_timer(struct registry *timers, struct timer *timer)
{
	struct timer *next = registry_at(timers, timer->next);
	struct timer *previous = registry_at(timers, timer->previous);

	if (timer->state == TIMER_QUEUED) {
		if (timers->unsent == slot_of(timers, timer))
			timers->unsent = timer->next;
		timers->unsent_count--;
		timers->queued--;
	}
	if (next)
		next->previous = timer->previous;
	else
		timers->last = timer->previous;
	if (previous)
		previous->next = timer->next;
	else
		timers->first = timer->next;
}

void registry_rearm(struct timer *timer, const struct proto_rearm *record)
{
	timer->due = record->due;
	timer->slack = record->slack;
	timer->every = record->every;
	timer->count = record->count;
}

void registry_revive(struct registry *timers, struct timer *timer, const struct proto_rearm *record,
	struct batch *batch)
{
	registry_rearm(timer, record);
	timer->batch = batch;
	timer->number = 0;
	timer->revived = true;
	timer->released = false;
	enqueue(timers, timer);
}

void registry_woken(struct timer *timer, uint64_t due, uint64_t overruns)
{
	uint64_t periods, span;

	/* Only a faulty daemon makes this sum overflow. The timer then gets the last possible due.
	 */
	if (__builtin_add_overflow(overruns, 1, &periods) ||
		__builtin_mul_overflow(periods, timer->every, &span) ||
		__builtin_add_overflow(due, span, &timer->due) || timer->due == PROTO_FOREVER)
		timer->due = PROTO_FOREVER - 1;
	if (timer->count > 1)
		timer->count--;
}

void registry_end(struct registry *timers, struct timer *timer)
{
	if (timer->state == TIMER_ENDED)
		return;
	unlink_timer(timers, timer);
	timer->state = TIMER_ENDED;
}

void registry_release(struct registry *timers, struct timer *timer)
{
	if (timer->released)
		return;
	timer->released = true;
	timers->count--;
}

void registry_drop(struct registry *timers, struct timer *timer)
{
	if (timer->state != TIMER_ENDED)
		unlink_timer(timers, timer);
	if (!timer->released)
		timers->count--;
	free(timer->label);
	timer->label = NULL;
	timer->state = TIMER_FREE;
	if (++timer->generation == 0)
		timer->generation = 1;
	timer->next = timers->free;
	timers->free = slot_of(timers, timer);
}

void registry_drop_over(struct registry *timers, uint64_t name)
{
	struct timer *timer = registry_find(timers, name);

	if (timer && timer->state == TIMER_ENDED && timer->released)
		registry_drop(timers, timer);
}

void registry_sent(struct registry *timers)
{
	struct timer *timer = &timers->array[timers->unsent];

	timer->state = TIMER_SENT;
	timers->unsent = timer->next;
	timers->unsent_count--;
}

void registry_requeue(struct registry *timers)
{
	uint32_t n = 0;

	for (uint32_t slot = timers->first, next; slot != TIMERS_NONE; slot = next) {
		struct timer *timer = &timers->array[slot];

		next = timer->next;
		if (timer->released) {
			registry_drop(timers, timer);
			continue;
		}
		if (timer->state == TIMER_HELD) {
			timer->batch = NULL;
			timer->number = 0;
		}
		timer->state = TIMER_QUEUED;
		n++;
	}
	timers->unsent = timers->first;
	timers->unsent_count = n;
}
