/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "proto.h"
#include "timers.h"

/* A page's worth. */
#define ROOM_LEAST (4096 / sizeof(struct timer))

/* Memory is put behind so many bytes at once: a huge page, where there are such. */
#define POPULATE ((size_t)2 << 20)

/* How many places must be wanted for that, or be left of them. */
#define POPULATE_FROM 1024

void timers_init(struct timers *timers)
{
	*timers = (struct timers){
		.free = TIMERS_NONE,
		.first = TIMERS_NONE,
		.last = TIMERS_NONE,
		.unsent = TIMERS_NONE,
	};
}

/* Bytes of a table of so many places. Once it is as large as a huge page it has whole ones: the
 * kernel then puts it where they can be (since 6.7), and moves it by these. */
static size_t table_size(size_t room)
{
	size_t size = room * sizeof(struct timer);

	return size < POPULATE ? size : (size + POPULATE - 1) / POPULATE * POPULATE;
}

void timers_destroy(struct timers *timers)
{
	for (uint32_t i = 0; i < timers->used; i++)
		free(timers->array[i].label);
	if (timers->array)
		munmap(timers->array, table_size(timers->room));
	timers_init(timers);
}

/* Has the kernel put memory behind the next places, as far as a huge page goes: by small pages, as
 * they are touched, that takes most of the time of registering a million. A kernel that cannot
 * (before 5.14) does it then. */
static void populate_ahead(struct timers *timers, size_t n)
{
	uintptr_t table = (uintptr_t)timers->array, end = table + table_size(timers->room);
	size_t used = timers->used * sizeof(struct timer);
	size_t from = used > timers->populated ? used : timers->populated;
	uintptr_t start = (table + from) & ~(uintptr_t)(POPULATE - 1), stop = start + POPULATE;

	if (n < POPULATE_FROM || used + POPULATE_FROM * sizeof(struct timer) < timers->populated ||
		start >= end)
		return;
	start = start < table ? table : start;
	stop = stop > end ? end : stop;
	madvise((void *)start, stop - start, MADV_POPULATE_WRITE);
	timers->populated = stop - table;
}

/* Not by realloc(), which puts a table some bytes beside where huge pages can be. */
static int resize(struct timers *timers, size_t room)
{
	size_t old = table_size(timers->room), new = table_size(room);
	void *array = timers->array
		? mremap(timers->array, old, new, MREMAP_MAYMOVE)
		: mmap(NULL, new, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (array == MAP_FAILED)
		return -ENOMEM;
	if (new >= POPULATE)
		madvise(array, new, MADV_HUGEPAGE);
	timers->array = array;
	timers->room = (uint32_t)room;
	return 0;
}

int timers_reserve(struct timers *timers, size_t n)
{
	size_t need, room = timers->room ? timers->room : ROOM_LEAST;
	int r = 0;

	/* Places on the free list come on top: that makes this check simple and errs to the safe
	 * side only where a batch is as large as everything before it. */
	if (__builtin_add_overflow(timers->used, n, &need) || need >= TIMERS_NONE)
		return -ENOMEM;
	while (room < need)
		room *= 2;
	if (room >= TIMERS_NONE)
		room = TIMERS_NONE - 1;
	if (room > (SIZE_MAX - POPULATE) / sizeof(struct timer))
		return -ENOMEM;
	if (room > timers->room)
		r = resize(timers, room);
	if (r == 0)
		populate_ahead(timers, n);
	return r;
}

static uint32_t place_of(const struct timers *timers, const struct timer *timer)
{
	return (uint32_t)(timer - timers->array);
}

uint64_t timers_name(const struct timers *timers, const struct timer *timer)
{
	return (uint64_t)timer->generation << 32 | place_of(timers, timer);
}

struct timer *timers_at(struct timers *timers, uint32_t place)
{
	return place == TIMERS_NONE ? NULL : &timers->array[place];
}

struct timer *timers_find(struct timers *timers, uint64_t name)
{
	uint32_t place = (uint32_t)name;
	struct timer *timer;

	if (place >= timers->used)
		return NULL;
	timer = &timers->array[place];
	if (timer->generation != name >> 32 || timer->state == TIMER_FREE)
		return NULL;
	return timer;
}

static uint32_t take_place(struct timers *timers, uint32_t *ret_generation)
{
	uint32_t place = timers->free;

	if (place == TIMERS_NONE) {
		assert(timers->used < timers->room);
		*ret_generation = 1;
		return timers->used++;
	}
	timers->free = timers->array[place].next;
	*ret_generation = timers->array[place].generation;
	return place;
}

struct timer *timers_add(struct timers *timers, const struct timer *model)
{
	uint32_t generation;
	uint32_t place = take_place(timers, &generation);
	struct timer *timer = &timers->array[place], *last = timers_at(timers, timers->last);

	*timer = *model;
	timer->state = TIMER_QUEUED;
	timer->generation = generation;
	timer->previous = timers->last;
	timer->next = TIMERS_NONE;
	if (last)
		last->next = place;
	else
		timers->first = place;
	timers->last = place;

	if (timers->unsent == TIMERS_NONE)
		timers->unsent = place;
	timers->unsent_count++;
	timers->queued++;
	timers->count++;
	return timer;
}

static void unlink_timer(struct timers *timers, struct timer *timer)
{
	struct timer *next = timers_at(timers, timer->next);
	struct timer *previous = timers_at(timers, timer->previous);

	if (timer->state == TIMER_QUEUED) {
		if (timers->unsent == place_of(timers, timer))
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

void timers_rearm(struct timer *timer, const struct proto_rearm *record)
{
	timer->due = record->due;
	timer->slack = record->slack;
	timer->every = record->every;
	timer->count = record->count;
}

void timers_woken(struct timer *timer, uint64_t due, uint64_t overruns)
{
	uint64_t periods, span;

	/* A sum past the end of time comes from a daemon that errs. Never is then as good as
	 * any. */
	if (__builtin_add_overflow(overruns, 1, &periods) ||
		__builtin_mul_overflow(periods, timer->every, &span) ||
		__builtin_add_overflow(due, span, &timer->due) || timer->due == PROTO_FOREVER)
		timer->due = PROTO_FOREVER - 1;
	if (timer->count > 1)
		timer->count--;
}

void timers_end(struct timers *timers, struct timer *timer)
{
	if (timer->state == TIMER_ENDED)
		return;
	unlink_timer(timers, timer);
	timer->state = TIMER_ENDED;
}

void timers_abandon(struct timers *timers, struct timer *timer)
{
	if (timer->abandoned)
		return;
	timer->abandoned = true;
	timers->count--;
}

void timers_drop(struct timers *timers, struct timer *timer)
{
	if (timer->state != TIMER_ENDED)
		unlink_timer(timers, timer);
	if (!timer->abandoned)
		timers->count--;
	free(timer->label);
	timer->label = NULL;
	timer->state = TIMER_FREE;
	if (++timer->generation == 0)
		timer->generation = 1;
	timer->next = timers->free;
	timers->free = place_of(timers, timer);
}

void timers_sent(struct timers *timers)
{
	struct timer *timer = &timers->array[timers->unsent];

	timer->state = TIMER_SENT;
	timers->unsent = timer->next;
	timers->unsent_count--;
}

void timers_requeue(struct timers *timers)
{
	uint32_t n = 0;

	for (uint32_t place = timers->first, next; place != TIMERS_NONE; place = next) {
		struct timer *timer = &timers->array[place];

		next = timer->next;
		if (timer->abandoned) {
			timers_drop(timers, timer);
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
