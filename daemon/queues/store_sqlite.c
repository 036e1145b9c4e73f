/* SPDX-License-Identifier: MIT */
/*
 * The thread behind the SQLite store, and what is said to it and heard from it.
 *
 * The loop hands jobs to the thread in one list, and gets them back in another one, in order; an
 * eventfd says that there are some. One mutex guards both lists and the counts of the queues. The
 * connection to SQLite is the thread's alone.
 *
 * Between jobs the thread does what nobody waits for: it merges the indexes (sqlite.h), and it
 * copies the log into the file (a checkpoint) when the log is long.
 */
#include "store_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <search.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "sqlite.h"

/* Pages of 4096 bytes in the log: from the first number on it is copied when nobody waits, from the
 * second on in any case. A long log lets one page take many changes; a short one lets a start be
 * fast. */
#define LOG_PAGES_IDLE 4096
#define LOG_PAGES_MAX  16384

/* Bytes of keys and payloads in one answer to load(). */
#define LOAD_BYTES ((size_t)4 << 20)

enum job_type {
	JOB_COMMIT,
	JOB_LOAD,
	JOB_LIST,
	JOB_QUEUES,
	JOB_FIND_PUTS,
	JOB_PURGE,
};

struct job {
	enum job_type type;
	struct job *next;
	struct store_commit *commit;
	struct store_reader *reader;
	uint8_t token[PROTO_QUEUE_TOKEN_SIZE];
	uint32_t queue, clock, uid;
	bool parked;
	struct store_position after;
	uint64_t until, now[PROTO_CLOCKS];
	size_t most;
	/* Results. */
	int error;
	struct store_timer *timers; /* their keys and payloads lie in `data` */
	struct store_queue *queues;
	struct put *puts;
	uint8_t *data;
	size_t n, data_size, data_room;
	uint64_t next_ready, bytes;
	bool more;
};

/* An answered put, as find_puts() hands it out. */
struct put {
	uint64_t serial;
	size_t n;
	struct proto_queue_stored answers[];
};

struct jobs {
	struct job *first, *last;
};

/* A user's share, summed over queues. */
struct user {
	uint32_t uid;
	int64_t timers, bytes;
};

struct store_sqlite {
	struct store base;
	struct sqlite q; /* the thread's */
	int event;
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	struct jobs waiting, done;
	bool committing; /* a commit is in one of the lists or at work */
	bool ending;
	enum store_state state;
	char why[256];
	struct sqlite_queue **queues; /* by number - 1; NULL: no such number */
	size_t queue_count;
	void *by_name; /* tsearch(3) over struct sqlite_queue */
	int log_pages; /* the thread's */
};

static struct store_sqlite *of(struct store *s)
{
	return (struct store_sqlite *)s;
}

static void push(struct jobs *jobs, struct job *job)
{
	job->next = NULL;
	if (jobs->last)
		jobs->last->next = job;
	else
		jobs->first = job;
	jobs->last = job;
}

static struct job *pop(struct jobs *jobs)
{
	struct job *job = jobs->first;

	if (job)
		jobs->first = job->next;
	if (!jobs->first)
		jobs->last = NULL;
	return job;
}

static void job_free(struct job *job)
{
	for (size_t i = 0; job->puts && i < job->n; i++)
		;
	free(job->timers);
	free(job->queues);
	free(job->puts);
	free(job->data);
	free(job);
}

static int compare_queues(const void *a, const void *b)
{
	const struct sqlite_queue *x = a, *y = b;

	if (x->uid != y->uid)
		return x->uid < y->uid ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* Makes a queue known under a number. The lock is held, or the thread not started. */
static struct sqlite_queue *add_queue(
	struct store_sqlite *s, uint32_t number, uint32_t uid, const char *name)
{
	struct sqlite_queue *e = calloc(1, sizeof(*e));

	if (number > s->queue_count) {
		size_t count = number + s->queue_count / 2 + 16;
		struct sqlite_queue **queues = realloc(s->queues, count * sizeof(*queues));

		if (!queues) {
			free(e);
			return NULL;
		}
		memset(queues + s->queue_count, 0, (count - s->queue_count) * sizeof(*queues));
		s->queues = queues;
		s->queue_count = count;
	}
	if (!e)
		return NULL;
	e->number = number;
	e->uid = uid;
	snprintf(e->name, sizeof(e->name), "%s", name);
	if (!tsearch(e, &s->by_name, compare_queues)) {
		free(e);
		return NULL;
	}
	s->queues[number - 1] = e;
	return e;
}

static int queue_read(void *userdata, uint32_t number, uint32_t uid, const char *name,
	int64_t timers, int64_t parked, int64_t bytes)
{
	struct store_sqlite *s = userdata;
	struct sqlite_queue *e;

	/* Numbers are given one after another; one this great was not. */
	if (number > (1u << 28))
		return SQLITE_CORRUPT;
	e = add_queue(s, number, uid, name);
	if (!e)
		return SQLITE_NOMEM;
	e->timers = timers;
	e->parked = parked;
	e->bytes = bytes;
	return SQLITE_OK;
}

static struct sqlite_queue *queue_of(void *userdata, uint32_t number)
{
	struct store_sqlite *s = userdata;
	struct sqlite_queue *e;

	pthread_mutex_lock(&s->lock);
	e = s->queues[number - 1];
	pthread_mutex_unlock(&s->lock);
	return e;
}

/* Sums up, with what the transaction under way has changed: that is the thread's to ask for. */
static void add_up(struct store_sqlite *s, uint32_t uid, bool within, struct store_usage *ret)
{
	int64_t timers = 0, parked = 0, bytes = 0;
	uint64_t queues = 0;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->queue_count; i++) {
		const struct sqlite_queue *e = s->queues[i];

		if (!e || (uid != PROTO_QUEUE_OWN && e->uid != uid))
			continue;
		timers += e->timers + (within ? e->more_timers : 0);
		parked += e->parked + (within ? e->more_parked : 0);
		bytes += e->bytes + (within ? e->more_bytes : 0);
		queues += e->timers + e->parked > 0;
	}
	pthread_mutex_unlock(&s->lock);
	*ret = (struct store_usage){
		.queues = queues,
		.timers = (uint64_t)timers,
		.parked = (uint64_t)parked,
		.bytes = (uint64_t)bytes,
	};
}

static void usage_within(void *userdata, uint32_t uid, struct store_usage *ret)
{
	add_up(userdata, uid, true, ret);
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

		row->key = (const char *)job->data + (uintptr_t)row->key;
		row->payload = payload ? job->data + (uintptr_t)row->payload : NULL;
	}
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
	int r;

	job->next_ready = PROTO_FOREVER;
	job->timers = calloc(job->most, sizeof(*job->timers));
	if (!job->timers)
		return SQLITE_NOMEM;
	r = sqlite_cursor_begin(&cursor, q, &at);
	while (!r) {
		r = sqlite_cursor_next(&cursor, &at);
		if (r != SQLITE_ROW)
			break;
		job->next_ready = at.ready;
		if (at.ready > job->until || job->n == job->most || job->data_size > LOAD_BYTES)
			break;
		r = sqlite_find(q, at.id, &t);
		if (r == SQLITE_ROW)
			r = keep_row(job, &t, true);
		else if (r == SQLITE_DONE) /* an entry without its row */
			r = SQLITE_OK;
		job->next_ready = PROTO_FOREVER;
	}
	sqlite_cursor_end(&cursor);
	sqlite_use(q, SQL_FIND);
	job->more = job->next_ready != PROTO_FOREVER;
	end_rows(job, true);
	return r == SQLITE_ROW || r == SQLITE_DONE ? SQLITE_OK : r;
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
		r = sqlite_cursor_begin(&cursor, q, &at);
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
		sqlite_cursor_end(&cursor);
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

/* Counts the timers of a lane that are ready by `until`, and finds its first. */
static int look_at_lane(struct sqlite *q, uint32_t queue, uint32_t clock, uint64_t until,
	uint64_t *due, uint64_t *first)
{
	struct sqlite_due at = {.queue = queue, .clock = clock};
	struct sqlite_cursor cursor;
	int r = sqlite_cursor_begin(&cursor, q, &at);

	*first = PROTO_FOREVER;
	while (!r && (r = sqlite_cursor_next(&cursor, &at)) == SQLITE_ROW) {
		r = SQLITE_OK;
		if (*first == PROTO_FOREVER)
			*first = at.ready;
		if (at.ready > until)
			break;
		++*due;
	}
	sqlite_cursor_end(&cursor);
	return r == SQLITE_DONE ? SQLITE_OK : r;
}

/* Copies what is known of the next queues; looks into the file for what is not. */
static int list_queues(struct store_sqlite *s, struct job *job)
{
	int r = SQLITE_OK;

	job->queues = calloc(job->most, sizeof(*job->queues));
	if (!job->queues)
		return SQLITE_NOMEM;
	pthread_mutex_lock(&s->lock);
	for (size_t i = job->after.number; i < s->queue_count; i++) {
		const struct sqlite_queue *e = s->queues[i];
		struct store_queue *ret = &job->queues[job->n];

		if (!e || (job->uid != PROTO_QUEUE_OWN && e->uid != job->uid))
			continue;
		job->more = job->n == job->most;
		if (job->more)
			break;
		*ret = (struct store_queue){
			.number = e->number,
			.uid = e->uid,
			.timers = (uint64_t)e->timers,
			.parked = (uint64_t)e->parked,
			.bytes = (uint64_t)e->bytes,
		};
		memcpy(ret->name, e->name, sizeof(ret->name));
		job->n++;
	}
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; i < job->n && !r; i++)
		for (uint32_t clock = 0; clock < PROTO_CLOCKS && !r; clock++)
			r = look_at_lane(&s->q, job->queues[i].number, clock, job->now[clock],
				&job->queues[i].due, &job->queues[i].first[clock]);
	return r;
}

/* Each put is kept as its serial, how many answers, and these, one behind the other. */
static int find_puts(struct sqlite *q, struct job *job)
{
	sqlite3_stmt *s = sqlite_use(q, SQL_PUTS_OF_TOKEN);
	int r;

	sqlite3_bind_blob(s, 1, job->token, sizeof(job->token), SQLITE_STATIC);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		uint64_t head[2] = {(uint64_t)sqlite3_column_int64(s, 0),
			(uint64_t)sqlite3_column_bytes(s, 1) / sizeof(struct proto_queue_stored)};

		if (keep(job, head, sizeof(head)) == SIZE_MAX ||
			keep(job, sqlite3_column_blob(s, 1),
				head[1] * sizeof(struct proto_queue_stored)) == SIZE_MAX) {
			r = SQLITE_NOMEM;
			break;
		}
		job->n++;
	}
	sqlite3_reset(s);
	return r == SQLITE_DONE ? SQLITE_OK : r;
}

static int errno_of(struct store_sqlite *s, int result)
{
	int system = s->q.db ? sqlite3_system_errno(s->q.db) : 0;

	if ((result & 0xff) == SQLITE_FULL || system == ENOSPC || system == EDQUOT)
		return -ENOSPC;
	return (result & 0xff) == SQLITE_NOMEM ? -ENOMEM : -EIO;
}

/* Notes what an attempt to write says about the store. The lock is not held. */
static int note_write(struct store_sqlite *s, int result)
{
	int error = result ? errno_of(s, result) : 0;

	pthread_mutex_lock(&s->lock);
	if (s->state != STORE_FAILED) {
		s->state = !error ? STORE_OK : error == -ENOSPC ? STORE_FULL : STORE_FAILED;
		if (error)
			snprintf(s->why, sizeof(s->why), "%s",
				s->q.db ? sqlite3_errmsg(s->q.db) : sqlite3_errstr(result));
	}
	pthread_mutex_unlock(&s->lock);
	return error;
}

static bool has_failed(struct store_sqlite *s)
{
	bool failed;

	pthread_mutex_lock(&s->lock);
	failed = s->state == STORE_FAILED;
	pthread_mutex_unlock(&s->lock);
	return failed;
}

/* After a write that failed nothing is written any more: what the kernel's cache says about the
 * files is not to be believed. */
static void run_job(struct store_sqlite *s, struct job *job)
{
	bool failed = has_failed(s);
	int r = SQLITE_OK;

	switch (job->type) {
	case JOB_COMMIT:
		job->error = failed ? -EIO : note_write(s, sqlite_commit(&s->q, job->commit));
		return;
	case JOB_PURGE:
		job->error = failed
			? -EIO
			: note_write(s,
				  sqlite_purge(&s->q, job->queue, job->parked, job->most,
					  &job->next_ready, &job->bytes, &job->more));
		return;
	case JOB_LOAD:
		r = load(&s->q, job);
		break;
	case JOB_LIST:
		r = list(&s->q, job);
		break;
	case JOB_QUEUES:
		r = list_queues(s, job);
		break;
	case JOB_FIND_PUTS:
		r = find_puts(&s->q, job);
		break;
	}
	if (r && (r & 0xff) != SQLITE_NOMEM)
		note_write(s, r); /* a page that cannot be read is as bad as one not written */
	job->error = r ? errno_of(s, r) : 0;
}

static int note_log(void *userdata, sqlite3 *db, const char *name, int pages)
{
	(void)db;
	(void)name;
	((struct store_sqlite *)userdata)->log_pages = pages;
	return SQLITE_OK;
}

/* Copies the log into the file, from where the next write begins it anew. */
static void checkpoint(struct store_sqlite *s)
{
	int r = sqlite3_wal_checkpoint_v2(s->q.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

	s->log_pages = 0;
	if (r)
		note_write(s, r);
}

/* What nobody waits for. idle: no job waits. Return: whether it did something. */
static bool tidy(struct store_sqlite *s, bool idle)
{
	uint64_t recent = s->q.recent_due > s->q.recent_keys ? s->q.recent_due : s->q.recent_keys;

	if (has_failed(s))
		return false;
	if (s->log_pages >= LOG_PAGES_MAX || (idle && s->log_pages >= LOG_PAGES_IDLE)) {
		checkpoint(s);
		return true;
	}
	/* Behind in merging: a slice for each job does not keep up with packets of a thousand. */
	if (sqlite_wants_merge(&s->q) && (idle || recent >= 2 * SQLITE_RECENT_MAX)) {
		note_write(s, sqlite_merge(&s->q));
		return true;
	}
	return false;
}

static void finish(struct store_sqlite *s, struct job *job)
{
	bool tell;

	pthread_mutex_lock(&s->lock);
	tell = !s->done.first;
	push(&s->done, job);
	pthread_mutex_unlock(&s->lock);
	if (tell)
		eventfd_write(s->event, 1);
}

static void *work(void *userdata)
{
	struct store_sqlite *s = userdata;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct job *job = pop(&s->waiting);
		bool idle = !job, did, ending = s->ending;

		pthread_mutex_unlock(&s->lock);
		if (job) {
			run_job(s, job);
			finish(s, job);
		}
		did = !(idle && ending) && tidy(s, idle);
		pthread_mutex_lock(&s->lock);
		if (idle && ending)
			break;
		while (!did && !s->waiting.first && !s->ending)
			pthread_cond_wait(&s->wake, &s->lock), did = true;
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static int submit(struct store *store, struct job *job, struct store_reader *reader)
{
	struct store_sqlite *s = of(store);

	if (!job)
		return -ENOMEM;
	job->reader = reader;
	pthread_mutex_lock(&s->lock);
	push(&s->waiting, job);
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static struct job *job_new(enum job_type type)
{
	struct job *job = calloc(1, sizeof(*job));

	if (job)
		job->type = type;
	return job;
}

static int sqlite_store_commit(struct store *store, struct store_commit *commit)
{
	struct store_sqlite *s = of(store);
	struct job *job;

	if (s->committing)
		return -EBUSY;
	job = job_new(JOB_COMMIT);
	if (!job)
		return -ENOMEM;
	job->commit = commit;
	s->committing = true;
	return submit(store, job, NULL);
}

static int sqlite_store_open_queue(
	struct store *store, uint32_t uid, const char *name, uint32_t *ret)
{
	struct store_sqlite *s = of(store);
	struct sqlite_queue key = {.uid = uid}, *e, **found;
	uint32_t number = 1;

	snprintf(key.name, sizeof(key.name), "%s", name);
	pthread_mutex_lock(&s->lock);
	found = tfind(&key, &s->by_name, compare_queues);
	e = found ? *found : NULL;
	if (!e) {
		for (size_t i = 0; i < s->queue_count; i++)
			if (s->queues[i])
				number = (uint32_t)i + 2;
		e = add_queue(s, number, uid, name);
	}
	pthread_mutex_unlock(&s->lock);
	if (!e)
		return -ENOMEM;
	*ret = e->number;
	return 0;
}

static void sqlite_store_usage(const struct store *store, uint32_t uid, struct store_usage *ret)
{
	add_up((struct store_sqlite *)(uintptr_t)store, uid, false, ret);
}

static int sqlite_store_find_puts(struct store *store, const uint8_t *token, struct store_reader *r)
{
	struct job *job = job_new(JOB_FIND_PUTS);

	if (job)
		memcpy(job->token, token, sizeof(job->token));
	return submit(store, job, r);
}

static int sqlite_store_load(struct store *store, uint32_t queue, unsigned int clock,
	uint64_t ready, uint64_t id, uint64_t until, size_t n, struct store_reader *r)
{
	struct job *job = job_new(JOB_LOAD);

	if (job) {
		job->queue = queue;
		job->clock = clock;
		job->after.ready = ready;
		job->after.id = id;
		job->until = until;
		job->most = n;
	}
	return submit(store, job, r);
}

static int sqlite_store_list(struct store *store, uint32_t queue, bool parked,
	const struct store_position *after, size_t n, struct store_reader *r)
{
	struct job *job = job_new(JOB_LIST);

	if (job) {
		job->queue = queue;
		job->parked = parked;
		job->after = *after;
		job->most = n;
	}
	return submit(store, job, r);
}

static int sqlite_store_queues(struct store *store, uint32_t uid, uint32_t after, size_t n,
	const uint64_t now[static PROTO_CLOCKS], struct store_reader *r)
{
	struct job *job = job_new(JOB_QUEUES);

	if (job) {
		job->uid = uid;
		job->after.number = after;
		job->most = n;
		memcpy(job->now, now, sizeof(job->now));
	}
	return submit(store, job, r);
}

static int sqlite_store_purge(
	struct store *store, uint32_t queue, bool parked, size_t n, struct store_reader *r)
{
	struct job *job = job_new(JOB_PURGE);

	if (job) {
		job->queue = queue;
		job->parked = parked;
		job->most = n;
	}
	return submit(store, job, r);
}

static void hand_out_puts(struct job *job)
{
	const uint8_t *at = job->data;
	uint64_t head[2] = {0};

	for (size_t i = 0; i < job->n; i++) {
		memcpy(head, at, sizeof(head));
		at += sizeof(head);
		job->reader->put(
			job->reader, head[0], (const struct proto_queue_stored *)at, head[1], 0);
		at += head[1] * sizeof(struct proto_queue_stored);
	}
	job->reader->put(job->reader, head[0], NULL, 0, job->error);
}

static void hand_out(struct store_sqlite *s, struct job *job)
{
	struct store_reader *r = job->reader;
	size_t n = job->error ? 0 : job->n;

	switch (job->type) {
	case JOB_COMMIT:
		s->committing = false;
		job->commit->done(job->commit, job->error);
		return;
	case JOB_QUEUES:
		r->queues(r, job->queues, n, job->more, job->error);
		return;
	case JOB_FIND_PUTS:
		job->n = n;
		hand_out_puts(job);
		return;
	case JOB_PURGE:
		r->purged(r, job->next_ready, job->bytes, job->more, job->error);
		return;
	default:
		r->rows(r, job->timers, n, job->next_ready, job->more, job->error);
		return;
	}
}

static void sqlite_store_process(struct store *store)
{
	struct store_sqlite *s = of(store);
	struct job *job;
	eventfd_t n;

	eventfd_read(s->event, &n);
	for (;;) {
		pthread_mutex_lock(&s->lock);
		job = pop(&s->done);
		pthread_mutex_unlock(&s->lock);
		if (!job)
			return;
		hand_out(s, job);
		job_free(job);
	}
}

static int sqlite_store_get_fd(const struct store *store)
{
	return ((const struct store_sqlite *)store)->event;
}

static enum store_state sqlite_store_state(const struct store *store, const char **ret_why)
{
	struct store_sqlite *s = (struct store_sqlite *)(uintptr_t)store;
	enum store_state state;

	pthread_mutex_lock(&s->lock);
	state = s->state;
	pthread_mutex_unlock(&s->lock);
	*ret_why = s->why;
	return state;
}

static void free_queue(void *queue)
{
	free(queue);
}

static void store_free(struct store_sqlite *s)
{
	struct job *job;

	while ((job = pop(&s->waiting)) || (job = pop(&s->done)))
		job_free(job);
	tdestroy(s->by_name, free_queue);
	free(s->queues);
	if (s->event >= 0)
		close(s->event);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void sqlite_store_close(struct store *store, const struct clocks_stored *clocks)
{
	struct store_sqlite *s = of(store);
	struct store_commit last = {0};

	pthread_mutex_lock(&s->lock);
	s->ending = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	if (clocks && s->state == STORE_OK) {
		last.clocks = *clocks;
		if (!sqlite_commit(&s->q, &last))
			checkpoint(s);
	}
	sqlite_close(&s->q);
	store_free(s);
}

static const struct store_ops ops = {
	.close = sqlite_store_close,
	.get_fd = sqlite_store_get_fd,
	.process = sqlite_store_process,
	.state = sqlite_store_state,
	.commit = sqlite_store_commit,
	.open_queue = sqlite_store_open_queue,
	.usage = sqlite_store_usage,
	.find_puts = sqlite_store_find_puts,
	.load = sqlite_store_load,
	.list = sqlite_store_list,
	.queues = sqlite_store_queues,
	.purge = sqlite_store_purge,
};

/* The thread takes no signal: they are the loop's. */
static int start_thread(struct store_sqlite *s)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&s->thread, NULL, work, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

int store_sqlite_open(struct store **ret, const char *path, const char *vfs,
	struct clocks_stored *ret_clocks, char **ret_why)
{
	struct store_sqlite *s = calloc(1, sizeof(*s));
	char *why = NULL;
	int r;

	*ret_why = NULL;
	if (!s)
		return -ENOMEM;
	s->base.ops = &ops;
	s->q.userdata = s;
	s->q.queue = queue_of;
	s->q.usage = usage_within;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
	s->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = s->event < 0 ? -errno : sqlite_open(&s->q, path, vfs, &why);
	if (!r) {
		sqlite3_wal_hook(s->q.db, note_log, s);
		r = sqlite_read_queues(&s->q, queue_read);
		if (!r)
			r = sqlite_read_clocks(&s->q, ret_clocks);
		if (r) {
			why = sqlite3_mprintf("%s: %s", path, sqlite3_errmsg(s->q.db));
			r = -EBADMSG;
		} else {
			r = start_thread(s);
		}
		if (r)
			sqlite_close(&s->q);
	}
	if (r) {
		*ret_why = why ? strdup(why) : NULL;
		sqlite3_free(why);
		store_free(s);
		return r;
	}
	*ret = &s->base;
	return 0;
}

/* Types of file systems on other machines, from linux/magic.h and its users. */
static bool is_remote(long type)
{
	static const unsigned int types[] = {
		0x6969u /* NFS */,
		0x517bu /* SMB */,
		0xfe534d42u /* SMB2 */,
		0xff534d42u /* CIFS */,
		0x5346414fu /* AFS */,
		0x73757245u /* CODA */,
		0x01021997u /* 9P */,
		0x00c36400u /* CEPH */,
		0x013111a8u /* IBRIX */,
		0x7461636fu /* OCFS2 */,
		0x01161970u /* GFS2 */,
		0x47504653u /* GPFS */,
		0x0bd00bd0u /* LUSTRE */,
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if ((unsigned int)type == types[i])
			return true;
	return false;
}

int store_sqlite_check_folder(const char *folder, char **ret_why)
{
	struct statfs fs;
	struct stat st;
	const char *what = NULL;

	*ret_why = NULL;
	if (stat(folder, &st) < 0 || statfs(folder, &fs) < 0) {
		int r = -errno;

		if (asprintf(ret_why, "%s: %s", folder, strerror(-r)) < 0)
			*ret_why = NULL;
		return r;
	}
	if (!S_ISDIR(st.st_mode))
		what = "not a folder";
	else if (st.st_uid != geteuid())
		what = "owned by somebody else; chown it, or name another folder with --state";
	else if (st.st_mode & (S_IWGRP | S_IWOTH))
		what = "others may write to it; chmod go-w";
	else if (is_remote(fs.f_type))
		what = "on a network file system; name a local folder with --state";
	if (!what)
		return 0;
	if (asprintf(ret_why, "%s: %s", folder, what) < 0)
		*ret_why = NULL;
	return -EPERM;
}
