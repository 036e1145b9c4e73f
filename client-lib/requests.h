/* SPDX-License-Identifier: MIT */
/*
 * Requests to the daemon: queued, in flight, answered.
 *
 * A registration has no object of its own: its timer is in the registry's list, from
 * registry::unsent on. There is no second copy, and an asynchronous registration allocates nothing
 * here. Every other request is a call: an object for one packet. It is allocated, because the
 * answer may come after the caller has stopped waiting. A packet is built when the socket can take
 * it.
 *
 * A bounded number of packets is in flight. Each has an entry in the ring until it is answered. The
 * daemon answers in order, so an answer must be for the oldest entry. All later entries are still
 * complete, and can be repeated at another daemon.
 */
#pragma once

#include "session.h"

void requests_init(struct requests *q);
void requests_destroy(struct requests *q);

/* Allocates a call with n zeroed items. Only a PROTO_CANCEL and a PROTO_REARM have items. Return:
 * NULL if out of memory. */
struct call *call_new(uint16_t opcode, size_t n);

/* Frees a call that is in no queue. Returns NULL. */
struct call *call_free(struct call *call);

/* Stores the result of a call. Frees a detached call. */
void call_finish(struct call *call, int result);

/* Queues a call. It is sent after all registrations that are queued now. */
void requests_queue(struct session *s, struct call *call);

/* Queue the asynchronous cancellation of a HELD timer, or the re-arming of a SENT or HELD one.
 * Consecutive ones of one kind share a packet. Return: 0 or -ENOMEM. */
int requests_queue_cancel(struct session *s, const struct timer *timer);
int requests_queue_rearm(
	struct session *s, const struct timer *timer, const struct proto_rearm *record);

/* A re-arming of this timer. Its id is filled in later if the daemon has not answered yet. */
struct rearm_item requests_rearm_item(
	const struct session *s, const struct timer *timer, const struct proto_rearm *record);

/* After an asynchronous call was queued: whether it is time to send. A packet is full, or many are
 * queued. */
bool requests_many(const struct requests *q);

/* The timer will get a new id. Makes queued re-armings without an id fail: they are for the former
 * id. */
void requests_forget_rearms(struct session *s, uint64_t timer);

/* The caller stops waiting for a call. A call that is not sent is dropped, unless it cancels timers
 * of this handle. */
void requests_detach(struct session *s, struct call *call);

/*
 * The timer of this handle that a cancel item names, by its name or only by its id. NULL if there
 * is none, if the timer has another id by now, or if the handler of its last event runs and may
 * re-arm it.
 */
struct timer *requests_cancelled(struct session *s, const struct cancel_item *item);

/* Sends queued requests until the socket is full. */
void requests_send(struct session *s);

/* Whether the current daemon, or else the last one, knows this opcode. */
bool requests_supports(const struct session *s, uint16_t opcode);

/* Whether requests_send() has something to send now, without an answer or EPOLLOUT first. */
bool requests_ready(struct session *s);

/* The oldest request in flight if it has that serial and opcode, otherwise NULL. */
struct request *requests_find(struct requests *q, uint64_t serial, uint16_t opcode);

/* Removes the oldest request: it is answered. */
void requests_done(struct requests *q);

/*
 * Another daemon has adopted the session. It has applied all requests up to this serial. Repeats
 * all requests in flight, unchanged. Return: 0, or -EPROTO: the serial is not that of the last
 * answer.
 */
int requests_resume(struct session *s, uint64_t serial);

/* The connection has ended, and the daemon has dropped the session. Finishes the calls whose result
 * is known now, and queues all other requests again. */
void requests_lost(struct session *s);
