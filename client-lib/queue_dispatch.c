/* SPDX-License-Identifier: MIT */
/*
 * Calls the handlers of a queue handle: for wakes, and for answers to asynchronous puts.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "handler.h"
#include "queue_state.h"

bool queue_run_ends(const struct session *s)
{
	const struct toytimer_queue *q = queue_of(s);

	return !q->consumers && !q->handlers && !s->dispatch.running;
}

int queue_ack_later(struct toytimer_queue *q, const toytimer_wake_ref *wake)
{
	const struct proto_queue_ack ack = {
		.id = wake->id,
		.term = wake->term,
		.number = wake->number,
		.queue = wake->queue,
	};
	struct queue_request *r;
	struct queue_slot *slot;
	int error = queue_filling(q, PROTO_QUEUE_ACK, 0, &r);

	if (error < 0)
		return error;
	slot = queue_request_slot(r);
	if (!slot)
		return -ENOMEM;
	slot->wake = *wake;
	queue_codec_put(&r->writer, &ack);
	r->count++;
	return 0;
}

/* Whether the program has the wake or had it: see queue_held.h. A new wake is noted. Return: 1: the
 * wake is new, 0: it is a repeat, or -ENOMEM: a repeat cannot be acknowledged yet. */
static int note_wake(struct toytimer_queue *q, const toytimer_wake_ref *ref)
{
	struct held *held = helds_find(&q->helds, ref);
	bool repeat = held;
	int r = 0;

	if (!held)
		held = helds_add(&q->helds, ref);
	if (!held) /* a repeat will not be recognised */
		return 1;
	held->ref.term = ref->term;
	held->connection = q->base.session.connection.times;
	if (held->state == HELD_ACKED) {
		r = queue_ack_later(q, ref);
		if (r == 0)
			helds_set_state(&q->helds, held, HELD_ACKING);
	}
	return r ?: !repeat;
}

/* A wake with terminated strings, and its handler. */
struct handing {
	struct toytimer_queue *q;
	toytimer_wake_handler handler;
	void *userdata;
	toytimer_wake wake;
	char queue[sizeof(((struct queue_use *)0)->given)];
	char label[PROTO_LABEL_MAX + 1];
	char key[PROTO_QUEUE_KEY_MAX + 1];
};

static int hand_out_wake(struct toytimer *t, void *argument)
{
	struct handing *h = argument;

	(void)t;
	return h->handler(h->q, &h->wake, h->userdata);
}

/* Return: 1: hand out the wake, 0: skip it, or -ENOMEM: try again later. */
static int prepare(
	struct toytimer_queue *q, const struct queue_wakes *wakes, uint32_t i, struct handing *ret)
{
	const struct queue_use *use;
	struct proto_queue_wake w;
	const char *data;

	queue_codec_get(&wakes->packet, i, &w);
	if (w.queue < 1 || w.queue > q->use_count || w.key_size > PROTO_QUEUE_KEY_MAX ||
		w.clock >= PROTO_CLOCKS)
		return 0;
	use = &q->uses[w.queue - 1];
	data = queue_codec_bytes(&wakes->packet, w.data);
	*ret = (struct handing){
		.q = q,
		.handler = use->consumer.handler,
		.userdata = use->consumer.userdata,
		.wake =
			{
				.ref =
					{
						.id = w.id,
						.term = w.term,
						.number = w.number,
						.queue = w.queue,
					},
				.due = w.due,
				.late = w.late,
				.overruns = w.overruns,
				.attempt = w.attempt,
				.last = w.flags & PROTO_WAKE_LAST,
				.clock = (enum toytimer_clock)w.clock,
				.payload = data + w.key_size,
				.payload_size = w.payload_size,
			},
	};
	memcpy(ret->queue, use->given, sizeof(ret->queue));
	memcpy(ret->label, w.label, sizeof(w.label));
	memcpy(ret->key, data, w.key_size);
	ret->wake.queue = ret->queue;
	ret->wake.label = ret->label;
	ret->wake.key = ret->key;
	return use->consumed && wakes->number > use->since ? note_wake(q, &ret->wake.ref) : 0;
}

static int hand_out_completion(struct toytimer *t, void *argument)
{
	struct queue_completion *c = argument;

	return c->handler(queue_of(&t->session), &c->stored, c->userdata);
}

static int dispatch_completion(struct toytimer_queue *q, int *ret_result)
{
	struct queue_completion *first = q->completions, completion = *first;

	q->completions = first->next;
	if (!q->completions)
		q->completions_end = &q->completions;
	q->handlers--;
	free(first);
	return handler_call(&q->base, 0, hand_out_completion, &completion, ret_result);
}

int queue_dispatch(struct toytimer *t, int *ret_result)
{
	struct toytimer_queue *q = queue_of(&t->session);

	if (q->completions)
		return dispatch_completion(q, ret_result);
	while (queue_has_event(&t->session)) {
		struct queue_wakes *wakes = q->wakes;
		struct handing h;
		int r = prepare(q, wakes, wakes->given, &h);

		if (r < 0)
			return r;
		wakes->given++;
		if (r > 0)
			return handler_call(t, 0, hand_out_wake, &h, ret_result);
	}
	return 0;
}
