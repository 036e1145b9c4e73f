/* SPDX-License-Identifier: MIT */
/*
 * The wakes that this handle remembers, by (queue, timer, number), so that a repeat is recognised.
 * A wake is remembered from when it is handed out until its acknowledgement is stored. Where that
 * is not known, it stays, as one that was acknowledged, until HELD_ACKED_MAX later ones push it
 * out.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "toytimer-queue.h"

#define HELD_ACKED_MAX 16384

enum held_state {
	HELD_BY_USER, /* handed out */
	HELD_ACKING,  /* its acknowledgement is on its way */
	HELD_ACKED,   /* acknowledged, and it is not known whether that is stored */
};

struct held {
	struct held *next;	    /* helds::buckets */
	struct held *newer, *older; /* HELD_ACKED: helds::newest */
	toytimer_wake_ref ref;
	uint64_t connection; /* on which it came last */
	enum held_state state;
};

struct helds {
	struct held **buckets;
	size_t room, count;	      /* room: 0 or a power of two */
	struct held *newest, *oldest; /* HELD_ACKED */
	size_t acked;
};

void helds_destroy(struct helds *helds);

/* NULL: it is not remembered. */
struct held *helds_find(const struct helds *helds, const toytimer_wake_ref *ref);

/* A new one, HELD_BY_USER. NULL: out of memory. */
struct held *helds_add(struct helds *helds, const toytimer_wake_ref *ref);

void helds_set_state(struct helds *helds, struct held *held, enum held_state state);
void helds_remove(struct helds *helds, struct held *held);

/* Forgets what a queue's consumer has not acknowledged. O(all). */
void helds_forget_queue(struct helds *helds, uint32_t queue);
