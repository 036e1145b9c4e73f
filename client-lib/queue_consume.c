/* SPDX-License-Identifier: MIT */
/*
 * Calls of a consumer: attach, detach, acknowledge, retry.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "public.h"
#include "queue_state.h"
#include "text.h"

static int attach(struct toytimer_queue *q, uint32_t number,
	const toytimer_queue_consumer *consumer, uint64_t deadline)
{
	struct queue_use *use = &q->uses[number - 1];
	struct proto_queue_consume record = {
		.queue = number,
		.window = consumer->window ?: 1,
		.max_attempts = consumer->max_attempts,
		.ack_within = consumer->ack_within,
	};
	struct queue_result result;
	struct queue_batch batch = {.pending = 1, .results = &result};
	struct queue_request *r;
	int error;

	if (use->consumed)
		return -EALREADY;
	r = queue_request_one(PROTO_QUEUE_CONSUME, &record, NULL);
	if (!r)
		return -ENOMEM;
	r->slots[0].batch = &batch;
	r->consuming = number;
	use->consumed = true;
	use->consumer = *consumer;
	use->consumer.window = record.window;
	use->since = q->wakes_packets;
	queue_request_queue(q, r);
	error = queue_await(q, &batch, deadline);
	if (error == -ECHILD)
		return error;
	error = error ?: result.error;
	/* The array may have moved while this waited. */
	if (error < 0 && !q->uses[number - 1].attached)
		q->uses[number - 1].consumed = false;
	return error;
}

static int check(const toytimer_queue_consumer *consumer)
{
	if (!consumer)
		return text_invalid("consumer: NULL");
	if (!consumer->handler)
		return text_invalid("consumer.handler: NULL");
	if (consumer->window > TOYTIMER_QUEUE_WINDOW_MAX)
		return text_invalid("consumer.window: more than 10000");
	if (consumer->reserved[0] || consumer->reserved[1])
		return text_invalid("consumer.reserved: not 0");
	if (consumer->ack_within > INT64_MAX)
		return text_refused(-ERANGE, "consumer.ack_within:" TEXT_END);
	return 0;
}

_public_ int toytimer_queue_consume(
	toytimer_queue *q, const char *queue, const toytimer_queue_consumer *consumer)
{
	uint64_t deadline;
	uint32_t number;
	int r;

	r = check(consumer);
	if (r < 0)
		return r;
	r = queue_enter(q, queue, &deadline, &number);
	if (r < 0)
		return r;
	return queue_leave(q, attach(q, number, consumer, deadline));
}

_public_ int toytimer_queue_detach(toytimer_queue *q, const char *queue)
{
	struct proto_queue_detach record = {0};
	struct queue_request *request;
	struct queue_result result;
	uint64_t deadline;
	int r = queue_enter(q, queue, &deadline, &record.queue);

	if (r < 0)
		return r;
	if (!q->uses[record.queue - 1].attached)
		return queue_leave(q, -ENOTCONN);
	request = queue_request_one(PROTO_QUEUE_DETACH, &record, NULL);
	if (!request)
		return queue_leave(q, -ENOMEM);
	/* From now on no wake of the queue is handed out, even if the request fails. */
	q->uses[record.queue - 1].consumed = q->uses[record.queue - 1].attached = false;
	q->consumers--;
	helds_forget_queue(&q->helds, record.queue);
	if (q->base.session.connection.state != CONNECTION_UP) {
		queue_request_free(request);
		return queue_leave(q, 0);
	}
	r = queue_ask_one(q, request, deadline, &result);
	return queue_leave(q, r == -ENOTCONN ? 0 : r);
}

/* Whether the wake came on this connection: timerqd accepts its acknowledgement only then. */
static bool is_here(const struct toytimer_queue *q, const struct held *held)
{
	return q->base.session.connection.state == CONNECTION_UP &&
		(!held || held->connection == q->base.session.connection.times);
}

/* Marks the wake as acknowledged, and queues the acknowledgement. Return: 0; -ECONNRESET: the
 * library acknowledges the wake when it comes again; or -ENOMEM. */
static int acknowledge(struct toytimer_queue *q, const toytimer_wake_ref *wake,
	struct queue_batch *batch, size_t index)
{
	struct held *held = helds_find(&q->helds, wake);
	int r;

	if (held && held->state == HELD_ACKED)
		return -ECONNRESET;
	if (!is_here(q, held)) {
		if (held)
			helds_set_state(&q->helds, held, HELD_ACKED);
		return -ECONNRESET;
	}
	/* A repeated wake belongs to the lease under which it came last. */
	r = queue_ack_later(q, held ? &held->ref : wake);
	if (r < 0)
		return r;
	if (held)
		helds_set_state(&q->helds, held, HELD_ACKING);
	if (batch) {
		struct queue_request *filling = q->filling_ack;

		filling->slots[filling->count - 1].batch = batch;
		filling->slots[filling->count - 1].index = index;
		batch->pending++;
	}
	return 0;
}

_public_ int toytimer_queue_ack_many(
	toytimer_queue *q, const toytimer_wake_ref *wakes, size_t n, int *ret_errors)
{
	struct queue_batch batch = {0};
	int r, done = 0;

	if (n && !wakes)
		return text_invalid("wakes: NULL");
	if (n > INT_MAX)
		return text_invalid("n: more than INT_MAX");
	r = handle_enter(q ? &q->base : NULL);
	if (r < 0)
		return r;
	batch.results = calloc(n + 1, sizeof(*batch.results));
	if (!batch.results)
		return queue_leave(q, -ENOMEM);
	for (size_t i = 0; i < n; i++)
		batch.results[i].error = -ETIMEDOUT;
	for (size_t i = 0; i < n; i++) {
		int error = acknowledge(q, &wakes[i], &batch, i);

		if (error < 0)
			batch.results[i].error = error;
	}
	r = queue_leave(q, queue_await(q, &batch, handle_deadline(&q->base)));
	for (size_t i = 0; i < n && r != -ECHILD; i++) {
		done += batch.results[i].error == 0;
		if (ret_errors)
			ret_errors[i] = batch.results[i].error;
	}
	free(batch.results);
	return r == -ECHILD ? r : done;
}

_public_ int toytimer_queue_ack(toytimer_queue *q, const toytimer_wake_ref *wake)
{
	int error,
		r = wake ? toytimer_queue_ack_many(q, wake, 1, &error) : text_invalid("wake: NULL");

	if (r < 0)
		return r;
	return r == 1 ? 0 : error;
}

_public_ int toytimer_queue_ack_async(toytimer_queue *q, const toytimer_wake_ref *wake)
{
	int r = wake ? handle_enter(q ? &q->base : NULL) : text_invalid("wake: NULL");

	if (r < 0)
		return r;
	r = acknowledge(q, wake, NULL, 0);
	return queue_leave(q, r == -ECONNRESET ? 0 : r);
}

_public_ int toytimer_queue_retry(toytimer_queue *q, const toytimer_wake_ref *wake, uint64_t delay)
{
	struct proto_queue_retry record = {.delay = delay};
	struct queue_result result;
	struct held *held;
	int r;

	if (!wake)
		return text_invalid("wake: NULL");
	if (delay > INT64_MAX)
		return text_refused(-ERANGE, QUEUE_TEXT_DELAY);
	r = handle_enter(q ? &q->base : NULL);
	if (r < 0)
		return r;
	held = helds_find(&q->helds, wake);
	record.id = wake->id;
	record.term = held ? held->ref.term : wake->term;
	record.number = wake->number;
	record.queue = wake->queue;
	r = is_here(q, held) ? 0 : -ECONNRESET;
	/* When the wake comes again, its handler must be called. */
	if (held)
		helds_remove(&q->helds, held);
	if (r == 0)
		r = queue_ask(
			q, PROTO_QUEUE_RETRY, &record, NULL, handle_deadline(&q->base), &result);
	if (r == -ERANGE)
		text_refused(r, QUEUE_TEXT_DELAY);
	return queue_leave(q, r);
}
