/* SPDX-License-Identifier: MIT */
/*
 * The handle's table of its timers. It has what the library needs to call the right handler, and to
 * register all timers again at a new daemon. It knows nothing of sockets.
 *
 * A timer occupies a slot of one growing array. Its public name, which is also its cookie on the
 * wire, consists of the slot and a generation. The name of a freed timer therefore never finds a
 * new timer. One list holds all timers that the daemon should hold, in the order of registration.
 * The timers from `unsent` to the end of the list are not sent yet. When the connection ends,
 * `unsent` moves to the beginning of the list, so equal dues keep their order.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "toytimer.h"

struct batch;
struct proto_rearm;

#define TIMERS_NONE UINT32_MAX /* no slot */

enum timer_state {
	TIMER_FREE = 0,
	TIMER_QUEUED, /* not sent yet */
	TIMER_SENT,   /* the daemon has not answered yet */
	TIMER_HELD,   /* the daemon holds it */
	TIMER_ENDED,  /* its last event has arrived and waits for toytimer_process() */
};

struct timer {
	union {
		uint64_t id;	     /* HELD, ENDED: its number at the daemon */
		struct batch *batch; /* QUEUED, SENT: the blocking call that waits, or NULL */
	};
	uint64_t due; /* the next due, as an instant of the client's clock */
	uint64_t slack;
	uint64_t every;
	toytimer_handler handler;
	void *userdata;
	char *label;	     /* NULL if none */
	uint32_t count;	     /* remaining wakes; 0: see toytimer_registration */
	uint32_t number;     /* HELD: of the latest wake; QUEUED, SENT: index in the batch */
	uint32_t generation; /* never 0 */
	uint32_t next;	     /* registry::first, or registry::free */
	uint32_t previous;
	uint32_t event; /* sequence number of its latest event, which may be processed already */
	uint8_t state;
	uint8_t clock;
	uint8_t flags; /* enum proto_timer_flag */
	bool released; /* the program gets no more events, but the daemon may still hold it */
	bool revived;  /* it has had another id; events of that id may be repeated */
};

static_assert(sizeof(struct timer) <= 88, "a million timers in one process, under 100 bytes each");

struct registry {
	struct timer *array;
	uintptr_t populated; /* the array is populated up to this address */
	uint32_t room;
	uint32_t used; /* slots that were ever used */
	uint32_t free; /* first of the list of free slots */
	uint32_t first, last;
	uint32_t unsent;
	uint32_t unsent_count;
	uint64_t queued; /* registrations ever queued, without those dropped unsent */
	size_t count;	 /* timers that are not released, ENDED ones included */
};

void registry_init(struct registry *timers);
void registry_destroy(struct registry *timers);

/* Reserves room for n more timers. Return: 0 or -ENOMEM. */
int registry_reserve(struct registry *timers, size_t n);

/*
 * Adds a copy of *model, without its generation and links, to the end of the list, as QUEUED. The
 * table owns the label from now on. The caller has reserved room. O(1).
 */
struct timer *registry_add(struct registry *timers, const struct timer *model);

/* The timer with that name, or NULL. `name` may be any number. */
struct timer *registry_find(struct registry *timers, uint64_t name);

uint64_t registry_name(const struct registry *timers, const struct timer *timer);

/* The HELD or ENDED timer with that id, or NULL. O(n). */
struct timer *registry_find_id(struct registry *timers, uint64_t id);

/* The timer in a slot; NULL for TIMERS_NONE. */
struct timer *registry_at(struct registry *timers, uint32_t slot);

/* Gives a timer a new due, slack, period and count. The wakes' numbers continue. */
void registry_rearm(struct timer *timer, const struct proto_rearm *record);

/* Queues an ENDED and released timer again, under the same name. It is not released any more.
 * batch may be NULL. */
void registry_revive(struct registry *timers, struct timer *timer, const struct proto_rearm *record,
	struct batch *batch);

/* Updates the next due and the remaining wakes, after a wake that is not the last one. */
void registry_woken(struct timer *timer, uint64_t due, uint64_t overruns);

/* Takes a timer off the list and makes it ENDED, because its last event is queued. */
void registry_end(struct registry *timers, struct timer *timer);

/* Cancels a timer for the program: it no longer counts, and its events are dropped. */
void registry_release(struct registry *timers, struct timer *timer);

/* Frees a timer in any state. Its name is invalid from now on. */
void registry_drop(struct registry *timers, struct timer *timer);

/* Frees the timer of that name if the program has had its last event and did not re-arm it. */
void registry_drop_over(struct registry *timers, uint64_t name);

/* The timer at `unsent` is in a packet now: makes it SENT. */
void registry_sent(struct registry *timers);

/* The connection has ended. Makes all timers of the list QUEUED again, and frees the released
 * ones. O(n). */
void registry_requeue(struct registry *timers);
