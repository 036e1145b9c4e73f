/* SPDX-License-Identifier: MIT */
/*
 * One transaction: what each kind of change does to the rows, and what else a commit stores. A
 * refused change changes nothing and gets a status. After an error of SQLite the whole transaction
 * is rolled back: rows, indexes and counts are as before.
 */
#include "sqlite_changes.h"

#include <errno.h>
#include <string.h>

#include "sqlite_index.h"
#include "sqlite_meta.h"
#include "sqlite_puts.h"
#include "sqlite_rows.h"
#include "sqlite_schema.h"

/* Finds the waiting timer that a change names, by key or by id. SQLITE_ROW; SQLITE_DONE: there is
 * none in that queue. */
static int find_named(struct sqlite *q, const struct store_change *c, struct store_timer *ret)
{
	const struct store_timer *t = &c->timer;
	uint64_t id = t->id;
	sqlite3_stmt *s;
	int r = SQLITE_OK;

	if (t->key_size)
		r = sqlite_find_key(q, t->queue, t->key, t->key_size, &id);
	if (r)
		return r;
	r = id ? sqlite_find(q, id, ret) : SQLITE_DONE;
	if (r == SQLITE_ROW && ret->queue == t->queue && ret->timer == id)
		return r;
	if (t->key_size || (r != SQLITE_ROW && r != SQLITE_DONE))
		return r == SQLITE_ROW ? SQLITE_DONE : r;
	/* A revived wake of that timer. */
	s = sqlite_use(q, SQL_FIND_REVIVED);
	sqlite3_bind_int64(s, 1, (int64_t)t->id);
	r = sqlite3_step(s);
	id = r == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(s, 0) : 0;
	sqlite3_reset(s);
	if (r == SQLITE_ROW)
		r = sqlite_find(q, id, ret);
	return r == SQLITE_ROW && ret->queue != t->queue ? SQLITE_DONE : r;
}

/* Finds the wake that a change names: the row `id` if its number is still that one. */
static int find_wake(struct sqlite *q, const struct store_change *c, struct store_timer *ret)
{
	int r = sqlite_find(q, c->timer.id, ret);

	if (r == SQLITE_ROW && (ret->queue != c->timer.queue || ret->number != c->timer.number))
		return SQLITE_DONE;
	return r;
}

static void note_row(struct store_change *c, const struct store_timer *t)
{
	c->id = t->timer;
	c->due = t->due;
	c->clock = t->clock;
	c->timer_flags = t->flags;
}

static uint32_t check_limits(
	struct sqlite *q, const struct store_change *c, int64_t more_timers, int64_t more_bytes)
{
	const struct sqlite_queue *queue = sqlite_queue_of(q, c->timer.queue);
	const struct sqlite_user *user = queue->user;
	int64_t timers = user->holds.timers + user->added.timers + user->holds.parked +
		user->added.parked + more_timers;
	int64_t bytes = user->holds.bytes + user->added.bytes + more_bytes;

	/* A change that adds nothing is never refused. */
	if (c->limit_timers && more_timers > 0 && timers > c->limit_timers)
		return PROTO_E_TIMERS_USER;
	if (c->limit_bytes && more_bytes > 0 && (uint64_t)bytes > c->limit_bytes)
		return PROTO_Q_BYTES_USER;
	return PROTO_OK;
}

static int put(struct sqlite *q, struct store_change *c)
{
	struct store_timer was, now = c->timer;
	int64_t timers = 1, bytes = (int64_t)now.key_size + now.payload_size;
	bool replaces = false;
	int r;

	if (now.key_size) {
		r = find_named(q, c, &was);
		replaces = r == SQLITE_ROW;
		if (!replaces && r != SQLITE_DONE)
			return r;
	}
	if (replaces && c->keep) {
		note_row(c, &was);
		c->flags = PROTO_QUEUE_KEPT;
		return SQLITE_OK;
	}
	if (replaces) {
		timers = 0;
		bytes -= (int64_t)was.key_size + was.payload_size;
	}
	c->status = check_limits(q, c, timers, bytes);
	if (c->status)
		return SQLITE_OK;
	if (replaces) {
		c->flags = PROTO_QUEUE_REPLACED;
		c->replaced = was.id;
		r = sqlite_remove(q, &was);
		if (r)
			return r;
	}
	now.id = now.timer = q->next_id++;
	note_row(c, &now);
	return sqlite_insert(q, &now);
}

/* Removes the parked wakes of a timer. ret_n: how many there were. */
static int remove_parked(struct sqlite *q, uint32_t queue, uint64_t id, uint32_t *ret_n)
{
	for (*ret_n = 0;; ++*ret_n) {
		sqlite3_stmt *find = sqlite_use(q, SQL_PARKED_FIND), *s;
		struct store_timer t;
		int r;

		sqlite3_bind_int64(find, 1, queue);
		sqlite3_bind_int64(find, 2, (int64_t)id);
		r = sqlite3_step(find);
		if (r != SQLITE_ROW) {
			sqlite3_reset(find);
			return r == SQLITE_DONE ? SQLITE_OK : r;
		}
		sqlite_column_timer(find, &t);
		sqlite3_reset(find);
		r = sqlite_touch(q, queue, 0, -1, -((int64_t)t.key_size + t.payload_size));
		s = sqlite_use(q, SQL_PARKED_DELETE);
		sqlite3_bind_int64(s, 1, queue);
		sqlite3_bind_int64(s, 2, (int64_t)id);
		sqlite3_bind_int64(s, 3, t.number);
		r = r ? r : sqlite_finish(s);
		if (r)
			return r;
	}
}

static int cancel(struct sqlite *q, struct store_change *c)
{
	struct store_timer t;
	uint32_t parked = 0;
	int r;

	c->id = c->timer.id;
	while ((r = find_named(q, c, &t)) == SQLITE_ROW) {
		note_row(c, &t);
		c->removed++;
		r = sqlite_remove(q, &t);
		if (r)
			return r;
	}
	if (r != SQLITE_DONE)
		return r;
	if (!c->timer.key_size) {
		r = remove_parked(q, c->timer.queue, c->timer.id, &parked);
		if (r)
			return r;
	}
	c->removed += parked;
	c->status = c->removed ? PROTO_OK : PROTO_E_NO_SUCH_TIMER;
	return SQLITE_OK;
}

static int reschedule(struct sqlite *q, struct store_change *c)
{
	struct store_timer was, now;
	int r = find_named(q, c, &was);

	if (r != SQLITE_ROW) {
		c->status = PROTO_E_NO_SUCH_TIMER;
		return r == SQLITE_DONE ? SQLITE_OK : r;
	}
	/* A revived wake ends with its acknowledgement: see end_wake(). */
	if (was.timer != was.id) {
		sqlite_use(q, SQL_FIND);
		c->status = PROTO_E_NO_SUCH_TIMER;
		return SQLITE_OK;
	}
	now = was;
	now.due = c->timer.due;
	if (c->relative && __builtin_add_overflow(now.due, c->now[was.clock], &now.due))
		now.due = PROTO_FOREVER;
	if (now.due > INT64_MAX) {
		sqlite_use(q, SQL_FIND);
		c->status = PROTO_E_RANGE;
		return SQLITE_OK;
	}
	now.ready = now.due;
	now.slack = c->timer.slack;
	now.every = c->timer.every;
	/* A consumer may have the old wake. Because of the new number, its acknowledgement does not
	 * apply to the new wake. */
	now.number++;
	/* A new count begins with this wake. */
	now.count = c->timer.count;
	if (now.count && __builtin_add_overflow(now.number - 1, now.count, &now.count))
		now.count = UINT32_MAX;
	now.attempt = 0;
	note_row(c, &now);
	c->replaced = was.id;
	return sqlite_update(q, &was, &now);
}

/* Turns a row into that of the timer's next wake, or removes the row if no wake follows. None
 * follows a revived wake: its timer may have had the next number already. */
static int end_wake(struct sqlite *q, const struct store_timer *was, uint64_t due)
{
	struct store_timer now = *was;

	if (due == PROTO_FOREVER || was->timer != was->id)
		return sqlite_remove(q, was);
	now.due = now.ready = due;
	now.number++;
	now.attempt = 0;
	return sqlite_update(q, was, &now);
}

static int change_wake(struct sqlite *q, struct store_change *c)
{
	struct store_timer was, now;
	bool removed = false;
	int r = SQLITE_OK;

	if (c->type == STORE_REMOVE && c->known)
		r = sqlite_remove_known(q, c->known, &removed);
	if (removed)
		note_row(c, c->known);
	if (r || removed)
		return r;
	r = find_wake(q, c, &was);
	if (r != SQLITE_ROW) {
		sqlite_use(q, SQL_FIND);
		c->status = PROTO_E_NO_SUCH_TIMER;
		return r == SQLITE_DONE ? SQLITE_OK : r;
	}
	note_row(c, &was);
	now = was;
	switch (c->type) {
	case STORE_REMOVE:
		return sqlite_remove(q, &was);
	case STORE_ADVANCE:
		return end_wake(q, &was, c->timer.due);
	case STORE_DELAY:
		now.ready = c->timer.ready;
		now.attempt = c->timer.attempt;
		return sqlite_update(q, &was, &now);
	default: /* STORE_PARK */
		now.attempt = c->timer.attempt;
		r = sqlite_park(q, &now);
		return r ? r : end_wake(q, &was, c->timer.due);
	}
}

static int revive(struct sqlite *q, struct store_change *c)
{
	for (;; c->removed++) {
		sqlite3_stmt *find = sqlite_use(q, SQL_PARKED_FIND), *s;
		struct store_timer t;
		int r;

		sqlite3_bind_int64(find, 1, c->timer.queue);
		sqlite3_bind_int64(find, 2, (int64_t)c->timer.id);
		r = sqlite3_step(find);
		if (r != SQLITE_ROW) {
			sqlite3_reset(find);
			c->id = c->timer.id;
			c->status = c->removed ? PROTO_OK : PROTO_Q_PARKED;
			return r == SQLITE_DONE ? SQLITE_OK : r;
		}
		sqlite_column_timer(find, &t);
		note_row(c, &t);
		t.id = q->next_id++;
		t.ready = c->now[t.clock];
		t.every = t.count = t.attempt = 0;
		r = sqlite_insert(q, &t);
		if (!r)
			r = sqlite_touch(
				q, t.queue, 0, -1, -((int64_t)t.key_size + t.payload_size));
		sqlite3_reset(find);
		s = sqlite_use(q, SQL_PARKED_DELETE);
		sqlite3_bind_int64(s, 1, t.queue);
		sqlite3_bind_int64(s, 2, (int64_t)t.timer);
		sqlite3_bind_int64(s, 3, t.number);
		r = r ? r : sqlite_finish(s);
		if (r)
			return r;
	}
}

static void clear_results(struct store_change *c)
{
	c->status = c->flags = c->removed = 0;
	c->id = c->due = c->replaced = 0;
}

static void write_answer(const struct store_change *c)
{
	if (c->answer)
		*c->answer = (struct proto_queue_stored){
			.id = c->status ? 0 : c->id,
			.due = c->status ? 0 : c->due,
			.status = c->status,
			.flags = c->flags,
		};
}

static int apply(struct sqlite *q, struct store_change *c)
{
	int r;

	clear_results(c);
	switch (c->type) {
	case STORE_PUT:
		r = put(q, c);
		break;
	case STORE_CANCEL:
		r = cancel(q, c);
		break;
	case STORE_RESCHEDULE:
		r = reschedule(q, c);
		break;
	case STORE_REVIVE:
		r = revive(q, c);
		break;
	default:
		r = change_wake(q, c);
		break;
	}
	sqlite_use(q, SQL_FIND); /* its memory may be freed */
	write_answer(c);
	return r;
}

static bool removes_known(const struct store_change *c)
{
	return c && c->type == STORE_REMOVE && c->known;
}

/* The length of a run: changes that remove timers with consecutive ids of one queue, as a consumer
 * acknowledges wakes in their order. */
static size_t run_length(const struct store_change *first)
{
	size_t n = 1;

	if (!removes_known(first))
		return n;
	for (const struct store_change *c = first->next; removes_known(c) &&
		c->known->queue == first->known->queue && c->known->id == first->known->id + n;
		c = c->next)
		n++;
	return n;
}

/* Applies the changes of a run at once. If a row is not as it was loaded, and for a single change,
 * applies each change by itself. ret_next: the change after the run. */
static int apply_run(struct sqlite *q, struct store_change *c, struct store_change **ret_next)
{
	size_t n = run_length(c);
	bool removed = false;
	int r = SQLITE_OK;

	if (n > 1)
		r = sqlite_remove_run(q, c, n, &removed);
	for (; n && !r; n--, c = c->next) {
		if (!removed) {
			r = apply(q, c);
			continue;
		}
		clear_results(c);
		note_row(c, c->known);
		write_answer(c);
	}
	*ret_next = c;
	return r;
}

static int write_queue(struct sqlite *q, const struct sqlite_queue *e)
{
	int64_t timers = e->holds.timers + e->added.timers;
	int64_t parked = e->holds.parked + e->added.parked;
	bool holds = timers > 0 || parked > 0;
	sqlite3_stmt *s = sqlite_use(q, holds ? SQL_QUEUE_WRITE : SQL_QUEUE_DELETE);

	sqlite3_bind_int64(s, 1, e->number);
	if (holds) {
		sqlite3_bind_int64(s, 2, e->uid);
		sqlite3_bind_text(s, 3, e->name, -1, SQLITE_STATIC);
		sqlite3_bind_int64(s, 4, timers);
		sqlite3_bind_int64(s, 5, parked);
		sqlite3_bind_int64(s, 6, e->holds.bytes + e->added.bytes);
	}
	return sqlite_finish(s);
}

static int write_queues(struct sqlite *q)
{
	int r = SQLITE_OK;

	for (const struct sqlite_queue *e = q->queues->touched; e && !r; e = e->touched_next)
		if (e->added.timers || e->added.parked || e->added.bytes)
			r = write_queue(q, e);
	return r;
}

static int write_bookkeeping(struct sqlite *q, const struct store_commit *commit)
{
	uint64_t now = commit->clocks.now[PROTO_CLOCK_BOOTTIME];
	int r = SQLITE_OK;

	for (const struct store_put *p = commit->puts; p && !r; p = p->next)
		r = sqlite_puts_write(q, p, now);
	if (!r)
		r = write_queues(q);
	if (!r && q->next_id != q->written_next_id)
		r = sqlite_write_counter(q, "next_id", q->next_id);
	if (!r)
		r = sqlite_puts_expire(q, now);
	return r ? r : sqlite_write_clocks(q, &commit->clocks);
}

/* Ends a transaction: commits it, or rolls it back after an error. */
static int end(struct sqlite *q, int r)
{
	q->unsure = false;
	if (!r)
		r = sqlite_index_flush(q);
	if (!r) {
		r = sqlite_run(q, SQL_COMMIT);
		q->unsure = r;
	}
	sqlite_queues_end(q->queues, !r);
	q->last_queue = NULL; /* from now on nobody may use it */
	if (!r) {
		q->written_next_id = q->next_id;
		return SQLITE_OK;
	}
	if (!sqlite3_get_autocommit(q->db))
		sqlite_run(q, SQL_ROLLBACK);
	q->next_id = q->written_next_id;
	q->puts_life++;
	/* If this fails, too, the next transaction or read tries again. */
	sqlite_index_restart(q);
	return r;
}

int sqlite_commit(struct sqlite *q, struct store_commit *commit)
{
	int r = sqlite_index_restart_if_lost(q);

	if (r)
		return r;
	r = sqlite_run(q, SQL_BEGIN);
	for (struct store_change *c = commit->changes; c && !r;)
		r = apply_run(q, c, &c);
	if (!r)
		r = write_bookkeeping(q, commit);
	return end(q, r);
}

static int purge_waiting(
	struct sqlite *q, uint32_t queue, size_t most, uint64_t *n, uint64_t *bytes)
{
	int r = SQLITE_OK;

	for (uint32_t clock = 0; clock < PROTO_CLOCKS && !r; clock++) {
		struct sqlite_due first = {.queue = queue, .clock = clock};

		while (*n < most) {
			struct sqlite_cursor cursor;
			struct store_timer t;
			struct sqlite_due at = first;

			sqlite_cursor_begin(&cursor, q, &first);
			r = sqlite_cursor_next(&cursor, &at);
			if (r == SQLITE_ROW)
				r = sqlite_find(q, at.id, &t);
			if (r != SQLITE_ROW)
				break;
			*bytes += t.key_size + t.payload_size;
			++*n;
			r = sqlite_remove(q, &t);
			if (r)
				break;
		}
		r = r == SQLITE_DONE ? SQLITE_OK : r;
	}
	return r;
}

static int purge_parked(struct sqlite *q, uint32_t queue, size_t most, uint64_t *n, uint64_t *bytes)
{
	while (*n < most) {
		sqlite3_stmt *s = sqlite_use(q, SQL_PARKED_AFTER);
		struct store_timer t;
		uint32_t removed;
		int r;

		sqlite3_bind_int64(s, 1, queue);
		sqlite3_bind_int64(s, 2, 0);
		sqlite3_bind_int64(s, 3, 0);
		sqlite3_bind_int(s, 4, 1);
		r = sqlite3_step(s);
		if (r == SQLITE_ROW) {
			sqlite_column_timer(s, &t);
			*bytes += t.key_size + t.payload_size;
		}
		sqlite3_reset(s);
		if (r != SQLITE_ROW)
			return r == SQLITE_DONE ? SQLITE_OK : r;
		r = remove_parked(q, queue, t.id, &removed);
		if (r)
			return r;
		*n += removed;
	}
	return SQLITE_OK;
}

int sqlite_purge(struct sqlite *q, uint32_t queue, bool parked, size_t n, uint64_t *ret_n,
	uint64_t *ret_bytes, bool *ret_more)
{
	uint64_t removed = 0, bytes = 0;
	int r = sqlite_index_restart_if_lost(q);

	if (r)
		return r;
	r = sqlite_run(q, SQL_BEGIN);
	if (!r && !parked)
		r = purge_waiting(q, queue, n, &removed, &bytes);
	if (!r && removed < n)
		r = purge_parked(q, queue, n, &removed, &bytes);
	if (!r)
		r = write_queues(q);
	r = end(q, r);
	if (r)
		return r;
	*ret_n = removed;
	*ret_bytes = bytes;
	*ret_more = removed >= n;
	return r;
}
