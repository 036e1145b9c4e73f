/* SPDX-License-Identifier: MIT */
/*
 * Reads of the store. SQLite lends a row until the next step, so each row is copied into the job.
 */
#include "sqlite_reads.h"

#include <stdlib.h>
#include <string.h>

#include "sqlite_index.h"
#include "sqlite_puts.h"
#include "sqlite_rows.h"
#include "sqlite_schema.h"

/* Bytes of keys and payloads in one answer to load(). */
#define LOAD_BYTES ((size_t)4 << 20)

struct job *job_new(enum job_type type)
{
	struct job *job = calloc(1, sizeof(*job));

	if (job)
		job->type = type;
	return job;
}

void job_free(struct job *job)
{
	free(job->timers);
	free(job->queues);
	free(job->data);
	free(job);
}

/* Keeps size bytes of what SQLite lent us. Return: where, as an offset that survives growth;
 * SIZE_MAX: no memory. */
static size_t keep(struct job *job, const void *bytes, size_t size)
{
	size_t at = job->data_size;

	if (job->data_size + size > job->data_room) {
		size_t room = (job->data_room + size) * 2 + 4096;
		uint8_t *data = realloc(job->data, room);

		if (!data)
			return SIZE_MAX;
		job->data = data;
		job->data_room = room;
	}
	if (size)
		memcpy(job->data + at, bytes, size);
	job->data_size += size;
	return at;
}

/* Appends a row that SQLite lent us. Offsets become pointers in end_rows(). */
static int keep_row(struct job *job, const struct store_timer *t, bool payload)
{
	struct store_timer *row = &job->timers[job->n];
	size_t key = keep(job, t->key, t->key_size);
	size_t data = payload && key != SIZE_MAX ? keep(job, t->payload, t->payload_size) : 0;

	if (key == SIZE_MAX || data == SIZE_MAX)
		return SQLITE_NOMEM;
	*row = *t;
	row->key = (const char *)(uintptr_t)key;
	row->payload = (const void *)(uintptr_t)data;
	job->n++;
	return SQLITE_OK;
}

static void end_rows(struct job *job, bool payload)
{
	for (size_t i = 0; i < job->n; i++) {
		struct store_timer *row = &job->timers[i];

		/* If no row has a key or a payload, `data` is NULL, and arithmetic on it is
		 * undefined. */
		row->key = (const char *)((uintptr_t)job->data + (uintptr_t)row->key);
		row->payload = payload
			? (const void *)((uintptr_t)job->data + (uintptr_t)row->payload)
			: NULL;
	}
}

/* Finds the first row after those of the job that wakes the machine. */
static int find_wake_system(struct sqlite *q, struct job *job)
{
	const struct store_timer *last = job->n ? &job->timers[job->n - 1] : NULL;
	sqlite3_stmt *s;
	int r;

	job->beyond.wake_system = PROTO_FOREVER;
	if (!job->more)
		return SQLITE_OK;
	s = sqlite_use(q, SQL_FIND_WAKE_SYSTEM);
	sqlite3_bind_int64(s, 1, job->queue);
	sqlite3_bind_int64(s, 2, job->clock);
	sqlite3_bind_int64(s, 3, (int64_t)(last ? last->ready : job->after.ready));
	sqlite3_bind_int64(s, 4, (int64_t)(last ? last->id : job->after.id));
	r = sqlite3_step(s);
	if (r == SQLITE_ROW)
		job->beyond.wake_system = (uint64_t)sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return r == SQLITE_ROW || r == SQLITE_DONE ? SQLITE_OK : r;
}

static int load(struct sqlite *q, struct job *job)
{
	struct sqlite_due at = {
		.queue = job->queue,
		.clock = job->clock,
		.ready = job->after.ready,
		.id = job->after.id,
	};
	struct sqlite_cursor cursor;
	struct store_timer t;
	uint64_t last = 0;
	int r;

	job->beyond.ready = PROTO_FOREVER;
	job->timers = calloc(job->most + 1, sizeof(*job->timers));
	if (!job->timers)
		return SQLITE_NOMEM;
	sqlite_cursor_begin(&cursor, q, &at);
	for (r = SQLITE_OK; !r;) {
		r = sqlite_cursor_next(&cursor, &at);
		if (r != SQLITE_ROW)
			break;
		job->beyond.ready = at.ready;
		if (at.ready > job->until || job->n == job->most || job->data_size > LOAD_BYTES)
			break;
		r = sqlite_find_next(q, &last, at.id, &t);
		if (r == SQLITE_ROW)
			r = keep_row(job, &t, true);
		else if (r == SQLITE_DONE) /* an entry in the index without its row */
			r = SQLITE_OK;
		job->beyond.ready = PROTO_FOREVER;
	}
	sqlite_use(q, SQL_FIND_FROM);
	job->more = job->beyond.ready != PROTO_FOREVER;
	end_rows(job, true);
	if (r != SQLITE_ROW && r != SQLITE_DONE)
		return r;
	return find_wake_system(q, job);
}

static int list_parked(struct sqlite *q, struct job *job)
{
	sqlite3_stmt *s = sqlite_use(q, SQL_PARKED_AFTER);
	struct store_timer t;
	int r;

	sqlite3_bind_int64(s, 1, job->queue);
	sqlite3_bind_int64(s, 2, (int64_t)job->after.id);
	sqlite3_bind_int64(s, 3, job->after.number);
	sqlite3_bind_int64(s, 4, (int64_t)job->most);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		sqlite_column_timer(s, &t);
		t.parked = true;
		r = keep_row(job, &t, false);
		if (r)
			break;
	}
	sqlite3_reset(s);
	job->more = job->n == job->most;
	return r == SQLITE_DONE ? SQLITE_OK : r;
}

static int list_waiting(struct sqlite *q, struct job *job)
{
	int r = SQLITE_OK;

	for (uint32_t clock = job->after.clock; clock < PROTO_CLOCKS && !r; clock++) {
		struct sqlite_due at = {.queue = job->queue, .clock = clock};
		struct sqlite_cursor cursor;
		struct store_timer t;

		if (clock == job->after.clock) {
			at.ready = job->after.ready;
			at.id = job->after.id;
		}
		sqlite_cursor_begin(&cursor, q, &at);
		while (!r && job->n < job->most) {
			r = sqlite_cursor_next(&cursor, &at);
			if (r != SQLITE_ROW)
				break;
			r = sqlite_find(q, at.id, &t);
			if (r == SQLITE_ROW)
				r = keep_row(job, &t, false);
			else if (r == SQLITE_DONE)
				r = SQLITE_OK;
		}
		r = r == SQLITE_DONE ? SQLITE_OK : r;
	}
	sqlite_use(q, SQL_FIND);
	job->more = job->n == job->most;
	return r;
}

static int list(struct sqlite *q, struct job *job)
{
	int r;

	job->timers = calloc(job->most, sizeof(*job->timers));
	if (!job->timers)
		return SQLITE_NOMEM;
	r = job->parked ? list_parked(q, job) : list_waiting(q, job);
	end_rows(job, false);
	return r;
}

/* Counts the timers of a lane that are ready by `until`. Finds the first one, and the next one. */
static int count_lane(struct sqlite *q, uint32_t clock, uint64_t until, struct store_queue *queue)
{
	struct sqlite_due at = {.queue = queue->number, .clock = clock};
	struct sqlite_cursor cursor;
	int r = SQLITE_OK;

	sqlite_cursor_begin(&cursor, q, &at);
	queue->first[clock] = queue->next[clock] = PROTO_FOREVER;
	while (!r && (r = sqlite_cursor_next(&cursor, &at)) == SQLITE_ROW) {
		r = SQLITE_OK;
		if (queue->first[clock] == PROTO_FOREVER)
			queue->first[clock] = at.ready;
		if (at.ready > until) {
			queue->next[clock] = at.ready;
			break;
		}
		queue->due++;
	}
	return r == SQLITE_DONE ? SQLITE_OK : r;
}

/* Copies what memory has of the next queues, and reads the rest from the file. */
static int list_queues(struct sqlite *q, struct job *job)
{
	int r = SQLITE_OK;

	job->queues = calloc(job->most, sizeof(*job->queues));
	if (!job->queues)
		return SQLITE_NOMEM;
	job->n = sqlite_queues_list(
		q->queues, job->uid, job->after.number, job->queues, job->most, &job->more);
	for (size_t i = 0; i < job->n && !r; i++)
		for (uint32_t clock = 0; clock < PROTO_CLOCKS && !r; clock++)
			r = count_lane(q, clock, job->now[clock], &job->queues[i]);
	return r;
}

static uint64_t get_little(const uint8_t *p, int bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | p[bytes];
	return value;
}

static int keep_put(struct job *job, uint64_t serial, const uint8_t *bytes, size_t size)
{
	struct sqlite_put_head head = {.serial = serial, .n = size / SQLITE_ANSWER_SIZE};

	if (keep(job, &head, sizeof(head)) == SIZE_MAX)
		return SQLITE_NOMEM;
	for (size_t i = 0; i < head.n; i++, bytes += SQLITE_ANSWER_SIZE) {
		struct proto_queue_stored a = {
			.id = get_little(bytes, 8),
			.due = get_little(bytes + 8, 8),
			.status = (uint32_t)get_little(bytes + 16, 4),
			.flags = (uint32_t)get_little(bytes + 20, 4),
		};

		if (keep(job, &a, sizeof(a)) == SIZE_MAX)
			return SQLITE_NOMEM;
	}
	job->n++;
	return SQLITE_OK;
}

static int find_puts(struct sqlite *q, struct job *job)
{
	sqlite3_stmt *s = sqlite_use(q, SQL_PUTS_OF_TOKEN);
	int r;

	sqlite3_bind_blob(s, 1, job->token, sizeof(job->token), SQLITE_STATIC);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		r = keep_put(job, (uint64_t)sqlite3_column_int64(s, 0), sqlite3_column_blob(s, 1),
			(size_t)sqlite3_column_bytes(s, 1));
		if (r)
			break;
	}
	sqlite3_reset(s);
	return r == SQLITE_DONE ? SQLITE_OK : r;
}

int sqlite_read(struct sqlite *q, struct job *job)
{
	int r = sqlite_index_restart_if_lost(q);

	if (r)
		return r;
	switch (job->type) {
	case JOB_LOAD:
		return load(q, job);
	case JOB_LIST:
		return list(q, job);
	case JOB_QUEUES:
		return list_queues(q, job);
	case JOB_FIND_PUTS:
		return find_puts(q, job);
	default:
		return SQLITE_MISUSE;
	}
}
