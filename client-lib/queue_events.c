/* SPDX-License-Identifier: MIT */
/*
 * Events that wait for their handlers: packets of wakes, and answers to asynchronous puts.
 */
#include <stdlib.h>

#include "queue_state.h"

/* Frees the packets whose wakes are all handed out. While a handler runs, it frees none, because
 * the handler uses the payload in its packet. */
static void trim_wakes(struct toytimer_queue *q)
{
	struct queue_wakes *wakes;

	if (q->base.session.dispatch.running)
		return;
	while ((wakes = q->wakes) && (wakes->stale || wakes->given == wakes->packet.header.count)) {
		q->wakes = wakes->next;
		if (!q->wakes)
			q->wakes_end = &q->wakes;
		free(wakes);
	}
}

void queue_drop_wakes(struct toytimer_queue *q)
{
	for (struct queue_wakes *wakes = q->wakes; wakes; wakes = wakes->next)
		wakes->stale = true;
	trim_wakes(q);
}

bool queue_has_event(struct session *s)
{
	struct toytimer_queue *q = queue_of(s);

	trim_wakes(q);
	return q->completions || q->wakes;
}

/* timerqd has answered the acknowledgement of a wake. */
static void finish_wake(struct toytimer_queue *q, const toytimer_wake_ref *wake, int error)
{
	struct held *held = helds_find(&q->helds, wake);

	if (!held || held->state != HELD_ACKING)
		return;
	/* If timerqd took the wake back (ack_within), it comes again. */
	if (error == 0)
		helds_remove(&q->helds, held);
	else
		helds_set_state(&q->helds, held, HELD_ACKED);
}

static void complete(struct toytimer_queue *q, struct queue_completion *completion,
	const struct queue_result *result)
{
	completion->stored = (toytimer_queue_stored){
		.error = result->error,
		.replaced = (result->flags & PROTO_QUEUE_REPLACED) != 0,
		.kept = (result->flags & PROTO_QUEUE_KEPT) != 0,
		.id = result->id,
		.due = result->due,
	};
	completion->next = NULL;
	*q->completions_end = completion;
	q->completions_end = &completion->next;
}

void queue_finish_slot(
	struct toytimer_queue *q, struct queue_slot *slot, const struct queue_result *result)
{
	struct queue_batch *batch = slot->batch;

	if (slot->wake.id)
		finish_wake(q, &slot->wake, result->error);
	if (slot->completion)
		complete(q, slot->completion, result);
	slot->completion = NULL;
	if (!batch)
		return;
	if (batch->results)
		batch->results[slot->index] = *result;
	batch->pending--;
	slot->batch = NULL;
}
