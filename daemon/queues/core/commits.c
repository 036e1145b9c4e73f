/* SPDX-License-Identifier: MIT */
/*
 * Changes gathered into transactions. Changes that arrive during a sync go into the next
 * transaction. It begins before the changes of the last one are answered, because many answers take
 * as long as a sync.
 *
 * A store without space refuses changes that need space, by name. Changes that give space back
 * (ends of wakes, cancels) wait. They are tried once a second in a transaction of their own,
 * because a put would make it fail.
 *
 * A store that has failed otherwise keeps changes of wakes waiting and refuses all others: nothing
 * is answered as stored.
 */
#include "commits.h"

#include <errno.h>
#include <stdlib.h>

#include "lanes.h"
#include "locked.h"
#include "outcomes.h"
#include "puts.h"
#include "queue_table.h"
#include "requests.h"

/* Changes of one transaction: some ten milliseconds of work, so that the next one need not wait
 * long. */
#define CHANGES_MAX 4096
#define CHANGES_MIN 64

/* If there are more changes, the next transaction is chosen from the first ones: as many as fit
 * into CANDIDATE_COMMITS transactions. This bounds the time of the choice. */
#define CANDIDATE_COMMITS 4

/* The clocks are stored with each commit. Without a commit they are stored after CLOCKS_US, or when
 * the wall clock was set by more than SET_US, but only if the machine is awake. Microseconds. */
#define CLOCKS_US UINT64_C(60000000)
#define SET_US	  INT64_C(1000000)

static enum store_state state_of_store(const struct broker *b)
{
	const char *why;

	return b->store->ops->state(b->store, &why);
}

static bool is_full(const struct broker *b, int error)
{
	return error == -ENOSPC || error == -EDQUOT || state_of_store(b) == STORE_FULL;
}

static uint32_t refusal_of(const struct broker *b, int error)
{
	if (error == -EINPROGRESS)
		return PROTO_Q_STORE_UNKNOWN;
	if (is_full(b, error))
		return PROTO_Q_STORE_FULL;
	if (error == -ENOMEM)
		return PROTO_E_DESCRIPTORS;
	return state_of_store(b) == STORE_AWAY ? PROTO_Q_STORE_AWAY : PROTO_Q_STORE_FAILED;
}

/* Whether a change that could not be stored waits; if not, it is refused. */
static bool waits(const struct change *change, bool full)
{
	return change->wake || (full && change->c.type == STORE_CANCEL);
}

/* A row was removed. It was in memory, or beyond the horizon of one of the lanes. */
static void row_removed(struct broker *b, struct queue *queue, uint64_t id)
{
	if (wake_row_gone(b, id))
		return;
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
		lane_recheck_beyond(&queue->lanes[i]);
}

static void note_put(struct broker *b, struct queue *queue, const struct store_change *c)
{
	struct store_timer row = c->timer;

	if (c->flags & PROTO_QUEUE_KEPT)
		return;
	if (c->replaced)
		row_removed(b, queue, c->replaced);
	row.id = row.timer = c->id;
	lane_add(b, &queue->lanes[row.clock], &row, NULL);
}

/* A row has moved within its lane. It was not in memory, or now belongs to another wake. */
static void note_moved(struct broker *b, struct lane *lane, const struct store_change *c)
{
	if (lane_reaches(lane, c->due, c->replaced))
		lane_reset(b, lane);
	else
		lane_note_beyond(lane, c->due, c->timer_flags);
	queue_touch(lane->queue);
}

/* Brings memory up to date with a row that a client has changed by its id or key. */
static void note_rows(struct broker *b, const struct change *change)
{
	const struct store_change *c = &change->c;
	struct queue *queue = queue_find(b, c->timer.queue);

	if (!queue || !queue->consumers)
		return;
	switch (c->type) {
	case STORE_PUT:
		note_put(b, queue, c);
		return;
	case STORE_CANCEL:
		row_removed(b, queue, c->id);
		if (!c->timer.key_size)
			wakes_revived_gone(b, queue, c->id);
		return;
	case STORE_RESCHEDULE:
		row_removed(b, queue, c->replaced);
		note_moved(b, &queue->lanes[c->clock], c);
		return;
	case STORE_REVIVE:
		lane_reset(b, &queue->lanes[c->clock]);
		return;
	default:
		return;
	}
}

/* It is not known whether the change was stored. A client with a token is disconnected and gets no
 * answer: it connects again and repeats the puts that the store does not know. */
static void forget_answer(struct broker *b, const struct change *change)
{
	const struct request *request = change->request;

	if (request && request->is_put)
		puts_note_unsure(b, request->put.token);
	if (request && request->is_put && request->client && !request->client->closing) {
		request->client->closing = true;
		if (b->outlet->end)
			b->outlet->end(b->outlet->userdata, request->client->number);
	}
	/* The wake's row is read again when the store answers again. */
	if (change->wake)
		change->wake->unsure = true;
}

/* A refused put may have been sent before. Then it is not known whether it was stored. */
static uint32_t refusal_for(const struct broker *b, const struct change *change, uint32_t refusal)
{
	const struct request *request = change->request;

	if (refusal != PROTO_Q_STORE_FAILED && refusal != PROTO_Q_STORE_AWAY)
		return refusal;
	return request && request->is_put && puts_are_unsure(b, request->put.token)
		? PROTO_Q_STORE_UNKNOWN
		: refusal;
}

static void answered(struct broker *b, struct change *change, uint32_t refusal)
{
	const struct store_change *c = &change->c;
	uint32_t status = refusal ? refusal_for(b, change, refusal) : c->status;
	struct user *user = change->wake ? change->wake->lane->queue->user : NULL;

	if (!status && change->wake && !change->missed)
		BROKER_COUNT(
			b, user, acknowledged, c->type == STORE_REMOVE || c->type == STORE_ADVANCE);
	if (!status && change->request && !change->wake) {
		BROKER_COUNT(b, change->request->user, stored, c->type == STORE_PUT);
		if (c->type == STORE_CANCEL)
			BROKER_COUNT(b, change->request->user, dropped, c->removed);
		note_rows(b, change);
	}
	if (change->wake)
		wake_changed(b, change);
	if (change->request)
		request_changed(b, change, status);
	free(change);
}

/* A transaction that took longer than the store allows is not tried as a whole again: the next one
 * is half as large. */
static void fit(struct broker *b, int error)
{
	if (error == -ETIMEDOUT && b->changes_max > CHANGES_MIN)
		b->changes_max /= 2;
	else if (!error && b->changes_max < CHANGES_MAX)
		b->changes_max *= 2;
}

static void done(struct store_commit *commit, int error)
{
	struct broker *b = commit->userdata;
	struct change *change = b->committing, *again = NULL, **last = &again, *next;
	uint32_t refusal = error ? refusal_of(b, error) : 0;
	bool full = error && is_full(b, error);

	b->committing = NULL;
	b->commit_under_way = false;
	b->commits++;
	fit(b, error);
	if (!error)
		change = locked_keep(b, change);
	if (error)
		b->retry_commit = b->now.real + BROKER_RETRY_US;
	/* The disk works on the next transaction while the clients of this one are answered. */
	else
		commits_begin(b);
	for (; change; change = next) {
		next = change->next;
		change->next = NULL;
		change->c.next = NULL;
		if (error == -EINPROGRESS)
			forget_answer(b, change);
		if (error && waits(change, full)) {
			*last = change;
			last = &change->next;
		} else {
			/* `locked` stays set from an earlier attempt if this one has failed. */
			bool locked = !error && change->c.locked;

			answered(b, change, locked ? PROTO_Q_STORE_AWAY : refusal);
		}
	}
	/* Waiting changes go before later changes. */
	if (!again)
		return;
	*last = b->first;
	b->first = again;
	for (b->last = again; b->last->next; b->last = b->last->next)
		;
}

static bool has_waiting(const struct broker *b)
{
	const struct change *change = b->first;

	while (change && !waits(change, true))
		change = change->next;
	return change;
}

static void refuse_others(struct broker *b, bool full)
{
	uint32_t refusal = refusal_of(b, -EIO);
	struct change *change = b->first, **at = &b->first, *next;

	b->first = b->last = NULL;
	for (; change; change = next) {
		next = change->next;
		change->next = NULL;
		if (waits(change, full)) {
			*at = change;
			at = &change->next;
			b->last = change;
		} else {
			answered(b, change, refusal);
		}
	}
}

/* A store that refuses is tried once a second. Return: whether to try now. */
static bool may_try(struct broker *b)
{
	enum store_state state = state_of_store(b);
	bool full = state == STORE_FULL;

	if (state == STORE_OK)
		return b->now.real >= b->retry_commit || !has_waiting(b);
	if (b->now.real < b->retry_commit || (full && has_waiting(b)))
		refuse_others(b, full);
	return b->now.real >= b->retry_commit;
}

static struct user *user_of(const struct change *change)
{
	return change->request ? change->request->user : change->wake->lane->queue->user;
}

/* Whether a change belongs to the put packet of the change before it. Such changes stay in one
 * transaction, because the packet's serial is stored with all of them. */
static bool is_same_put(const struct change *change, const struct change *before)
{
	return before && change->request && change->request == before->request &&
		change->request->opcode == PROTO_QUEUE_PUT;
}

/* Counts the users of the changes in front of `end`, and clears what user::taken counts. */
static size_t count_users(struct broker *b, const struct change *end)
{
	size_t users = 0;

	for (const struct change *change = b->first; change != end; change = change->next) {
		struct user *user = user_of(change);

		if (user->transaction == b->commits + 1)
			continue;
		user->transaction = b->commits + 1;
		user->taken = 0;
		users++;
	}
	return users;
}

/* Takes an equal share of each user off the list, in the order of the list, so that a user with
 * many changes does not delay another user's few. */
static struct change *take_shares(struct broker *b, struct change *end)
{
	size_t share = b->changes_max / count_users(b, end) ?: 1;
	struct change *first = NULL, **taken = &first, **left = &b->first;
	struct change *change = b->first, *before = NULL, *last_left = NULL, *next;

	for (; change != end; change = next) {
		struct user *user = user_of(change);

		next = change->next;
		if (is_same_put(change, before) || user->taken < share) {
			user->taken++;
			*taken = before = change;
			taken = &change->next;
		} else {
			*left = last_left = change;
			left = &change->next;
			before = NULL;
		}
	}
	*taken = NULL;
	*left = end;
	if (!end)
		b->last = last_left;
	return first;
}

/* Takes the changes of the next transaction off the list. */
static struct change *take(struct broker *b)
{
	struct change *first = b->first, *end = first, *before = NULL;
	size_t n = 0;

	b->changes_max = b->changes_max ?: CHANGES_MAX;
	while (end && (n < CANDIDATE_COMMITS * b->changes_max || is_same_put(end, before))) {
		before = end;
		end = end->next;
		n++;
	}
	if (n > b->changes_max)
		return take_shares(b, end);
	b->first = b->last = NULL;
	return first;
}

static int64_t wall_offset(const struct broker *b)
{
	return (int64_t)(b->now.at[PROTO_CLOCK_REALTIME] - b->now.real);
}

uint64_t commits_next_aside(const struct broker *b)
{
	if (state_of_store(b) != STORE_OK)
		return PROTO_FOREVER;
	return b->clocks_real + CLOCKS_US;
}

/* Whether to store the clocks although there is nothing else to store. */
static bool clocks_are_due(struct broker *b)
{
	int64_t moved;

	if (!b->clocks_real) {
		b->clocks_real = b->now.real;
		b->clocks_wall = wall_offset(b);
	}
	if (state_of_store(b) != STORE_OK || b->now.real < b->retry_commit)
		return false;
	moved = (int64_t)((uint64_t)wall_offset(b) - (uint64_t)b->clocks_wall);
	return b->now.real - b->clocks_real >= CLOCKS_US || moved > SET_US || moved < -SET_US;
}

static void list_puts(struct broker *b)
{
	struct store_put **put = &b->commit.puts;
	const struct request *noted = NULL;

	for (struct change *change = b->committing; change; change = change->next) {
		struct request *request = change->request;

		change->c.next = change->next ? &change->next->c : NULL;
		if (!request || !request->is_put || request == noted)
			continue;
		noted = request;
		*put = &request->put;
		put = &request->put.next;
	}
	*put = NULL;
}

void commits_begin(struct broker *b)
{
	bool due = clocks_are_due(b);
	int r;

	if (b->commit_under_way)
		return;
	locked_sift(b);
	if ((!due && (!b->first || !may_try(b))) || (!due && !b->first))
		return;
	b->committing = b->first ? take(b) : NULL;
	list_puts(b);
	b->commit.changes = b->committing ? &b->committing->c : NULL;
	b->commit.clocks = b->now.clocks;
	b->commit.done = done;
	b->commit.userdata = b;
	b->clocks_real = b->now.real;
	b->clocks_wall = wall_offset(b);
	b->commit_under_way = true;
	r = b->store->ops->commit(b->store, &b->commit);
	if (r)
		done(&b->commit, r);
}
