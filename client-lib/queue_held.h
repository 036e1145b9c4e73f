/* SPDX-License-Identifier: MIT */
/*
 * The wakes that this handle remembers, by (queue, timer, number), to recognise a repeated wake.
 * The handle remembers a wake until it knows that the acknowledgement is stored. If a connection
 * breaks before that, the wake stays as HELD_ACKED. At most HELD_ACKED_MAX of these stay: the
 * oldest one is forgotten first.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "toytimer-queue.h"

#define HELD_ACKED_MAX 16384

enum held_state {
	HELD_BY_USER, /* handed out */
	HELD_ACKING,  /* acknowledged; the answer has not arrived */
	HELD_ACKED,   /* acknowledged; it is unknown whether that is stored */
};

struct held {
	struct held *next;	    /* helds::buckets */
	struct held *newer, *older; /* HELD_ACKED: helds::newest */
	toytimer_wake_ref ref;
	uint64_t connection; /* the wake came last on this one, see connection::times */
	enum held_state state;
};

struct helds {
	struct held **buckets;
	size_t room, count;	      /* room: 0 or a power of two */
	struct held *newest, *oldest; /* HELD_ACKED */
	size_t acked;
};

void helds_destroy(struct helds *helds);

/* Finds a remembered wake, or NULL. */
struct held *helds_find(const struct helds *helds, const toytimer_wake_ref *ref);

/* Remembers a wake, as HELD_BY_USER. NULL: out of memory. */
struct held *helds_add(struct helds *helds, const toytimer_wake_ref *ref);

void helds_set_state(struct helds *helds, struct held *held, enum held_state state);
void helds_remove(struct helds *helds, struct held *held);

/* Forgets the HELD_BY_USER wakes of a queue. O(n) in all remembered wakes. */
void helds_forget_queue(struct helds *helds, uint32_t queue);
