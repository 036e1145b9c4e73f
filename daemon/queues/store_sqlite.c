/* SPDX-License-Identifier: MIT */
/*
 * The store on SQLite: operations that the event loop calls, and the thread that does their work.
 *
 * The loop hands jobs to the thread in one list, and gets them back in another one, in order. An
 * eventfd is readable while finished jobs wait. One mutex guards both lists and the state. Only the
 * thread uses the connection to SQLite.
 *
 * Between jobs the thread does background work: it merges the indexes (sqlite.h), copies
 * a long log into the file (a checkpoint), and recovers a file after a failure.
 */
#include "store_sqlite.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../thread.h"
#include "sqlite_changes.h"
#include "sqlite_file.h"
#include "sqlite_index.h"
#include "sqlite_jobs.h"
#include "sqlite_log.h"
#include "sqlite_meta.h"
#include "sqlite_reads.h"
#include "sqlite_recover.h"

/* The longest span between two attempts to recover, in sqlite_tuning.recover_us. */
#define RECOVER_MOST 60

struct store_sqlite {
	struct store base;
	struct sqlite q;	     /* for the thread only */
	struct sqlite_queues queues; /* it has a lock of its own */
	char *path;
	int event;
	pthread_t thread;
	uint64_t recover_at, recover_span; /* for the thread only; CLOCK_MONOTONIC */
	bool committing;		   /* for the loop only: a commit is under way */
	char state_text[256],
		failure_text[256]; /* what state() and failure() have returned, for the loop only */
	pthread_mutex_t lock;	   /* guards all members that follow */
	pthread_cond_t wake;
	struct jobs_waiting waiting;
	struct jobs done;
	bool ending;
	enum store_state state;
	char why[256];
	char failure[256]; /* that failure() has not returned yet; empty: none */
};

static struct store_sqlite *of(struct store *s)
{
	return (struct store_sqlite *)s;
}

/* The descriptor becomes readable, so that the loop looks at the state. */
static void set_state(struct store_sqlite *s, enum store_state state, const char *why)
{
	bool changed;

	pthread_mutex_lock(&s->lock);
	changed = s->state != state;
	s->state = state;
	if (changed && state == STORE_FAILED)
		snprintf(s->failure, sizeof(s->failure), "%s", why);
	snprintf(s->why, sizeof(s->why), "%s", why);
	pthread_mutex_unlock(&s->lock);
	if (changed)
		eventfd_write(s->event, 1);
}

static bool has_failed(struct store_sqlite *s)
{
	bool failed;

	pthread_mutex_lock(&s->lock);
	failed = s->state == STORE_FAILED;
	pthread_mutex_unlock(&s->lock);
	return failed;
}

static void fail(struct store_sqlite *s, const char *why)
{
	s->recover_at = 0;
	s->recover_span = s->q.tuning.recover_us;
	set_state(s, STORE_FAILED, why);
}

/* Sets the store's state after an attempt to write or to read. Return: 0, or a negative errno.
 */
static int note(struct store_sqlite *s, int result, bool wrote)
{
	int error = result ? sqlite_errno(&s->q, result) : 0;
	/* The connection's own text is about the rollback. */
	const char *why = sqlite3_errstr(result);

	if (error == -ENOSPC)
		set_state(s, STORE_FULL, why);
	else if (error == -EIO)
		fail(s, why);
	else if (!error && wrote)
		set_state(s, STORE_OK, "");
	return error;
}

/* After a failed write nothing is written any more. Without a connection nothing is read, either: a
 * recovery has failed. */
static void run_job(struct store_sqlite *s, struct job *job)
{
	bool writes = job->type == JOB_COMMIT || job->type == JOB_PURGE;
	int r;

	if ((writes && has_failed(s)) || !s->q.db) {
		job->error = -EIO;
		return;
	}
	if (job->type == JOB_COMMIT)
		r = sqlite_commit(&s->q, job->commit);
	else if (job->type == JOB_PURGE)
		r = sqlite_purge(&s->q, job->queue, job->parked, job->most, &job->removed,
			&job->bytes, &job->more);
	else
		r = sqlite_read(&s->q, job);
	job->error = note(s, r, writes);
	/* It is not known until the disk has been read again. */
	if (job->error == -EIO && s->q.unsure)
		job->error = -EINPROGRESS;
}

static bool recover(struct store_sqlite *s)
{
	uint64_t now = sqlite_log_now();
	char *why = NULL;
	int r;

	if (now < s->recover_at)
		return false;
	r = sqlite_recover(&s->q, &why);
	if (!r) {
		set_state(s, STORE_OK, "");
	} else {
		s->recover_at = now + s->recover_span;
		s->recover_span *= 2;
		if (s->recover_span > RECOVER_MOST * s->q.tuning.recover_us)
			s->recover_span = RECOVER_MOST * s->q.tuning.recover_us;
		if (why)
			set_state(s, STORE_FAILED, why);
	}
	sqlite3_free(why);
	return true;
}

/* Does a part of the background work. idle: no job waits. Return: whether to call it again at once.
 */
static bool work_in_background(struct store_sqlite *s, bool idle)
{
	struct sqlite *q = &s->q;
	uint32_t frames = q->log_copied ? 0 : q->log_frames;

	if (has_failed(s))
		return recover(s);
	if (frames >= q->tuning.log_max || (idle && frames >= q->tuning.log_idle))
		return !note(s, sqlite_checkpoint(q), false);
	if (idle)
		return sqlite_wants_merge(q) && !note(s, sqlite_merge(q), true);
	/* This bounds the part in memory even where jobs come without a pause. */
	while (sqlite_recent(q) >= 2 * q->tuning.recent_max)
		if (note(s, sqlite_merge(q), true))
			break;
	return false;
}

static void finish(struct store_sqlite *s, struct job *job)
{
	bool tell;

	pthread_mutex_lock(&s->lock);
	tell = !s->done.first;
	jobs_push(&s->done, job);
	pthread_mutex_unlock(&s->lock);
	if (tell)
		eventfd_write(s->event, 1);
}

/* Waits for a job, or until recovery is tried again. The lock is held. */
static void wait_for_work(struct store_sqlite *s)
{
	uint64_t at = s->recover_at;
	struct timespec until = {
		.tv_sec = (time_t)(at / 1000000),
		.tv_nsec = (long)(at % 1000000) * 1000,
	};

	if (s->state == STORE_FAILED)
		pthread_cond_timedwait(&s->wake, &s->lock, &until);
	else
		pthread_cond_wait(&s->wake, &s->lock);
}

static void *work(void *userdata)
{
	struct store_sqlite *s = userdata;
	bool ending = false, again = true;

	while (!ending) {
		struct job *job;

		pthread_mutex_lock(&s->lock);
		while (!again && !jobs_wait(&s->waiting) && !s->ending) {
			wait_for_work(s);
			again = s->state == STORE_FAILED;
		}
		job = jobs_take(&s->waiting);
		ending = !job && s->ending;
		pthread_mutex_unlock(&s->lock);
		if (job) {
			run_job(s, job);
			finish(s, job);
		}
		again = !ending && work_in_background(s, !job);
		/* Work that was done while jobs waited does not use up the idle time for the rest.
		 */
		again = again || job;
	}
	return NULL;
}

static int submit(struct store *store, struct job *job, struct store_reader *reader)
{
	struct store_sqlite *s = of(store);

	if (!job)
		return -ENOMEM;
	job->reader = reader;
	pthread_mutex_lock(&s->lock);
	jobs_add(&s->waiting, job);
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	return 0;
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
	return sqlite_queues_open(&of(store)->queues, uid, name, ret);
}

static void sqlite_store_ref_queue(struct store *store, uint32_t number)
{
	sqlite_queues_ref(&of(store)->queues, number);
}

static void sqlite_store_unref_queue(struct store *store, uint32_t number)
{
	sqlite_queues_unref(&of(store)->queues, number);
}

static void sqlite_store_usage(const struct store *store, uint32_t uid, struct store_usage *ret)
{
	struct store_sqlite *s = (struct store_sqlite *)(uintptr_t)store;

	sqlite_queues_usage(&s->queues, uid, ret);
}

static int sqlite_store_find_puts(struct store *store, const uint8_t *token, struct store_reader *r)
{
	struct job *job = job_new(JOB_FIND_PUTS);

	if (job)
		memcpy(job->token, token, sizeof(job->token));
	return submit(store, job, r);
}

static int sqlite_store_load(struct store *store, uint32_t queue,
	const struct store_position *after, uint64_t until, size_t n, struct store_reader *r)
{
	struct job *job = job_new(JOB_LOAD);

	if (job) {
		job->queue = queue;
		job->clock = after->clock;
		job->after = *after;
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

static void hand_out_puts(struct job *job, size_t n)
{
	const uint8_t *at = job->data;
	struct sqlite_put_head head = {0};

	for (size_t i = 0; i < n; i++) {
		memcpy(&head, at, sizeof(head));
		at += sizeof(head);
		job->reader->put(
			job->reader, head.serial, (const struct proto_queue_stored *)at, head.n, 0);
		at += head.n * sizeof(struct proto_queue_stored);
	}
	job->reader->put(job->reader, head.serial, NULL, 0, job->error);
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
		hand_out_puts(job, n);
		return;
	case JOB_PURGE:
		r->purged(r, job->removed, job->bytes, !job->error && job->more, job->error);
		return;
	default:
		r->rows(r, job->timers, n, &job->beyond, job->more, job->error);
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
		job = jobs_pop(&s->done);
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
	memcpy(s->state_text, s->why, sizeof(s->state_text));
	pthread_mutex_unlock(&s->lock);
	*ret_why = s->state_text;
	return state;
}

static const char *sqlite_store_failure(struct store *store)
{
	struct store_sqlite *s = of(store);

	pthread_mutex_lock(&s->lock);
	memcpy(s->failure_text, s->failure, sizeof(s->failure_text));
	s->failure[0] = '\0';
	pthread_mutex_unlock(&s->lock);
	return s->failure_text[0] ? s->failure_text : NULL;
}

static void store_free(struct store_sqlite *s)
{
	struct job *job;

	while ((job = jobs_take(&s->waiting)) || (job = jobs_pop(&s->done)))
		job_free(job);
	sqlite_queues_free(&s->queues);
	free(s->path);
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
	if (clocks && s->state != STORE_FAILED) {
		last.clocks = *clocks;
		if (!sqlite_commit(&s->q, &last))
			sqlite_empty_log(&s->q);
	}
	sqlite_close(&s->q);
	store_free(s);
}

static const struct store_ops ops = {
	.close = sqlite_store_close,
	.get_fd = sqlite_store_get_fd,
	.process = sqlite_store_process,
	.state = sqlite_store_state,
	.failure = sqlite_store_failure,
	.commit = sqlite_store_commit,
	.open_queue = sqlite_store_open_queue,
	.ref_queue = sqlite_store_ref_queue,
	.unref_queue = sqlite_store_unref_queue,
	.usage = sqlite_store_usage,
	.find_puts = sqlite_store_find_puts,
	.load = sqlite_store_load,
	.list = sqlite_store_list,
	.queues = sqlite_store_queues,
	.purge = sqlite_store_purge,
};

/* Opens the file and reads the part that memory holds. ret_why: the caller frees it with
 * sqlite3_free(). */
static int open_file(struct store_sqlite *s, struct clocks_stored *ret_clocks, char **ret_why)
{
	int r = sqlite_open(&s->q, ret_why);

	if (r)
		return r;
	r = sqlite_read_queues(&s->q);
	if (!r)
		r = sqlite_read_clocks(&s->q, ret_clocks);
	if (!r)
		return 0;
	*ret_why = sqlite3_mprintf(
		"%s: %s; restore the file and its -wal from a copy, or move both "
		"away",
		s->path, sqlite3_errstr(r));
	sqlite_close(&s->q);
	return r == SQLITE_NOMEM ? -ENOMEM : -EBADMSG;
}

static int init(struct store_sqlite *s, const char *path, const struct sqlite_host *host,
	const struct sqlite_tuning *tuning)
{
	pthread_condattr_t attributes;

	s->base.ops = &ops;
	s->path = strdup(path);
	s->q.path = s->path;
	s->q.host = host ? host : &sqlite_host_default;
	s->q.tuning = tuning ? *tuning : sqlite_tuning_default;
	s->q.queues = &s->queues;
	s->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sqlite_queues_init(&s->queues);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	return !s->path ? -ENOMEM : s->event < 0 ? -errno : 0;
}

int store_sqlite_open(struct store **ret, const char *path, const struct sqlite_host *host,
	const struct sqlite_tuning *tuning, struct clocks_stored *ret_clocks, char **ret_why)
{
	struct store_sqlite *s = calloc(1, sizeof(*s));
	char *why = NULL;
	int r;

	*ret_why = NULL;
	if (!s)
		return -ENOMEM;
	/* Statistics of memory would take a lock for each allocation. Fails where SQLite is in use
	 * already, which does not matter. */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	r = init(s, path, host, tuning);
	if (!r)
		r = open_file(s, ret_clocks, &why);
	if (!r) {
		r = thread_start(&s->thread, work, s);
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
