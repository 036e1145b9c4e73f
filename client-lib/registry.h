/* SPDX-License-Identifier: MIT */
/*
 * The handle's own table of its timers: what is needed to call the right handler, and to register
 * everything again at a daemon that has forgotten it. Knows nothing of sockets.
 *
 * A timer is a place in one growing array. Its public name, which is its cookie on the wire too, is
 * that place and a generation, so that a stale name never hits a new timer. All that a daemon
 * should hold are in one list, in the order in which they were registered; those it has yet to be
 * told of are the end of that list, from `unsent` on. After a loss, unsent is simply the list's
 * beginning, and equal dues keep their order.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "toytimer.h"

struct batch;
struct proto_rearm;

#define TIMERS_NONE UINT32_MAX /* instead of a place */

enum timer_state {
	TIMER_FREE = 0,
	TIMER_QUEUED, /* to be sent */
	TIMER_SENT,   /* its answer is awaited */
	TIMER_HELD,   /* by the daemon */
	TIMER_ENDED,  /* its last event has arrived and waits for toytimer_process() */
};

struct timer {
	union {
		uint64_t id;	     /* HELD, ENDED: the daemon's */
		struct batch *batch; /* QUEUED, SENT: who waits for its answer, or NULL */
	};
	uint64_t due; /* the next one, absolute */
	uint64_t slack;
	uint64_t every;
	toytimer_handler handler;
	void *userdata;
	char *label;	     /* NULL if none */
	uint32_t count;	     /* wakes that are left; 0: see toytimer_registration */
	uint32_t number;     /* HELD: of its last wake; QUEUED, SENT: its index in the batch */
	uint32_t generation; /* never 0 */
	uint32_t next;	     /* registry::first, or registry::free */
	uint32_t previous;
	uint32_t event; /* sequence of its latest in events::ring; may be gone from there */
	uint8_t state;
	uint8_t clock;
	uint8_t flags;	/* enum proto_timer_flag */
	bool abandoned; /* nobody wants it any more, but the daemon may hold it */
	bool revived;	/* it has had another id, whose events may come a second time */
};

static_assert(sizeof(struct timer) <= 88, "a million timers in one process, under 100 bytes each");

struct registry {
	struct timer *array;
	uintptr_t populated; /* up to this address the rest of it has memory behind it */
	uint32_t room;
	uint32_t used; /* places that have ever been taken */
	uint32_t free; /* a list of places that are free again */
	uint32_t first, last;
	uint32_t unsent;
	uint32_t unsent_count;
	uint64_t queued; /* how many were ever put at the list's end */
	size_t count;	 /* of those that somebody wants, ENDED ones included */
};

void registry_init(struct registry *timers);
void registry_destroy(struct registry *timers);

/* Room for n more without further allocation. Return: 0 or -ENOMEM. */
int registry_reserve(struct registry *timers, size_t n);

/*
 * Takes a place for a timer like *model (its generation and links aside) and puts it at the end of
 * the list, QUEUED. The label becomes the table's. Room has been reserved. O(1).
 */
struct timer *registry_add(struct registry *timers, const struct timer *model);

/* The timer of that name, or NULL. Any number may be asked for. */
struct timer *registry_find(struct registry *timers, uint64_t name);

uint64_t registry_name(const struct registry *timers, const struct timer *timer);

/* The timer that the daemon holds, or has ended, under that id; or NULL. O(n). */
struct timer *registry_find_id(struct registry *timers, uint64_t id);

/* The list, forwards; NULL at its end. */
struct timer *registry_at(struct registry *timers, uint32_t place);

/* Gives it another due, slack, period and count. The numbers of its wakes go on. */
void registry_rearm(struct timer *timer, const struct proto_rearm *record);

/* Registers an ENDED timer that nobody wants any more again, under the same name: QUEUED, and
 * wanted. batch may be NULL. */
void registry_revive(struct registry *timers, struct timer *timer, const struct proto_rearm *record,
	struct batch *batch);

/* Notes a wake that is not the last: the next due and how many are left. */
void registry_woken(struct timer *timer, uint64_t due, uint64_t overruns);

/* Takes a timer off the list: its last event is queued. */
void registry_end(struct registry *timers, struct timer *timer);

/* Nobody wants it any more: it counts no longer, and its events are dropped. */
void registry_abandon(struct registry *timers, struct timer *timer);

/* Frees a timer in whatever state. Its name is gone. */
void registry_drop(struct registry *timers, struct timer *timer);

/* The timer at unsent is in a packet now. */
void registry_sent(struct registry *timers);

/* The daemon has forgotten everything: what is on the list is QUEUED again, what is abandoned
 * freed. O(n). */
void registry_requeue(struct registry *timers);
