/* SPDX-License-Identifier: MIT */
/*
 * Rows of timers and of parked wakes, each with its entries in the indexes and its part of its
 * queue's counts. No other file writes these tables.
 */
#include "sqlite_rows.h"

#include <string.h>

#include "sqlite_index.h"
#include "sqlite_schema.h"

/* PROTO_FOREVER is NULL in the file. Other values above INT64_MAX were refused before. */
static void bind_span(sqlite3_stmt *s, int column, uint64_t span)
{
	if (span == PROTO_FOREVER)
		sqlite3_bind_null(s, column);
	else
		sqlite3_bind_int64(s, column, (int64_t)span);
}

static uint64_t column_span(sqlite3_stmt *s, int column)
{
	if (sqlite3_column_type(s, column) == SQLITE_NULL)
		return PROTO_FOREVER;
	return (uint64_t)sqlite3_column_int64(s, column);
}

static void bind_label(sqlite3_stmt *s, int column, const struct store_timer *t)
{
	size_t size = strnlen(t->label, sizeof(t->label));

	if (size)
		sqlite3_bind_text(s, column, t->label, (int)size, SQLITE_STATIC);
	else
		sqlite3_bind_null(s, column);
}

/* SQLITE_STATIC: nobody changes the key and the payload before the statement is done. */
static void bind_data(sqlite3_stmt *s, int column, const struct store_timer *t)
{
	if (t->key_size)
		sqlite3_bind_text(s, column, t->key, t->key_size, SQLITE_STATIC);
	else
		sqlite3_bind_null(s, column);
	if (t->payload_size)
		sqlite3_bind_blob(s, column + 1, t->payload, (int)t->payload_size, SQLITE_STATIC);
	else
		sqlite3_bind_null(s, column + 1);
}

void sqlite_column_timer(sqlite3_stmt *s, struct store_timer *ret)
{
	const void *label = sqlite3_column_blob(s, 14);
	size_t label_size = (size_t)sqlite3_column_bytes(s, 14);
	uint64_t revived = (uint64_t)sqlite3_column_int64(s, 13);

	*ret = (struct store_timer){
		.id = (uint64_t)sqlite3_column_int64(s, 0),
		.queue = (uint32_t)sqlite3_column_int64(s, 1),
		.clock = (uint8_t)sqlite3_column_int(s, 2),
		.flags = (uint8_t)sqlite3_column_int(s, 3),
		.due = (uint64_t)sqlite3_column_int64(s, 4),
		.ready = (uint64_t)sqlite3_column_int64(s, 5),
		.slack = column_span(s, 6),
		.every = (uint64_t)sqlite3_column_int64(s, 7),
		.max_late = column_span(s, 8),
		.count = (uint32_t)sqlite3_column_int64(s, 9),
		.number = (uint32_t)sqlite3_column_int64(s, 10),
		.attempt = (uint32_t)sqlite3_column_int64(s, 11),
		.max_attempts = (uint32_t)sqlite3_column_int64(s, 12),
		.key = sqlite3_column_blob(s, 15),
		.key_size = (uint16_t)sqlite3_column_bytes(s, 15),
		.payload = sqlite3_column_blob(s, 16),
		.payload_size = (uint32_t)sqlite3_column_bytes(s, 16),
	};
	ret->timer = revived ? revived : ret->id;
	if (label)
		memcpy(ret->label, label,
			label_size < sizeof(ret->label) ? label_size : sizeof(ret->label));
}

int sqlite_find(struct sqlite *q, uint64_t id, struct store_timer *ret)
{
	sqlite3_stmt *s = sqlite_use(q, SQL_FIND);
	int r;

	sqlite3_bind_int64(s, 1, (int64_t)id);
	r = sqlite3_step(s);
	if (r == SQLITE_ROW)
		sqlite_column_timer(s, ret);
	return r;
}

int sqlite_find_next(struct sqlite *q, uint64_t *last, uint64_t id, struct store_timer *ret)
{
	sqlite3_stmt *s = q->statements[SQL_FIND_FROM];
	bool follows = *last && id == *last + 1;
	int r;

	if (!follows) {
		s = sqlite_use(q, SQL_FIND_FROM);
		sqlite3_bind_int64(s, 1, (int64_t)id);
	}
	*last = 0;
	r = sqlite3_step(s);
	if (r != SQLITE_ROW)
		return r;
	if ((uint64_t)sqlite3_column_int64(s, 0) != id)
		return SQLITE_DONE;
	*last = id;
	sqlite_column_timer(s, ret);
	return r;
}

/* Finds a key in one part of the index. *ret: 0: it is not there. */
static int find_in(struct sqlite *q, bool on_disk, uint64_t hash, uint32_t queue, const char *key,
	size_t size, uint64_t *ret)
{
	struct store_timer t;
	uint64_t id = 0;
	int r;

	for (;;) {
		r = sqlite_key_after(q, on_disk, hash, id, &id);
		if (r || !id)
			break;
		r = sqlite_find(q, id, &t);
		if (r == SQLITE_ROW && t.queue == queue && t.key_size == size &&
			!memcmp(t.key, key, size)) {
			sqlite_use(q, SQL_FIND);
			break;
		}
		if (r != SQLITE_ROW && r != SQLITE_DONE)
			return r;
	}
	*ret = id;
	return r == SQLITE_ROW ? SQLITE_OK : r;
}

int sqlite_find_key(struct sqlite *q, uint32_t queue, const char *key, size_t size, uint64_t *ret)
{
	uint64_t hash = sqlite_hash(q, queue, key, size);
	int r;

	*ret = 0;
	r = find_in(q, false, hash, queue, key, size, ret);
	if (!r && !*ret)
		r = find_in(q, true, hash, queue, key, size, ret);
	return r;
}

/* Most changes of a transaction concern one queue. */
struct sqlite_queue *sqlite_queue_of(struct sqlite *q, uint32_t number)
{
	if (!q->last_queue || q->last_queue->number != number)
		q->last_queue = sqlite_queues_get(q->queues, number);
	return q->last_queue;
}

int sqlite_touch(struct sqlite *q, uint32_t number, int64_t timers, int64_t parked, int64_t bytes)
{
	struct sqlite_counts more = {.timers = timers, .parked = parked, .bytes = bytes};
	struct sqlite_queue *queue = sqlite_queue_of(q, number);

	if (!queue) /* of a row whose queue has no row */
		return SQLITE_CORRUPT;
	sqlite_queues_touch(q->queues, queue, &more);
	return SQLITE_OK;
}

static int64_t bytes_of(const struct store_timer *t)
{
	return (int64_t)t->key_size + t->payload_size;
}

/* A revived wake has its own row. It cannot be found by its key, because another timer may have
 * that key by now. */
static bool is_revived(const struct store_timer *t)
{
	return t->timer != t->id;
}

static struct sqlite_due due_of(const struct store_timer *t)
{
	return (struct sqlite_due){t->queue, t->clock, t->ready, t->id};
}

/* Whether two rows are the same but for id, instants, key and payload, and have no label. */
static bool is_alike(const struct store_timer *a, const struct store_timer *b)
{
	return a->queue == b->queue && a->clock == b->clock && a->flags == b->flags &&
		a->slack == b->slack && a->every == b->every && a->max_late == b->max_late &&
		a->count == b->count && a->number == b->number && a->attempt == b->attempt &&
		a->max_attempts == b->max_attempts && !is_revived(a) && !is_revived(b) &&
		!*a->label && !*b->label;
}

/* Most rows are alike, and SQLite keeps the values that were bound for the row before. */
static void bind_common(struct sqlite *q, sqlite3_stmt *s, const struct store_timer *t)
{
	if (q->has_inserted && is_alike(&q->inserted, t))
		return;
	sqlite3_bind_int64(s, 2, t->queue);
	sqlite3_bind_int(s, 3, t->clock);
	sqlite3_bind_int(s, 4, t->flags);
	bind_span(s, 7, t->slack);
	sqlite3_bind_int64(s, 8, (int64_t)t->every);
	bind_span(s, 9, t->max_late);
	sqlite3_bind_int64(s, 10, t->count);
	sqlite3_bind_int64(s, 11, t->number);
	sqlite3_bind_int64(s, 12, t->attempt);
	sqlite3_bind_int64(s, 13, t->max_attempts);
	if (is_revived(t))
		sqlite3_bind_int64(s, 14, (int64_t)t->timer);
	else
		sqlite3_bind_null(s, 14);
	bind_label(s, 15, t);
	q->inserted = *t;
	q->has_inserted = true;
}

int sqlite_insert(struct sqlite *q, const struct store_timer *t)
{
	sqlite3_stmt *s = sqlite_use(q, SQL_INSERT);
	struct sqlite_due due = due_of(t);
	int r;

	sqlite3_bind_int64(s, 1, (int64_t)t->id);
	sqlite3_bind_int64(s, 5, (int64_t)t->due);
	sqlite3_bind_int64(s, 6, (int64_t)t->ready);
	bind_common(q, s, t);
	bind_data(s, 16, t);
	r = sqlite_finish(s);
	if (!r)
		r = sqlite_due_add(q, &due);
	if (!r && t->key_size && !is_revived(t))
		r = sqlite_key_add(q, sqlite_hash(q, t->queue, t->key, t->key_size), t->id);
	return r ? r : sqlite_touch(q, t->queue, 1, 0, bytes_of(t));
}

/* Removes the row's entries in the indexes, and its part of the counts. */
static int remove_entries(struct sqlite *q, const struct store_timer *t)
{
	struct sqlite_due due = due_of(t);
	int r = sqlite_touch(q, t->queue, -1, 0, -bytes_of(t));

	if (!r && t->key_size && !is_revived(t))
		r = sqlite_key_remove(q, sqlite_hash(q, t->queue, t->key, t->key_size), t->id);
	return r ? r : sqlite_due_remove(q, &due);
}

int sqlite_remove(struct sqlite *q, const struct store_timer *t)
{
	uint64_t id = t->id;
	sqlite3_stmt *s;
	/* This comes first, because the key may be borrowed from the row that is removed. */
	int r = remove_entries(q, t);

	sqlite_use(q, SQL_FIND);
	s = sqlite_use(q, SQL_DELETE);
	sqlite3_bind_int64(s, 1, (int64_t)id);
	return r ? r : sqlite_finish(s);
}

int sqlite_remove_known(struct sqlite *q, const struct store_timer *t, bool *ret_removed)
{
	sqlite3_stmt *s = sqlite_use(q, SQL_DELETE_KNOWN);
	int r;

	sqlite3_bind_int64(s, 1, (int64_t)t->id);
	sqlite3_bind_int64(s, 2, t->queue);
	sqlite3_bind_int64(s, 3, t->number);
	sqlite3_bind_int64(s, 4, (int64_t)t->ready);
	r = sqlite_finish(s);
	*ret_removed = !r && sqlite3_changes(q->db) == 1;
	return *ret_removed ? remove_entries(q, t) : r;
}

/* Whether the rows of a run are as they were loaded. */
static int check_run(
	struct sqlite *q, const struct store_change *first, size_t n, uint64_t last, bool *ret)
{
	sqlite3_stmt *s = sqlite_use(q, SQL_RUN);
	const struct store_change *c = first;
	int r;

	sqlite3_bind_int64(s, 1, (int64_t)first->known->id);
	sqlite3_bind_int64(s, 2, (int64_t)last);
	for (; (r = sqlite3_step(s)) == SQLITE_ROW; c = c->next, n--)
		if (sqlite3_column_int64(s, 0) != c->known->queue ||
			sqlite3_column_int64(s, 1) != c->known->number ||
			(uint64_t)sqlite3_column_int64(s, 2) != c->known->ready)
			break;
	sqlite3_reset(s);
	*ret = r == SQLITE_DONE && !n;
	return r == SQLITE_DONE || r == SQLITE_ROW ? SQLITE_OK : r;
}

int sqlite_remove_run(
	struct sqlite *q, const struct store_change *first, size_t n, bool *ret_removed)
{
	uint64_t last = first->known->id + n - 1;
	sqlite3_stmt *s;
	int r = check_run(q, first, n, last, ret_removed);

	if (r || !*ret_removed)
		return r;
	s = sqlite_use(q, SQL_DELETE_RUN);
	sqlite3_bind_int64(s, 1, (int64_t)first->known->id);
	sqlite3_bind_int64(s, 2, (int64_t)last);
	r = sqlite_finish(s);
	for (const struct store_change *c = first; n && !r; c = c->next, n--)
		r = remove_entries(q, c->known);
	return r;
}

int sqlite_park(struct sqlite *q, const struct store_timer *t)
{
	sqlite3_stmt *s = sqlite_use(q, SQL_PARKED_INSERT);

	sqlite3_bind_int64(s, 1, t->queue);
	sqlite3_bind_int64(s, 2, (int64_t)t->timer);
	sqlite3_bind_int64(s, 3, t->number);
	sqlite3_bind_int(s, 4, t->clock);
	sqlite3_bind_int(s, 5, t->flags);
	sqlite3_bind_int64(s, 6, (int64_t)t->due);
	bind_span(s, 7, t->slack);
	sqlite3_bind_int64(s, 8, (int64_t)t->every);
	sqlite3_bind_int64(s, 9, t->count);
	sqlite3_bind_int64(s, 10, t->attempt);
	bind_label(s, 11, t);
	bind_data(s, 12, t);
	sqlite3_bind_int64(s, 14, t->max_attempts);
	return sqlite_touch(q, t->queue, 0, 1, bytes_of(t)) ?: sqlite_finish(s);
}

int sqlite_update(struct sqlite *q, const struct store_timer *was, const struct store_timer *t)
{
	struct sqlite_due before = due_of(was), after = due_of(t);
	sqlite3_stmt *s = sqlite_use(q, SQL_UPDATE);
	int r = SQLITE_OK;

	sqlite3_bind_int64(s, 1, (int64_t)t->id);
	sqlite3_bind_int64(s, 2, (int64_t)t->due);
	sqlite3_bind_int64(s, 3, (int64_t)t->ready);
	bind_span(s, 4, t->slack);
	sqlite3_bind_int64(s, 5, (int64_t)t->every);
	sqlite3_bind_int64(s, 6, t->count);
	sqlite3_bind_int64(s, 7, t->number);
	sqlite3_bind_int64(s, 8, t->attempt);
	sqlite_use(q, SQL_FIND);
	r = sqlite_finish(s);
	if (r || before.ready == after.ready)
		return r;
	r = sqlite_due_remove(q, &before);
	return r ? r : sqlite_due_add(q, &after);
}
