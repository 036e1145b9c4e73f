/* SPDX-License-Identifier: MIT */
/*
 * Consumers: windows, deliveries, and what becomes of a wake.
 *
 *	loaded --delivered--> unacked --acknowledged--> its row goes, or becomes the next wake's
 *	   ^                     |------retried-------> ready later, attempt + 1; or parked
 *	   |                     |------detached------> loaded again, uncounted
 *	   |                     '------left, overdue-> attempt + 1 (of the oldest), or parked
 *	   '--- once the store has said that the row changed, "changing" ends
 *
 * A wake fills its consumer's window until its row has changed: what is not stored keeps its place.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

/* Packets that one call delivers, so that requests and the store have their turn in between. */
#define SLICE_PACKETS 16

/* Packets to one queue before the next one has its turn. */
#define QUEUE_PACKETS 4

static uint64_t late_of(const struct broker *b, const struct wake *wake)
{
	uint64_t now = b->now.at[wake->t.clock];

	return now > wake->t.due ? now - wake->t.due : 0;
}

static uint64_t overruns_of(const struct broker *b, const struct wake *wake)
{
	return wake->t.every ? late_of(b, wake) / wake->t.every : 0;
}

/* The due of the wake that follows one that stands for `overruns` further periods; PROTO_FOREVER:
 * none follows. */
static uint64_t next_due(const struct wake *wake, uint64_t overruns)
{
	const struct store_timer *t = &wake->t;
	uint64_t span, due;

	if (!t->every || (t->count && t->number >= t->count))
		return PROTO_FOREVER;
	if (__builtin_mul_overflow(t->every, overruns + 1, &span) ||
		__builtin_add_overflow(t->due, span, &due) || due > INT64_MAX)
		return PROTO_FOREVER;
	return due;
}

/* Takes an unacknowledged wake off its consumer's list; it still fills the window. */
static void unlink_unacked(struct wake *wake)
{
	struct consumer *c = wake->consumer;

	*(wake->prev ? &wake->prev->next : &c->oldest) = wake->next;
	*(wake->next ? &wake->next->prev : &c->newest) = wake->prev;
	wake->next = wake->prev = NULL;
}

/* The wake fills nobody's window any more. */
static void leave_window(struct wake *wake)
{
	if (wake->consumer)
		wake->consumer->used--;
	wake->consumer = NULL;
}

static void end_unacked(struct broker *b, struct wake *wake)
{
	unlink_unacked(wake);
	wake->lane->queue->unacked--;
	b->counts.unacked--;
}

/* The wake goes back, as if it had not been delivered. */
static void give_back(struct broker *b, struct wake *wake)
{
	struct lane *lane = wake->lane;

	end_unacked(b, wake);
	leave_window(wake);
	if (wake->gone)
		wake_free(b, wake);
	else
		lane_add(b, lane, &wake->t, wake);
}

/* Asks the store to change the wake's row. Return: NULL, with the wake back in its lane: no
 * memory. */
static struct change *change_row(struct broker *b, struct wake *wake, enum store_change_type type)
{
	struct change *change = commits_add(b, type);

	if (!change)
		return NULL;
	change->wake = wake;
	change->c.timer.queue = wake->t.queue;
	change->c.timer.id = wake->t.id;
	change->c.timer.number = wake->t.number;
	change->c.timer.ready = wake->t.ready;
	change->c.timer.attempt = wake->t.attempt;
	wake->state = WAKE_CHANGING;
	wake->lane->queue->changing++;
	return change;
}

static bool used_up(const struct wake *wake, const struct consumer *c, uint32_t attempts)
{
	uint32_t most = wake->t.max_attempts;

	if (c->max_attempts && (!most || c->max_attempts < most))
		most = c->max_attempts;
	return most && attempts >= most;
}

/* An attempt failed: the wake comes again from `ready` on, or is parked. Return: the change, or NULL:
 * no memory, and the wake is unacknowledged as before. */
static struct change *count_attempt(struct broker *b, struct wake *wake, uint64_t ready)
{
	uint32_t attempts = wake->t.attempt + 1;
	bool park = used_up(wake, wake->consumer, attempts);
	struct change *change = change_row(b, wake, park ? STORE_PARK : STORE_DELAY);

	if (!change)
		return NULL;
	end_unacked(b, wake);
	change->c.timer.attempt = attempts;
	change->c.timer.ready = ready;
	change->c.timer.due = next_due(wake, wake->overruns);
	return change;
}

/* A wake that is too late for its first delivery. */
static void miss(struct broker *b, struct wake *wake)
{
	uint64_t overruns = overruns_of(b, wake);
	uint64_t due = next_due(wake, overruns);
	bool periodic = wake->t.every != 0;
	enum store_change_type type = !periodic ? STORE_PARK
		: due == PROTO_FOREVER		? STORE_REMOVE
						: STORE_ADVANCE;
	struct change *change = change_row(b, wake, type);

	if (!change)
		return;
	lane_remove(wake->lane, wake);
	wake->state = WAKE_CHANGING;
	change->c.timer.due = periodic ? due : PROTO_FOREVER;
	change->missed = true;
	b->counts.missed++;
}

static bool is_too_late(const struct broker *b, const struct wake *wake)
{
	return wake->t.max_late != PROTO_FOREVER && wake->t.attempt == 0 &&
		wake->t.timer == wake->t.id && late_of(b, wake) > wake->t.max_late;
}

/* Of the lanes' first wakes the one that has been ready for longest; NULL: none is ready. */
static struct wake *oldest_ready(const struct broker *b, const struct queue *queue)
{
	struct wake *oldest = NULL;
	uint64_t longest = 0;

	for (unsigned int i = 0; i < PROTO_CLOCKS; i++) {
		struct wake *wake = lane_ready(b, &queue->lanes[i]);
		uint64_t since = wake ? b->now.at[i] - wake->t.ready : 0;

		if (wake && (!oldest || since > longest)) {
			oldest = wake;
			longest = since;
		}
	}
	return oldest;
}

static bool has_room(const struct consumer *c)
{
	return c->used < c->window && !c->client->blocked && !c->client->closing;
}

/* The queue's next consumer with room, which becomes its last; NULL: none has. */
static struct consumer *next_consumer(struct queue *queue)
{
	struct consumer **at = &queue->consumers, *c;

	while (*at && !has_room(*at))
		at = &(*at)->next_of_queue;
	c = *at;
	if (!c || !c->next_of_queue)
		return c;
	*at = c->next_of_queue;
	while (*at)
		at = &(*at)->next_of_queue;
	*at = c;
	c->next_of_queue = NULL;
	return c;
}

static void write_wake(
	struct broker *b, struct wake *wake, const struct consumer *c, struct queue_codec_writer *w)
{
	const struct store_timer *t = &wake->t;
	struct proto_queue_wake record = {
		.id = t->timer,
		.due = t->due,
		.late = late_of(b, wake),
		.overruns = overruns_of(b, wake),
		.number = t->number,
		.attempt = t->attempt + 1,
		.queue = c->number,
		.data = queue_codec_add_bytes(w, wake->data, (size_t)t->key_size + t->payload_size),
		.payload_size = t->payload_size,
		.key_size = t->key_size,
		.clock = t->clock,
	};

	wake->overruns = record.overruns;
	if (next_due(wake, wake->overruns) == PROTO_FOREVER)
		record.flags = PROTO_WAKE_LAST;
	memcpy(record.label, t->label, sizeof(record.label));
	queue_codec_put(w, &record);
}

/* Puts ready wakes into a packet for the consumer, as many as its window and the packet hold. They
 * stay in their lanes. Return: how many. */
static uint32_t gather(struct broker *b, struct consumer *c, struct wake **wakes)
{
	struct queue *queue = c->queue;
	struct queue_codec_writer w;
	uint32_t n = 0;
	struct wake *wake;

	queue_codec_begin(&w, b->out, PROTO_QUEUE_WAKE, 0);
	while (c->used + n < c->window && (wake = oldest_ready(b, queue))) {
		if (is_too_late(b, wake)) {
			miss(b, wake);
			if (wake->state != WAKE_CHANGING)
				break;
			continue;
		}
		if (!queue_codec_fits(&w, (size_t)wake->t.key_size + wake->t.payload_size))
			break;
		write_wake(b, wake, c, &w);
		lane_remove(wake->lane, wake);
		wakes[n++] = wake;
	}
	if (n)
		b->out_size = queue_codec_end(&w, 0);
	return n;
}

/* The packet was sent: its wakes are the consumer's. */
static void delivered(struct broker *b, struct consumer *c, struct wake **wakes, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct wake *wake = wakes[i];

		wake->state = WAKE_UNACKED;
		wake->consumer = c;
		wake->sent_real = b->now.real;
		wake->prev = c->newest;
		wake->next = NULL;
		*(c->newest ? &c->newest->next : &c->oldest) = wake;
		c->newest = wake;
	}
	c->used += n;
	c->queue->unacked += n;
	b->counts.unacked += n;
	b->counts.delivered += n;
}

/* One packet to one consumer of the queue. Return: whether one was sent. */
static bool deliver_packet(struct broker *b, struct queue *queue)
{
	struct wake *wakes[PROTO_RECORDS_MAX(struct proto_queue_wake)];
	struct consumer *c;
	uint32_t n;
	int r;

	if (!oldest_ready(b, queue))
		return false;
	c = next_consumer(queue);
	if (!c)
		return false;
	n = gather(b, c, wakes);
	if (!n)
		return false;
	r = b->outlet->send(b->outlet->userdata, c->client->number, b->out, b->out_size);
	if (!r) {
		delivered(b, c, wakes, n);
		return true;
	}
	if (r == -EAGAIN)
		c->client->blocked = true;
	else
		c->client->closing = true;
	for (uint32_t i = 0; i < n; i++)
		lane_add(b, wakes[i]->lane, &wakes[i]->t, wakes[i]);
	return true; /* another consumer may have room */
}

bool consumers_deliver(struct broker *b)
{
	struct queue *begun = b->turn ? b->turn : b->queues, *queue = begun;
	unsigned int packets = 0;
	bool more = false;

	if (!queue)
		return false;
	do {
		unsigned int n = 0;

		while (!queue->dead && n < QUEUE_PACKETS && packets < SLICE_PACKETS &&
			deliver_packet(b, queue)) {
			n++;
			packets++;
		}
		more = more || n == QUEUE_PACKETS;
		queue = queue->next ? queue->next : b->queues;
	} while (queue != begun && packets < SLICE_PACKETS);
	b->turn = queue;
	return more || packets >= SLICE_PACKETS;
}

uint32_t consumer_attach(
	struct client *client, const struct proto_queue_consume *request, struct broker *b)
{
	const struct opened *opened = &client->queues[request->queue - 1];
	struct queue *queue;
	struct consumer *c;

	if (request->window < 1 || request->window > PROTO_QUEUE_WINDOW_MAX)
		return PROTO_Q_WINDOW;
	for (c = client->consumers; c; c = c->next_of_client)
		if (c->queue->number == opened->number)
			return PROTO_Q_ATTACHED;
	queue = queue_get(b, opened->number, opened->uid);
	c = queue ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		if (queue && !queue->consumers)
			queue_release(b, queue);
		return PROTO_E_DESCRIPTORS;
	}
	*c = (struct consumer){
		.client = client,
		.queue = queue,
		.next_of_queue = queue->consumers,
		.next_of_client = client->consumers,
		.number = request->queue,
		.window = request->window,
		.max_attempts = request->max_attempts,
		.ack_within = request->ack_within,
	};
	queue->consumers = client->consumers = c;
	return PROTO_OK;
}

void consumer_detach(struct broker *b, struct consumer *c, bool count)
{
	struct queue *queue = c->queue;
	struct consumer **at;

	if (count && c->oldest && !c->oldest->gone)
		count_attempt(b, c->oldest, c->oldest->t.ready);
	while (c->oldest)
		give_back(b, c->oldest);
	/* What is being changed fills nobody's window from now on. */
	for (size_t i = 0; c->used && i < b->wake_room; i++)
		for (struct wake *wake = b->wakes[i]; wake; wake = wake->hash_next)
			if (wake->consumer == c)
				leave_window(wake);
	for (at = &queue->consumers; *at != c; at = &(*at)->next_of_queue)
		;
	*at = c->next_of_queue;
	for (at = &c->client->consumers; *at != c; at = &(*at)->next_of_client)
		;
	*at = c->next_of_client;
	free(c);
	if (!queue->consumers)
		queue_release(b, queue);
}

static struct consumer *consumer_of(const struct client *client, uint32_t number)
{
	struct consumer *c = client->consumers;

	while (c && c->number != number)
		c = c->next_of_client;
	return c;
}

/* The wake that this client has; NULL: it has none of that name. */
static struct wake *find_unacked(
	struct client *client, uint32_t queue, uint64_t timer, uint32_t number)
{
	struct consumer *c = consumer_of(client, queue);
	struct wake *wake;

	if (!c)
		return NULL;
	wake = wake_find(c->queue->broker, timer);
	if (wake && wake->state == WAKE_UNACKED && wake->consumer == c && wake->t.number == number)
		return wake;
	/* A revived wake has a row of another id. There are few. */
	for (wake = c->oldest; wake; wake = wake->next)
		if (wake->t.timer == timer && wake->t.number == number)
			return wake;
	return NULL;
}

/* A wake whose timer was cancelled or replaced while it was with its consumer. */
static bool drop_gone(struct broker *b, struct wake *wake)
{
	if (!wake->gone)
		return false;
	give_back(b, wake);
	return true;
}

uint32_t consumer_ack(struct broker *b, struct client *client, const struct proto_queue_ack *ack,
	struct request *request, uint32_t record)
{
	struct wake *wake = find_unacked(client, ack->queue, ack->id, ack->number);
	struct change *change;
	uint64_t due;

	if (!wake || ack->term || drop_gone(b, wake))
		return PROTO_E_NO_SUCH_TIMER;
	due = next_due(wake, wake->overruns);
	change = change_row(b, wake, due == PROTO_FOREVER ? STORE_REMOVE : STORE_ADVANCE);
	if (!change)
		return PROTO_E_DESCRIPTORS;
	end_unacked(b, wake);
	change->c.timer.due = due;
	change->request = request;
	change->record = record;
	return PROTO_OK;
}

uint32_t consumer_retry(struct broker *b, struct client *client,
	const struct proto_queue_retry *retry, struct request *request, uint32_t record)
{
	struct wake *wake = find_unacked(client, retry->queue, retry->id, retry->number);
	struct change *change;
	uint64_t ready;

	if (!wake || retry->term || drop_gone(b, wake))
		return PROTO_E_NO_SUCH_TIMER;
	if (__builtin_add_overflow(b->now.at[wake->t.clock], retry->delay, &ready) ||
		ready > INT64_MAX)
		return PROTO_E_RANGE;
	change = count_attempt(b, wake, ready);
	if (!change)
		return PROTO_E_DESCRIPTORS;
	change->request = request;
	change->record = record;
	b->counts.retried++;
	return PROTO_OK;
}

void consumers_take_overdue(struct broker *b)
{
	for (struct queue *queue = b->queues; queue; queue = queue->next)
		for (struct consumer *c = queue->consumers; c; c = c->next_of_queue)
			while (c->ack_within && c->oldest &&
				b->now.real - c->oldest->sent_real >= c->ack_within) {
				struct wake *wake = c->oldest;

				/* The consumer hangs: the wake does not fill its window. */
				if (drop_gone(b, wake))
					continue;
				if (!count_attempt(b, wake, b->now.at[wake->t.clock]))
					break;
				leave_window(wake);
			}
}

void consumer_changed(struct broker *b, struct change *change, int error)
{
	struct wake *wake = change->wake;
	struct lane *lane = wake->lane;
	struct queue *queue = lane->queue;
	const struct store_change *c = &change->c;
	struct store_timer row = wake->t;

	queue->changing--;
	leave_window(wake);
	if (queue->dead) {
		wake_free(b, wake);
		queue_release(b, queue);
		return;
	}
	if (error || wake->gone || c->status) {
		/* Nothing of it stands: the wake is as it was. Or its row has gone. */
		if (error && !wake->gone)
			lane_add(b, lane, &row, wake);
		else
			wake_free(b, wake);
		return;
	}
	row.attempt = 0;
	row.number++;
	row.due = row.ready = c->timer.due;
	switch (c->type) {
	case STORE_DELAY:
		row = wake->t;
		row.ready = c->timer.ready;
		row.attempt = c->timer.attempt;
		break;
	case STORE_ADVANCE:
		break;
	case STORE_PARK:
		if (c->timer.due != PROTO_FOREVER)
			break;
		/* fallthrough */
	default:
		wake_free(b, wake);
		return;
	}
	wake->t = row;
	lane_add(b, lane, &wake->t, wake);
}

static void wake_gone(struct broker *b, struct wake *wake)
{
	if (wake->state == WAKE_LOADED) {
		lane_remove(wake->lane, wake);
		wake_free(b, wake);
		return;
	}
	/* Its acknowledgement will be answered "no such timer". */
	wake->gone = true;
}

void consumer_timer_gone(struct broker *b, uint32_t number, uint64_t timer)
{
	struct queue *queue = queue_find(b, number);
	struct wake *wake = wake_find(b, timer);

	if (wake)
		wake_gone(b, wake);
	if (!queue || !queue->revived)
		return;
	/* Revived wakes have rows of other ids. */
	for (struct consumer *c = queue->consumers; c; c = c->next_of_queue)
		for (wake = c->oldest; wake; wake = wake->next)
			if (wake->t.timer == timer)
				wake->gone = true;
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
		for (wake = queue->lanes[i].first; wake;) {
			struct wake *next = wake->next;

			if (wake->t.timer == timer)
				wake_gone(b, wake);
			wake = next;
		}
}

void consumer_queue_gone(struct broker *b, uint32_t number)
{
	struct queue *queue = queue_find(b, number);

	if (!queue)
		return;
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
		lane_reset(b, &queue->lanes[i]);
	for (size_t i = 0; i < b->wake_room; i++)
		for (struct wake *wake = b->wakes[i]; wake; wake = wake->hash_next)
			if (wake->lane->queue == queue)
				wake->gone = true;
}
