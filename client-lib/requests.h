/* SPDX-License-Identifier: MIT */
/*
 * What is asked of the daemon: queued, in flight, answered.
 *
 * Registrations are queued as timers (registry::unsent) and answered as timers, so that there is no
 * second copy of them and an asynchronous one allocates nothing. Everything else is a call: one
 * packet's worth of questions, an object of its own, since its answer may come after the thread
 * that asked has stopped waiting. A packet is built when the socket is free to take it.
 *
 * A bounded number of packets is in flight; each has an entry in the ring until it is answered. An
 * answer is taken for the oldest only: of those that are left nothing is settled, and all of it is
 * there to be sent again.
 */
#pragma once

#include "session.h"

void requests_init(struct requests *q);
void requests_destroy(struct requests *q);

/* A call with room for n cancels. Return: NULL if out of memory. */
struct call *call_new(uint16_t opcode, size_t n);

/* Frees a call that is in no queue. Returns NULL. */
struct call *call_free(struct call *call);

/* It is answered, or never will be. Frees it if nobody waits for it. */
void call_finish(struct call *call, int result);

/* Queues a call, to be sent after all registrations that are queued now. */
void requests_queue(struct session *s, struct call *call);

/* Queues the cancelling of a timer that the daemon holds, for which nobody waits. Several in a row
 * share a packet. Return: 0 or -ENOMEM. */
int requests_queue_cancel(struct session *s, const struct timer *timer);

/* A timer gets another id: re-armings that are queued for it without an id meant the one before. */
void requests_forget_rearms(struct session *s, uint64_t timer);

/* Nobody waits for a call any more. What is not sent yet is not sent later behind the caller's
 * back, unless it is to be rid of timers of this handle. */
void requests_abandon(struct session *s, struct call *call);

/*
 * The timer of this handle that a cancelling means. One that was asked for by its id may have come
 * to be ours since. NULL: none. Its last handler runs then, and may have armed it again under
 * another id.
 */
struct timer *requests_cancelled(struct session *s, const struct cancel_item *item);

/* Sends what is queued, as far as the socket takes it. */
void requests_send(struct session *s);

/* Whether the daemon that was connected last knows such a request. */
bool requests_supports(const struct session *s, uint16_t opcode);

/* Whether requests_send() could send something that no answer and no EPOLLOUT will call it for. */
bool requests_ready(struct session *s);

/* The oldest request in flight, which is the next to be answered, if it has that serial and opcode,
 * or NULL. */
struct request *requests_find(struct requests *q, uint64_t serial, uint16_t opcode);

/* The oldest request is answered. */
void requests_done(struct requests *q);

/*
 * Another daemon has taken the session over, and all up to this serial was applied. What is in
 * flight is to be sent again as it was. Return: 0; -EPROTO: it is not that of the last answer.
 */
int requests_resume(struct session *s, uint64_t serial);

/* The connection is lost and with it all that the daemon knew: settles what can be settled here and
 * queues the rest again. */
void requests_lost(struct session *s);
