/* SPDX-License-Identifier: MIT */
/*
 * One transaction. All changes of a commit are sent as arrays, one for each column, to one
 * statement, which returns arrays. So a thousand puts are one round trip, and a host that halts
 * while it sends holds no lock.
 *
 * The statement applies acknowledgements first, then puts, then the rest. If two changes name the
 * same key or id, their order matters; then the statement is told to apply all changes one by one.
 */
#include "postgres_commit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postgres_commit_result.h"
#include "postgres_evict.h"
#include "postgres_hints.h"
#include "postgres_order.h"
#include "postgres_receipts.h"
#include "postgres_timer.h"

/* How long a token is kept, and how often old ones are deleted, microseconds. */
#define PUTS_KEPT_US   (UINT64_C(24) * 3600 * 1000000)
#define PUTS_EXPIRE_US (UINT64_C(3600) * 1000000)

/* How many times a commit is sent if it conflicts with another transaction. */
#define TRIES 8

/* The functions of the schema know these numbers. */
static_assert(STORE_PUT == 0 && STORE_CANCEL == 1 && STORE_RESCHEDULE == 2 && STORE_REMOVE == 3 &&
		STORE_ADVANCE == 4 && STORE_DELAY == 5 && STORE_PARK == 6 && STORE_REVIVE == 7,
	"sql/schema_functions.sql");
static_assert(PROTO_E_NO_SUCH_TIMER == 1 && PROTO_E_TIMERS_USER == 3 && PROTO_E_RANGE == 8 &&
		PROTO_Q_BYTES_USER == 37 && PROTO_Q_PARKED == 45 && PROTO_QUEUE_REPLACED == 1 &&
		PROTO_QUEUE_KEPT == 2 && STORE_PUTS == 64,
	"sql/schema_functions.sql");
#define TYPE_NOTHING  99
#define FLAG_KEEP     256
#define FLAG_RELATIVE 512

static bool is_wake(const struct store_change *c)
{
	return c->type == STORE_REMOVE || c->type == STORE_ADVANCE || c->type == STORE_DELAY ||
		c->type == STORE_PARK;
}

static int64_t or_none(uint64_t span)
{
	return span > INT64_MAX ? -1 : (int64_t)span;
}

static void lower(uint64_t *limit, uint64_t other)
{
	if (other && (!*limit || other < *limit))
		*limit = other;
}

/* Adds the change's queue to the queues of the statement, once. */
static void use_queue(struct commit_job *j, const struct store_change *c)
{
	struct pg_queue *queue = pg_queues_get(&j->s->queues, c->timer.queue);
	struct used_queue *used;

	if (queue->mark != j->s->commits) {
		queue->mark = j->s->commits;
		queue->index = (uint32_t)++j->queue_count;
		j->queues[queue->index - 1] = (struct used_queue){
			.queue = queue, .term = pg_term_of(queue)};
	}
	used = &j->queues[queue->index - 1];
	if (c->type != STORE_PUT)
		return;
	used->puts++;
	used->put_bytes += (uint64_t)c->timer.key_size + c->timer.payload_size;
	lower(&used->limit_timers, c->limit_timers);
	lower(&used->limit_bytes, c->limit_bytes);
}

static const struct used_queue *used_of(const struct commit_job *j, const struct store_change *c)
{
	return &j->queues[pg_queues_get(&j->s->queues, c->timer.queue)->index - 1];
}

static int32_t type_of(const struct commit_job *j, const struct store_change *c)
{
	/* The change of a wake under a lease that has ended, even if this host held it: it must
	 * change nothing. */
	if (is_wake(c) && c->term != used_of(j, c)->term)
		return TYPE_NOTHING;
	if (c->type == STORE_ADVANCE && c->timer.due == PROTO_FOREVER)
		return STORE_REMOVE;
	return (int32_t)c->type;
}

/* The clocks that spans count from: the latest reading among the changes. */
static void add_clocks(struct pg_parameters *p, const struct commit_job *j)
{
	uint64_t now[PROTO_CLOCKS] = {0};

	for (size_t i = 0; i < j->count; i++)
		for (unsigned int k = 0; k < PROTO_CLOCKS; k++)
			if (j->changes[i]->now[k] > now[k])
				now[k] = j->changes[i]->now[k];
	pg_begin_array(p, PG_INT8S);
	for (unsigned int k = 0; k < PROTO_CLOCKS; k++)
		pg_put_int8(p, or_none(now[k]));
	pg_end_array(p);
}

#define COLUMN8(p, list, n, value)                        \
	do {                                              \
		pg_begin_array(p, PG_INT8S);              \
		for (size_t i = 0; i < (n); i++)          \
			pg_put_int8(p, (int64_t)(value)); \
		pg_end_array(p);                          \
	} while (0)
#define COLUMN4(p, list, n, value)                        \
	do {                                              \
		pg_begin_array(p, PG_INT4S);              \
		for (size_t i = 0; i < (n); i++)          \
			pg_put_int4(p, (int32_t)(value)); \
		pg_end_array(p);                          \
	} while (0)

static void add_queues(struct pg_parameters *p, const struct commit_job *j)
{
	const struct used_queue *q = j->queues;
	size_t n = j->queue_count;

	COLUMN8(p, q, n, q[i].queue->uid);
	pg_begin_array(p, PG_TEXTS);
	for (size_t i = 0; i < n; i++)
		pg_put_bytes(p, q[i].queue->name, strlen(q[i].queue->name));
	pg_end_array(p);
	COLUMN8(p, q, n, q[i].term);
	COLUMN8(p, q, n, q[i].limit_timers);
	COLUMN8(p, q, n, q[i].limit_bytes);
	COLUMN8(p, q, n, q[i].puts);
	COLUMN8(p, q, n, q[i].put_bytes);
}

/* The put packet that a change answers, and the number of its record in it, both from 1. Return: 0
 * if the change answers no packet. */
static uint32_t packet_of(
	const struct commit_job *j, const struct store_change *c, uint32_t *ret_record)
{
	uint32_t packet = 1;

	for (const struct store_put *p = j->commit->puts; p && c->answer; p = p->next, packet++)
		if (c->answer >= p->answers && c->answer < p->answers + p->count) {
			*ret_record = (uint32_t)(c->answer - p->answers) + 1;
			return packet;
		}
	return 0;
}

/* Which records the changes answer, and the packets' other records, which were refused at once. */
static void add_packets(struct pg_parameters *p, const struct commit_job *j)
{
	uint32_t *packets = calloc(j->count, sizeof(*packets));
	uint32_t *records = calloc(j->count, sizeof(*records));

	if (!packets || !records) {
		p->failed = true;
	} else {
		for (size_t i = 0; i < j->count; i++)
			packets[i] = packet_of(j, j->changes[i], &records[i]);
		COLUMN4(p, packets, j->count, packets[i]);
		COLUMN4(p, records, j->count, records[i]);
	}
	free(packets);
	free(records);
}

static void add_text(struct pg_parameters *p, const void *bytes, size_t size)
{
	if (size)
		pg_put_bytes(p, bytes, size);
	else
		pg_put_null(p);
}

static void add_bytes(struct pg_parameters *p, const struct commit_job *j)
{
	struct store_change **c = j->changes;

	pg_begin_array(p, PG_TEXTS);
	for (size_t i = 0; i < j->count; i++)
		add_text(p, c[i]->timer.label,
			strnlen(c[i]->timer.label, sizeof(c[i]->timer.label)));
	pg_end_array(p);
	pg_begin_array(p, PG_TEXTS);
	for (size_t i = 0; i < j->count; i++)
		add_text(p, c[i]->timer.key, c[i]->timer.key_size);
	pg_end_array(p);
	pg_begin_array(p, PG_BYTEAS);
	for (size_t i = 0; i < j->count; i++)
		add_text(p, c[i]->timer.payload, c[i]->timer.payload_size);
	pg_end_array(p);
}

static int32_t flags_of(const struct store_change *c)
{
	return c->timer.flags | (c->keep ? FLAG_KEEP : 0) | (c->relative ? FLAG_RELATIVE : 0);
}

static void add_changes(struct pg_parameters *p, const struct commit_job *j)
{
	struct store_change **c = j->changes;
	size_t n = j->count;

	COLUMN4(p, c, n, type_of(j, c[i]));
	COLUMN4(p, c, n, pg_queues_get(&j->s->queues, c[i]->timer.queue)->index);
	COLUMN8(p, c, n, c[i]->timer.id);
	COLUMN8(p, c, n, or_none(c[i]->timer.due));
	COLUMN8(p, c, n, or_none(c[i]->timer.ready));
	COLUMN8(p, c, n, or_none(c[i]->timer.slack));
	COLUMN8(p, c, n, or_none(c[i]->timer.every));
	COLUMN8(p, c, n, or_none(c[i]->timer.max_late));
	COLUMN8(p, c, n, c[i]->timer.count);
	COLUMN8(p, c, n, c[i]->timer.number);
	COLUMN8(p, c, n, c[i]->timer.attempt);
	COLUMN8(p, c, n, c[i]->timer.max_attempts);
	COLUMN4(p, c, n, c[i]->timer.clock);
	COLUMN4(p, c, n, flags_of(c[i]));
	add_packets(p, j);
	add_bytes(p, j);
}

static bool is_answered_by_change(const struct commit_job *j, const struct proto_queue_stored *a)
{
	for (size_t i = 0; i < j->count; i++)
		if (j->changes[i]->answer == a)
			return true;
	return false;
}

/* How many of the packet's records are changes of this commit. */
static size_t count_changes(const struct commit_job *j, const struct store_put *p)
{
	size_t n = 0;

	for (size_t i = 0; i < j->count; i++)
		n += j->changes[i]->answer >= p->answers &&
			j->changes[i]->answer < p->answers + p->count;
	return n;
}

static void put_refused(struct pg_parameters *p, const struct commit_job *j, int column)
{
	int32_t packet = 1;

	pg_begin_array(p, PG_INT4S);
	for (const struct store_put *put = j->commit->puts; put; put = put->next, packet++) {
		if (count_changes(j, put) == put->count)
			continue;
		for (size_t i = 0; i < put->count; i++) {
			int32_t values[] = {
				packet, (int32_t)i + 1, (int32_t)put->answers[i].status};

			if (!is_answered_by_change(j, &put->answers[i]))
				pg_put_int4(p, values[column]);
		}
	}
	pg_end_array(p);
}

static void add_puts(struct pg_parameters *p, const struct commit_job *j)
{
	pg_begin_array(p, PG_INT8S);
	for (const struct store_put *put = j->commit->puts; put; put = put->next)
		pg_put_int8(p, pg_uid_of(put->token));
	pg_end_array(p);
	pg_begin_array(p, PG_UUIDS);
	for (const struct store_put *put = j->commit->puts; put; put = put->next)
		pg_put_bytes(p, put->token + 4, sizeof(put->token) - 4);
	pg_end_array(p);
	pg_begin_array(p, PG_INT8S);
	for (const struct store_put *put = j->commit->puts; put; put = put->next)
		pg_put_int8(p, (int64_t)put->serial);
	pg_end_array(p);
	for (int column = 0; column < 3; column++)
		put_refused(p, j, column);
}

#define OTHERS                                                                                 \
	", $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, " \
	"$20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37"

static bool send_changes(struct commit_job *j, PGconn *c)
{
	struct pg_parameters p = {0};
	char statement[512];

	j->s->commits++;
	j->queue_count = 0;
	for (size_t i = 0; i < j->count; i++)
		use_queue(j, j->changes[i]);
	pg_add_text(&p, j->s->owner);
	pg_add_int4(&p, j->s->slot);
	pg_add_int8(&p, (int64_t)j->commit->clocks.now[PROTO_CLOCK_BOOTTIME]);
	add_clocks(&p, j);
	pg_add_bool(&p, pg_order_matters(j->changes, j->count));
	add_queues(&p, j);
	add_changes(&p, j);
	add_puts(&p, j);
	if (j->careful)
		return pg_send(c, "SELECT * FROM timerd.commit_unlocked($1" OTHERS ")", &p);
	snprintf(statement, sizeof(statement),
		"WITH s AS MATERIALIZED (SELECT pg_catalog.set_config('lock_timeout', '%llu',"
		" true)) SELECT r.* FROM s, LATERAL timerd.commit(CASE WHEN s IS NOT NULL THEN $1"
		" END" OTHERS ") r",
		pg_lock_ms(j->s));
	return pg_send(c, statement, &p);
}

static bool send_expiry(const struct commit_job *j, PGconn *c)
{
	struct pg_parameters p = {0};

	pg_add_int8(&p, (int64_t)(j->commit->clocks.now[PROTO_CLOCK_BOOTTIME] - PUTS_KEPT_US));
	return pg_send(c,
		       "DELETE FROM timerd.puts WHERE ctid = ANY (ARRAY(SELECT ctid FROM "
		       "timerd.puts WHERE stored < $1 FOR UPDATE SKIP LOCKED))",
		       &p) &&
		pg_send(c, "SELECT timerd.tidy()", &p);
}

static bool commit_send(struct pg_job *job, PGconn *c)
{
	struct commit_job *j = (struct commit_job *)job;

	j->answered = false;
	return (!j->count || (send_changes(j, c) && pg_receipts_bound(j->s, j->commit, c))) &&
		(!j->expires || send_expiry(j, c));
}

static void commit_result(struct pg_job *job, unsigned int statement, const PGresult *r)
{
	struct commit_job *j = (struct commit_job *)job;

	if (statement == 0 && j->count && pg_commit_read(j, r))
		j->answered = true;
}

/* The state of the store after the end of a commit. */
static void note_state(struct store_postgres *s, int error)
{
	if (error == PG_AWAY || error == PG_UNKNOWN)
		return; /* the connection has this state */
	s->state = !error ? STORE_OK : error == -ENOSPC ? STORE_FULL : STORE_AWAY;
	snprintf(s->why, sizeof(s->why), "%s", error ? s->data.why : "");
}

static void commit_free(struct commit_job *j)
{
	free(j->queues);
	free(j->changes);
	free(j);
}

/* Sends a commit again that has waited in vain for a lock: without what is locked, and with another
 * slot, because the lock may be of a row of counts. Return: whether it is sent. */
static bool try_careful(struct commit_job *j)
{
	if (j->is_again)
		return false;
	j->is_again = j->careful = true;
	j->s->slot = (j->s->slot + 1) % PG_SLOTS;
	return !pg_link_submit(&j->s->data, &j->job);
}

static void commit_end(struct pg_job *job, int error)
{
	struct commit_job *j = (struct commit_job *)job;
	struct store_postgres *s = j->s;
	struct store_commit *commit = j->commit;

	if (error == PG_AGAIN && ++j->tries < TRIES && !pg_link_submit(&s->data, job))
		return;
	if (error == PG_LOCKED && try_careful(j))
		return;
	if (error == PG_LOCKED)
		error = -ETIMEDOUT;
	if (!error && j->count && !j->answered)
		error = -EIO;
	if (!error) {
		pg_commit_answer(j);
		for (size_t i = 0; i < j->queue_count; i++)
			if (j->queues[i].others)
				pg_hints_add(s, j->queues[i].queue);
	}
	if (!error && j->expires)
		s->puts_expired = commit->clocks.now[PROTO_CLOCK_BOOTTIME];
	if (error == -ETIMEDOUT)
		pg_evict(s);
	note_state(s, error);
	s->committing = false;
	commit_free(j);
	commit->done(commit, error == PG_AGAIN ? -EIO : error);
}

/* There is nothing to send: the clocks are the database's own. */
static bool send_nothing(struct pg_job *job, PGconn *c)
{
	(void)job, (void)c;
	return true;
}

static int gather(struct commit_job *j)
{
	size_t n = 0;

	for (struct store_change *c = j->commit->changes; c; c = c->next)
		j->count++;
	j->changes = calloc(j->count + 1, sizeof(struct store_change *));
	j->queues = calloc(j->count + 1, sizeof(*j->queues));
	if (!j->changes || !j->queues)
		return -ENOMEM;
	for (struct store_change *c = j->commit->changes; c; c = c->next) {
		j->changes[n++] = c;
		j->careful = j->careful || c->locked;
	}
	return 0;
}

int pg_commit(struct store *store, struct store_commit *commit)
{
	struct store_postgres *s = pg_store_of(store);
	uint64_t now = commit->clocks.now[PROTO_CLOCK_BOOTTIME];
	struct commit_job *j;
	int r;

	if (s->committing)
		return -EBUSY;
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	j->s = s;
	j->commit = commit;
	/* By elapsed time, which does not jump when somebody sets the clock. */
	j->expires = now >= s->puts_expired + PUTS_EXPIRE_US && now >= PUTS_KEPT_US;
	r = gather(j);
	j->job.send = j->count || j->expires ? commit_send : send_nothing;
	j->job.result = commit_result;
	j->job.end = commit_end;
	if (!r)
		r = pg_link_submit(&s->data, &j->job);
	if (r) {
		commit_free(j);
		return r;
	}
	s->committing = true;
	pg_timer_flush(s, &s->data);
	return 0;
}
