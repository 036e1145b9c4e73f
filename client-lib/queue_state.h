/* SPDX-License-Identifier: MIT */
/*
 * The state of a handle of durable queues. handle.h has what both kinds of handles share: threads,
 * reconnecting and the calls of handlers.
 *
 * queue_handle.c: opens and frees a handle.
 * queue_requests.c: collects requests in packets, sends them, and sends them again after a loss.
 * queue_answers.c: applies the packets of timerqd.
 * queue_events.c: wakes and answers that wait for their handlers.
 * queue_dispatch.c: calls these handlers.
 * queue_held.c: remembers wakes, to recognise repeated ones.
 * queue_put.c, queue_consume.c, queue_lists.c, queue_calls.c: the public calls.
 */
#pragma once

#include "handle.h"
#include "queue_codec.h"
#include "queue_held.h"
#include "toytimer-queue.h"

/* At most this many packets of puts are in flight, and this many packets wait. */
#define QUEUE_PUTS_MAX	 64
#define QUEUE_UNSENT_MAX 64

/* The answer to one record. */
struct queue_result {
	int error;
	uint32_t status; /* of the daemon; `error` is its errno */
	uint32_t flags;
	uint64_t id, due;
};

/* A blocking call that waits for answers. It is on the stack of the waiting thread. */
struct queue_batch {
	size_t pending;		      /* records without an answer */
	struct queue_result *results; /* by queue_slot::index */
	uint64_t cursor;	      /* of the last answer */
	uint8_t *reply; /* the answer packet of a listing or a status; the caller frees it */
	size_t reply_size;
	int reply_error;
};

/* What the answer to one record is for. */
struct queue_slot {
	struct queue_batch *batch;	     /* the call that waits, or NULL */
	size_t index;			     /* in queue_batch::results */
	struct queue_completion *completion; /* an asynchronous put with a handler; owned */
	toytimer_wake_ref wake;		     /* the wake that the record acknowledges, or id 0 */
};

/* A queue that this handle uses. Its number is its index + 1. */
struct queue_use {
	char name[TOYTIMER_QUEUE_NAME_MAX + 1];
	char given[2 * TOYTIMER_QUEUE_NAME_MAX + 1]; /* the name as the program gave it */
	uint32_t uid;				     /* PROTO_QUEUE_OWN: this user's */
	bool consumed;	/* the program wants wakes: a consumer is attached, or a request is sent */
	bool attached;	/* timerqd has accepted the consumer; it is attached again after a loss */
	uint64_t since; /* packets of wakes up to this number are for an earlier consumer */
	toytimer_queue_consumer consumer;
};

/* A packet, from its first record until its answer. */
struct queue_request {
	struct queue_request *next;
	struct queue_codec_writer writer;
	uint16_t opcode;
	bool ended;	 /* takes no further record */
	bool internal;	 /* belongs to this connection; the next one gets a new packet */
	uint64_t serial; /* of the last time that it was sent */
	uint64_t number; /* of a packet of puts: stays the same when it is sent again */
	uint64_t cursor;
	uint64_t counted; /* its spans count from this instant of CLOCK_BOOTTIME */
	size_t size;	  /* of the packet, once ended */
	uint8_t *packet;  /* queue_codec_begin()'s buffer */
	struct queue_slot *slots;
	uint32_t count, room;
	struct queue_use *opening; /* the queue that it opens; owned */
	uint32_t consuming;	   /* the number of the queue that it attaches; 0: none */
};

struct queue_list {
	struct queue_request *first, **end;
	unsigned int length;
};

/* A packet of wakes. */
struct queue_wakes {
	struct queue_wakes *next;
	uint64_t number; /* counts the packets of the handle, from 1 */
	uint32_t given;	 /* wakes of it that are handed out or skipped */
	bool stale;	 /* its connection has ended; timerqd sends the wakes again */
	struct queue_codec_packet packet;
	uint8_t bytes[];
};

/* An asynchronous put that was answered. */
struct queue_completion {
	struct queue_completion *next;
	toytimer_queue_put_handler handler;
	void *userdata;
	toytimer_queue_stored stored;
};

struct toytimer_queue {
	struct toytimer base;
	uint8_t token[PROTO_QUEUE_TOKEN_SIZE];
	uint64_t number; /* of the last put */
	struct queue_use *uses;
	uint32_t use_count;
	struct queue_list unsent, sent;
	unsigned int sent_puts;
	struct queue_request *filling_put, *filling_ack; /* in `unsent`: take further records */
	size_t handlers;				 /* of asynchronous puts, not called yet */
	struct queue_wakes *wakes, **wakes_end;
	uint64_t wakes_packets; /* received so far */
	struct queue_completion *completions, **completions_end;
	struct helds helds;
	uint32_t history; /* of timerqd's database, as it was said last; 0: never */
	uint32_t consumers;
	int refused; /* why a consumer was not attached again */
};

extern const struct handle_kind handle_timerqd;

static inline struct toytimer_queue *queue_of(const struct session *s)
{
	return (struct toytimer_queue *)((const char *)s -
		offsetof(struct toytimer_queue, base.session));
}

/* queue_requests.c */

void queue_lists_init(struct toytimer_queue *q);
void queue_lists_destroy(struct toytimer_queue *q);

/* An empty packet that is in no list. NULL: out of memory. */
struct queue_request *queue_request_new(uint16_t opcode);
struct queue_request *queue_request_free(struct queue_request *r);

/* A packet of one record, with a key in its area unless `key` is NULL. record may be NULL. Return:
 * NULL if out of memory. */
struct queue_request *queue_request_one(uint16_t opcode, const void *record, const char *key);

/* Makes room for one more slot. The caller increments `count` after it has added the record.
 * Return: NULL if out of memory. */
struct queue_slot *queue_request_slot(struct queue_request *r);

/* Appends a packet to `unsent`. */
void queue_request_queue(struct toytimer_queue *q, struct queue_request *r);

/* The packet that collects asynchronous records. It has room for a record with that many bytes in
 * its area. The caller adds a record: to a new packet, that cannot fail. Return: 0, -ENOMEM, or
 * -EAGAIN: too many packets wait. */
int queue_filling(
	struct toytimer_queue *q, uint16_t opcode, size_t bytes, struct queue_request **ret);

/* The caller stops waiting for a batch. Drops the unsent packets that nobody else waits for, except
 * for puts that were sent before, and for detaching. */
void queue_batch_detach(struct toytimer_queue *q, struct queue_batch *batch);

/* Waits until the batch is answered. Return: 0, or a negative errno; then the batch is detached.
 */
int queue_await(struct toytimer_queue *q, struct queue_batch *batch, uint64_t deadline);

/* Finds the packet in flight with that serial, or NULL. queue_sent_take() takes it off the list.
 */
struct queue_request *queue_sent_take(struct toytimer_queue *q, uint64_t serial, uint16_t opcode);
struct queue_request *queue_sent_find(struct toytimer_queue *q, uint64_t serial, uint16_t opcode);

/* The connection is up. Queues, before all others, the packets that open the queues and attach the
 * consumers again. Return: 0, or -ENOMEM: nothing is queued. */
int queue_begin(struct toytimer_queue *q);

void queue_send(struct session *s);
bool queue_ready(struct session *s);
bool queue_awaits(const struct session *s);
void queue_lost(struct session *s);

/* The number up to which all puts are answered. */
uint64_t queue_puts_answered(const struct toytimer_queue *q);

/* queue_answers.c */

int queue_take(struct session *s);

/* queue_events.c */

/* Passes the answer to a record on: to the waiting call, to the handler of the put, or to the
 * remembered wake. */
void queue_finish_slot(
	struct toytimer_queue *q, struct queue_slot *slot, const struct queue_result *result);

bool queue_has_event(struct session *s);
void queue_drop_wakes(struct toytimer_queue *q);

/* queue_dispatch.c */

int queue_dispatch(struct toytimer *t, int *ret_result);
bool queue_run_ends(const struct session *s);

/* Queues an acknowledgement of a wake that this connection has. Return: 0 or -ENOMEM. */
int queue_ack_later(struct toytimer_queue *q, const toytimer_wake_ref *wake);

/* queue_calls.c */

/* The number of a queue. The first use of a queue by this handle opens it, and waits for timerqd.
 * The lock is held. Return: 0 or a negative errno; -ECHILD without the lock. */
int queue_number(struct toytimer_queue *q, const char *queue, uint64_t deadline, uint32_t *ret);

/* Takes the lock and finds the queue. Return: 0 with the lock; a negative errno without. */
int queue_enter(
	struct toytimer_queue *q, const char *queue, uint64_t *ret_deadline, uint32_t *ret_number);
int queue_leave(struct toytimer_queue *q, int r);

/* Sends a packet of one record, and waits for the answer. The handle owns the packet from now on.
 * Return: 0: *ret is the answer; a negative errno. */
int queue_ask_one(struct toytimer_queue *q, struct queue_request *r, uint64_t deadline,
	struct queue_result *ret);

/* The same with a new packet, see queue_request_one(). */
int queue_ask(struct toytimer_queue *q, uint16_t opcode, const void *record, const char *key,
	uint64_t deadline, struct queue_result *ret);

/* queue_text.c */

#define QUEUE_TEXT_DUE	 "timer.due:" TEXT_END
#define QUEUE_TEXT_DELAY "delay:" TEXT_END
#define QUEUE_TEXT_KEY	 "key: not 1 to 64 bytes of printable UTF-8"

/* Checks due, slack, every, max_late and count. Return: 0; -ERANGE or -EINVAL with a sentence. */
int queue_check_times(const toytimer_queue_timer *timer);
int queue_errno(uint32_t status);
/* The same for a refused queue or connection: -EACCES comes with a sentence for
 * toytimer_get_error(). */
int queue_refusal(uint32_t status);
