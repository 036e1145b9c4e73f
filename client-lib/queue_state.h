/* SPDX-License-Identifier: MIT */
/*
 * The state of a handle of durable queues, beside handle.h. handle.h is about threads, reconnecting
 * and the calls of handlers.
 *
 *   queue_handle.c    the handle's life queue_requests.c  what is asked of timerqd: gathered into
 *     packets, sent, sent again queue_events.c    wakes and answers that wait to be handed out
 *     queue_answers.c   what timerqd says queue_dispatch.c  wakes and answers handed out
 *     queue_held.c      wakes that are remembered queue_put.c, queue_consume.c, queue_calls.c  the
 *     calls
 */
#pragma once

#include "handle.h"
#include "queue_codec.h"
#include "queue_held.h"
#include "toytimer-queue.h"

/* Put packets in flight, and packets that wait, at most. */
#define QUEUE_PUTS_MAX	 64
#define QUEUE_UNSENT_MAX 64

/* One record's answer. */
struct queue_result {
	int error;
	uint32_t status; /* that the error stands for */
	uint32_t flags;
	uint64_t id, due;
};

/* A blocking call: who waits for answers. On the waiting thread's stack. */
struct queue_batch {
	size_t pending;		      /* records */
	struct queue_result *results; /* by queue_slot::index */
	uint64_t cursor;	      /* of the last answer */
	uint8_t *reply; /* a listing's or status's whole answer; the caller frees it */
	size_t reply_size;
	int reply_error;
};

/* Whose a record is. */
struct queue_slot {
	struct queue_batch *batch; /* NULL: nobody waits */
	size_t index;
	struct queue_completion *completion; /* of an asynchronous put with a handler; its own */
	toytimer_wake_ref wake;		     /* acknowledge, retry */
};

/* A queue of this handle; its number is its place + 1. */
struct queue_use {
	char name[TOYTIMER_QUEUE_NAME_MAX + 1];
	char given[2 * TOYTIMER_QUEUE_NAME_MAX + 1]; /* USER/NAME, for wakes to show */
	uint32_t uid;				     /* PROTO_QUEUE_OWN: ours */
	bool consumed;				     /* a consumer is attached, or being so */
	bool attached;				     /* to be attached again after a loss */
	uint64_t since; /* earlier packets of wakes are of a consumer that was detached */
	toytimer_queue_consumer consumer;
};

/* A packet, from when it is begun until it is answered. */
struct queue_request {
	struct queue_request *next;
	struct queue_codec_writer writer;
	uint16_t opcode;
	bool ended;	 /* no record comes to it any more */
	bool internal;	 /* of this connection alone: it is made again for the next */
	uint64_t serial; /* under which it was sent last */
	uint64_t number; /* of a put */
	uint64_t cursor;
	uint64_t counted; /* CLOCK_BOOTTIME from which its spans count */
	size_t size;	  /* of the packet, once ended */
	uint8_t *packet;  /* queue_codec_begin()'s buffer */
	struct queue_slot *slots;
	uint32_t count, room;
	struct queue_use *opening; /* a queue that gets its number by it; owned */
	uint32_t consuming;	   /* the number of a queue that is attached by it; 0: none */
};

struct queue_list {
	struct queue_request *first, **end;
	unsigned int length;
};

/* A packet of wakes. */
struct queue_wakes {
	struct queue_wakes *next;
	uint64_t number; /* from 1, of all packets of the handle */
	uint32_t given;	 /* how many of it are handed out */
	bool stale;	 /* its connection is gone: the wakes come again */
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
	uint32_t use_count, use_room;
	struct queue_list unsent, sent;
	unsigned int sent_puts;
	struct queue_request *filling_put,
		*filling_ack; /* at the end of `unsent` or in its midst */
	size_t handlers;      /* of asynchronous puts that are still to be called */
	struct queue_wakes *wakes, **wakes_end;
	uint64_t wakes_packets; /* so far */
	struct queue_completion *completions, **completions_end;
	struct helds helds;
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

/* Room for one more slot. Return: NULL: out of memory. It counts once its record is added. */
struct queue_slot *queue_request_slot(struct queue_request *r);

/* Appends it to what is to be sent. */
void queue_request_queue(struct toytimer_queue *q, struct queue_request *r);

/* The packet that asynchronous records are gathered in, with room for a record with so many bytes
 * in the area. Return: 0, -ENOMEM; -EAGAIN: too much waits. */
int queue_filling(
	struct toytimer_queue *q, uint16_t opcode, size_t bytes, struct queue_request **ret);

/* Nobody waits for the batch any more. What was not sent for it alone is not sent. */
void queue_batch_detach(struct toytimer_queue *q, struct queue_batch *batch);

/* Waits until the batch is answered. Return: 0, or a negative errno; then the batch is detached.
 */
int queue_await(struct toytimer_queue *q, struct queue_batch *batch, uint64_t deadline);

/* The oldest in flight with that serial, taken out of the list; NULL: none has it. */
struct queue_request *queue_sent_take(struct toytimer_queue *q, uint64_t serial, uint16_t opcode);
struct queue_request *queue_sent_find(struct toytimer_queue *q, uint64_t serial, uint16_t opcode);

/* The connection is up: what opens the queues and attaches the consumers again goes first. Return:
 * 0 or -ENOMEM, nothing done. */
int queue_begin(struct toytimer_queue *q);

void queue_send(struct session *s);
bool queue_ready(struct session *s);
bool queue_awaits(const struct session *s);
void queue_lost(struct session *s);

/* All puts up to this number are answered. */
uint64_t queue_puts_answered(const struct toytimer_queue *q);

/* queue_answers.c */

int queue_take(struct session *s);

/* queue_events.c */

/* Gives a record's answer to whoever waits for it. */
void queue_settle(
	struct toytimer_queue *q, struct queue_slot *slot, const struct queue_result *result);

bool queue_has_event(struct session *s);
void queue_drop_wakes(struct toytimer_queue *q);

/* queue_dispatch.c */

int queue_dispatch(struct toytimer *t, int *ret_result);
bool queue_run_ends(const struct session *s);

/* Queues an acknowledgement of a wake that this connection has. Return: 0 or -ENOMEM. */
int queue_ack_later(struct toytimer_queue *q, const toytimer_wake_ref *wake);

/* queue_calls.c */

/* The number of a queue, which is opened first where this handle has not used it yet: that waits.
 * The lock is held. Return: 0 or a negative errno; -ECHILD without the lock. */
int queue_number(struct toytimer_queue *q, const char *queue, uint64_t deadline, uint32_t *ret);

/* Enters the handle, and finds the queue. Return: 0 with the lock; a negative errno without. */
int queue_enter(
	struct toytimer_queue *q, const char *queue, uint64_t *ret_deadline, uint32_t *ret_number);
int queue_leave(struct toytimer_queue *q, int r);

/* Asks one record, with a key in the area where there is one. `record` has the key's offset filled
 * in by the caller, 0. Return: 0: *ret is the answer; a negative errno. */
int queue_ask(struct toytimer_queue *q, uint16_t opcode, const void *record, const char *key,
	uint64_t deadline, struct queue_result *ret);

/* queue_text.c */

#define QUEUE_TEXT_KEY "key: not 1 to 64 bytes of printable UTF-8"

int queue_errno(uint32_t status);
/* The same for a queue that was not opened, with a sentence for toytimer_get_error(). */
int queue_refusal(uint32_t status);
