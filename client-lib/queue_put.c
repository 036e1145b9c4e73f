/* SPDX-License-Identifier: MIT */
/*
 * Puts: one, many, and without waiting for the answer. Arguments are checked here, so that the call
 * with the bad argument returns the error.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "public.h"
#include "queue_state.h"
#include "text.h"

/* A blocking call sends up to this many packets one right after the other, because timerqd stores
 * packets that arrive together in one transaction. */
#define QUEUED_MAX 4

static int check_key(const toytimer_queue_timer *t)
{
	if (t->flags & TOYTIMER_QUEUE_KEEP && !t->key)
		return text_invalid("timer.flags: TOYTIMER_QUEUE_KEEP without a key");
	if (t->key && !queue_codec_key_valid(t->key, strnlen(t->key, PROTO_QUEUE_KEY_MAX + 1)))
		return text_invalid("timer." QUEUE_TEXT_KEY);
	return 0;
}

static int check(const toytimer_queue_timer *t)
{
	const unsigned int known = TOYTIMER_RELATIVE | TOYTIMER_WAKE_SYSTEM | TOYTIMER_QUEUE_KEEP;
	int r;

	if ((unsigned int)t->clock >= PROTO_CLOCKS)
		return text_invalid("timer.clock: no such clock");
	if (t->flags & ~known)
		return text_invalid("timer.flags: not only RELATIVE, WAKE_SYSTEM and KEEP");
	if (t->flags & TOYTIMER_WAKE_SYSTEM && t->clock == TOYTIMER_MONOTONIC)
		return -EOPNOTSUPP;
	if (t->payload_size > TOYTIMER_QUEUE_PAYLOAD_MAX)
		return text_refused(-EMSGSIZE, "timer.payload_size: more than 16384");
	if (t->payload_size && !t->payload)
		return text_invalid("timer.payload: NULL, and timer.payload_size is not 0");
	r = check_key(t);
	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof(t->reserved) / sizeof(t->reserved[0]); i++)
		if (t->reserved[i])
			return text_invalid("timer.reserved: not 0");
	return queue_check_times(t);
}

static int copy_label(const char *label, char ret[static PROTO_LABEL_MAX])
{
	size_t length = label ? strnlen(label, PROTO_LABEL_MAX + 1) : 0;

	if (length > PROTO_LABEL_MAX)
		return text_invalid("timer." TEXT_LABEL_LONG);
	if (length && !codec_label_valid(label, length))
		return text_invalid("timer." TEXT_LABEL_PRINTABLE);
	if (length)
		memcpy(ret, label, length);
	return 0;
}

static size_t bytes_of(const toytimer_queue_timer *t)
{
	return (t->key ? strlen(t->key) : 0) + t->payload_size;
}

/* Makes the record of a timer, without the offset of its bytes. Return: 0 or a negative errno. */
static int to_record(const toytimer_queue_timer *t, uint32_t queue, struct proto_queue_put *ret)
{
	int r = check(t);

	if (r < 0)
		return r;
	*ret = (struct proto_queue_put){
		.due = t->due,
		.slack = t->slack,
		.every = t->every,
		.max_late = t->max_late ?: PROTO_FOREVER,
		.count = t->count,
		.max_attempts = t->max_attempts,
		.queue = queue,
		.clock = (uint8_t)t->clock,
		.key_size = (uint16_t)(t->key ? strlen(t->key) : 0),
		.payload_size = (uint32_t)t->payload_size,
	};
	if (t->flags & TOYTIMER_RELATIVE)
		ret->flags |= PROTO_RELATIVE;
	if (t->flags & TOYTIMER_WAKE_SYSTEM)
		ret->flags |= PROTO_WAKE_SYSTEM;
	if (t->flags & TOYTIMER_QUEUE_KEEP)
		ret->flags |= PROTO_QUEUE_KEEP;
	return copy_label(t->label, ret->label);
}

/* Adds a record to a packet that has room for it. Return: NULL if out of memory. */
static struct queue_slot *add_record(
	struct queue_request *r, const toytimer_queue_timer *t, struct proto_queue_put *record)
{
	struct queue_slot *slot = queue_request_slot(r);

	if (!slot)
		return NULL;
	record->data = queue_codec_add_bytes(&r->writer, t->key ?: "", record->key_size);
	if (t->payload_size)
		queue_codec_add_bytes(&r->writer, t->payload, t->payload_size);
	queue_codec_put(&r->writer, record);
	r->count++;
	return slot;
}

/* Fills a packet with the timers from index i on. Return: how many timers it has added or refused,
 * or -ENOMEM. */
static int fill_packet(struct toytimer_queue *q, uint32_t queue, const toytimer_queue_timer *timers,
	size_t i, size_t n, struct queue_batch *batch)
{
	struct queue_request *r = queue_request_new(PROTO_QUEUE_PUT);
	size_t from = i;

	if (!r)
		return -ENOMEM;
	for (; i < n; i++) {
		struct proto_queue_put record;
		struct queue_slot *slot;
		int error = to_record(&timers[i], queue, &record);

		if (error < 0) {
			batch->results[i] = (struct queue_result){.error = error};
			continue;
		}
		if (!queue_codec_fits(&r->writer, bytes_of(&timers[i])))
			break;
		slot = add_record(r, &timers[i], &record);
		if (!slot) {
			/* Nothing of this packet is sent. */
			batch->pending -= r->count;
			queue_request_free(r);
			return -ENOMEM;
		}
		slot->batch = batch;
		slot->index = i;
		batch->pending++;
	}
	if (r->count)
		queue_request_queue(q, r);
	else
		queue_request_free(r);
	return (int)(i - from);
}

static void detach_cancelled(struct toytimer *t, void *userdata)
{
	struct queue_batch *batch = userdata;

	queue_batch_detach((struct toytimer_queue *)t, batch);
	free(batch->results);
}

static int put_all(struct toytimer_queue *q, uint32_t queue, const toytimer_queue_timer *timers,
	size_t n, uint64_t deadline, struct queue_batch *batch)
{
	int r = 0;

	for (size_t i = 0; i < n && r >= 0;) {
		r = fill_packet(q, queue, timers, i, n, batch);
		if (r < 0)
			break;
		i += (size_t)r;
		r = q->unsent.length < QUEUED_MAX ? 0 : handle_pump(&q->base, false);
		while (r == 0 && q->unsent.length >= QUEUED_MAX)
			r = handle_await(&q->base, deadline, detach_cancelled, batch);
	}
	while (r >= 0 && batch->pending)
		r = handle_await(&q->base, deadline, detach_cancelled, batch);
	if (r < 0 && r != -ECHILD)
		queue_batch_detach(q, batch);
	return r;
}

/* Copies the results for the caller. Return: how many timers were stored. */
static int give_results(const struct queue_result *results, size_t n,
	const toytimer_queue_timer *timers, toytimer_queue_stored *ret)
{
	int stored = 0;

	for (size_t i = 0; i < n; i++) {
		stored += results[i].error == 0;
		/* The clock is timerqd's, so timerqd finds out that a relative due is too late. */
		if (results[i].error == -ERANGE && queue_check_times(&timers[i]) == 0)
			text_refused(-ERANGE, QUEUE_TEXT_DUE);
		if (!ret)
			continue;
		ret[i] = (toytimer_queue_stored){
			.error = results[i].error,
			.replaced = (results[i].flags & PROTO_QUEUE_REPLACED) != 0,
			.kept = (results[i].flags & PROTO_QUEUE_KEPT) != 0,
			.id = results[i].id,
			.due = results[i].due,
		};
	}
	return stored;
}

/* Stands for an answer that has not arrived. It is no errno. */
#define UNANSWERED INT_MIN

_public_ int toytimer_queue_put_many(toytimer_queue *q, const char *queue,
	const toytimer_queue_timer *timers, size_t n, toytimer_queue_stored *ret)
{
	struct queue_batch batch = {0};
	uint64_t deadline;
	uint32_t number;
	int r;

	if (n && !timers)
		return text_invalid("timers: NULL");
	if (n > INT_MAX)
		return text_invalid("n: more than INT_MAX");
	r = queue_enter(q, queue, &deadline, &number);
	if (r < 0)
		return r;
	batch.results = calloc(n + 1, sizeof(*batch.results));
	if (!batch.results)
		return queue_leave(q, -ENOMEM);
	for (size_t i = 0; i < n; i++)
		batch.results[i].error = UNANSWERED;
	r = queue_leave(q, put_all(q, number, timers, n, deadline, &batch));
	for (size_t i = 0; i < n; i++)
		if (batch.results[i].error == UNANSWERED)
			batch.results[i].error = r;
	if (r != -ECHILD)
		r = give_results(batch.results, n, timers, ret);
	free(batch.results);
	return r;
}

_public_ int toytimer_queue_put(toytimer_queue *q, const char *queue,
	const toytimer_queue_timer *timer, toytimer_queue_stored *ret)
{
	toytimer_queue_stored stored;
	int r = timer ? toytimer_queue_put_many(q, queue, timer, 1, &stored)
		      : text_invalid("timer: NULL");

	if (r < 0)
		return r;
	if (stored.error)
		return stored.error;
	if (ret)
		*ret = stored;
	return 0;
}

static int put_async(struct toytimer_queue *q, uint32_t queue, const toytimer_queue_timer *timer,
	struct queue_completion *completion)
{
	struct proto_queue_put record;
	struct queue_request *r;
	struct queue_slot *slot;
	int error = to_record(timer, queue, &record);

	if (error == 0)
		error = queue_filling(q, PROTO_QUEUE_PUT, bytes_of(timer), &r);
	if (error < 0)
		return error;
	slot = add_record(r, timer, &record);
	if (!slot)
		return -ENOMEM;
	slot->completion = completion;
	q->handlers += completion != NULL;
	return 0;
}

_public_ int toytimer_queue_put_async(toytimer_queue *q, const char *queue,
	const toytimer_queue_timer *timer, toytimer_queue_put_handler handler, void *userdata)
{
	struct queue_completion *completion = NULL;
	uint64_t deadline;
	uint32_t number;
	int r;

	if (!timer)
		return text_invalid("timer: NULL");
	r = queue_enter(q, queue, &deadline, &number);
	if (r < 0)
		return r;
	if (handler) {
		completion = malloc(sizeof(*completion));
		if (!completion)
			return queue_leave(q, -ENOMEM);
		*completion = (struct queue_completion){.handler = handler, .userdata = userdata};
	}
	r = put_async(q, number, timer, completion);
	if (r < 0)
		free(completion);
	/* Sends full packets, and receives: timerqd stops reading when its answers are not read. */
	else if (q->unsent.length > 1)
		(void)handle_pump(&q->base, false);
	return queue_leave(q, r);
}
