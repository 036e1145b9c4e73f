/* SPDX-License-Identifier: MIT */
/*
 * Changes gathered into transactions. What arrives while one is synced is the next one.
 *
 * A transaction that finds no space is taken apart: puts and what else asks for an answer of its own
 * are refused by name, and what was said of wakes (acknowledged, retried, given back, parked) waits
 * and is tried again. The same where the store has failed: then nothing is answered as stored.
 */
#include <errno.h>
#include <stdlib.h>

#include "state.h"

/* Changes of one transaction: a few milliseconds of work, so that the next one is not far. */
#define CHANGES_MAX 16384

struct change *commits_add(struct broker *b, enum store_change_type type)
{
	struct change *change = calloc(1, sizeof(*change));

	if (!change)
		return NULL;
	change->c.type = type;
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
		change->c.now[i] = b->now.at[i];
	*(b->last ? &b->last->next : &b->first) = change;
	b->last = change;
	return change;
}

static uint32_t refusal_of(int error, const struct store *store)
{
	const char *why;

	if (error == -ENOSPC)
		return PROTO_Q_STORE_FULL;
	return store->ops->state(store, &why) == STORE_AWAY ? PROTO_Q_STORE_AWAY
							    : PROTO_Q_STORE_FAILED;
}

/* What the rows of other timers in memory have to know. */
static void note_rows(struct broker *b, const struct change *change)
{
	const struct store_change *c = &change->c;
	struct queue *queue = queue_find(b, c->timer.queue);
	struct store_timer row = c->timer;
	struct wake *wake;

	if (!queue || c->status)
		return;
	switch (c->type) {
	case STORE_PUT:
		wake = c->replaced ? wake_find(b, c->replaced) : NULL;
		if (wake)
			consumer_timer_gone(b, row.queue, c->replaced);
		if (c->flags & PROTO_QUEUE_KEPT)
			return;
		row.id = row.timer = c->id;
		lane_add(b, &queue->lanes[row.clock], &row, NULL);
		return;
	case STORE_CANCEL:
		consumer_timer_gone(b, row.queue, c->id);
		return;
	case STORE_RESCHEDULE:
		consumer_timer_gone(b, row.queue, c->id);
		lane_reset(b, &queue->lanes[c->clock]);
		return;
	case STORE_REVIVE:
		for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
			lane_reset(b, &queue->lanes[i]);
		return;
	default:
		return;
	}
}

static void answered(struct broker *b, struct change *change, int error, uint32_t refusal)
{
	uint32_t status = error ? refusal : change->c.status;

	if (!error && change->wake) {
		b->counts.acknowledged += !change->missed && !status &&
			(change->c.type == STORE_REMOVE || change->c.type == STORE_ADVANCE);
	} else if (!error && !status) {
		b->counts.stored += change->c.type == STORE_PUT;
		b->counts.dropped += change->c.type == STORE_CANCEL ? change->c.removed : 0;
		note_rows(b, change);
	}
	if (change->wake)
		consumer_changed(b, change, error);
	if (change->request)
		request_changed(b, change, status);
	free(change);
}

static void done(struct store_commit *commit, int error)
{
	struct broker *b = commit->userdata;
	struct change *change = b->committing, *again = NULL, **last = &again, *next;
	uint32_t refusal = error ? refusal_of(error, b->store) : 0;

	b->committing = NULL;
	if (error)
		b->retry_commit = b->now.real + BROKER_RETRY_US;
	for (; change; change = next) {
		next = change->next;
		change->next = NULL;
		change->c.next = NULL;
		if (error && change->wake) {
			*last = change;
			last = &change->next;
		} else {
			answered(b, change, error, refusal);
		}
	}
	/* What waits goes before what came later. */
	*last = b->first;
	if (!b->last && again)
		for (b->last = again; b->last->next; b->last = b->last->next)
			;
	b->first = again ? again : b->first;
}

/* Refuses at once what the store would refuse, while it is full or has failed. Return: whether
 * anything is left to be tried now. */
static bool refuse_early(struct broker *b)
{
	const char *why;
	enum store_state state = b->store->ops->state(b->store, &why);
	struct change **at = &b->first, *change;
	uint32_t refusal = state == STORE_FULL ? PROTO_Q_STORE_FULL
		: state == STORE_AWAY	       ? PROTO_Q_STORE_AWAY
					       : PROTO_Q_STORE_FAILED;

	if (state == STORE_OK || b->now.real >= b->retry_commit)
		return b->first;
	b->last = NULL;
	while ((change = *at)) {
		if (change->wake) {
			b->last = change;
			at = &change->next;
		} else {
			*at = change->next;
			answered(b, change, -EIO, refusal);
		}
	}
	return false;
}

/* Parts off the next transaction. */
static struct change *take(struct broker *b)
{
	struct change *first = b->first, *change = first;

	for (size_t n = 1; n < CHANGES_MAX && change->next; n++)
		change = change->next;
	/* A packet's changes stay together: its serial is stored with all of them. */
	while (change->next && change->request && change->next->request == change->request)
		change = change->next;
	b->first = change->next;
	if (!b->first)
		b->last = NULL;
	change->next = NULL;
	return first;
}

int commits_begin(struct broker *b)
{
	struct store_put **put = &b->commit.puts;
	const struct request *noted = NULL;
	int r;

	if (b->committing || !b->first || !refuse_early(b))
		return 0;
	b->committing = take(b);
	*put = NULL;
	for (struct change *change = b->committing; change; change = change->next) {
		struct request *request = change->request;

		change->c.next = change->next ? &change->next->c : NULL;
		if (!request || !request->is_put || request == noted)
			continue;
		noted = request;
		request->put.next = NULL;
		*put = &request->put;
		put = &request->put.next;
	}
	b->commit.changes = &b->committing->c;
	b->commit.clocks = b->now.clocks;
	b->commit.done = done;
	b->commit.userdata = b;
	r = b->store->ops->commit(b->store, &b->commit);
	if (r)
		done(&b->commit, r);
	return r == -EBUSY || r == -ENOMEM ? 0 : r;
}
