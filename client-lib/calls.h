/* SPDX-License-Identifier: MIT */
/* What the requests about timers share: cancel.c, rearm.c, match.c. The lock is held. */
#pragma once

#include "handle.h"

/* Queues a call and waits for its answer. Return: 0: the results are in the call, which the caller
 * frees. A negative errno: the caller no longer owns the call. */
int call_ask(struct toytimer *t, struct call *call, uint64_t deadline);

/* Finds a timer whose name the program knows, or NULL. Another thread's blocking registration has
 * not returned the name yet while the timer has a batch. */
struct timer *call_find_timer(struct toytimer *t, uint64_t name);

/*
 * Waits until the daemon has answered the registrations of these timers: to cancel or re-arm a
 * timer, the request needs the timer's id.
 *   call: freed if the thread is cancelled; may be NULL
 * Return: 0 or a negative errno.
 */
int call_await_ids(
	struct toytimer *t, const uint64_t *timers, size_t n, uint64_t deadline, struct call *call);

/* Sends asynchronous calls when many are queued. Also receives: the daemon stops reading when its
 * answers are not read. */
void call_send_when_many(struct toytimer *t);
