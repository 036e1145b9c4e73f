/* SPDX-License-Identifier: MIT */
/*
 * The payload of a hint is UID/NAME of the queue, so that only the queue's owner polls.
 *
 * A transaction that notifies holds a lock of the whole server until it ends. So hints have their
 * own transaction, which writes nothing and waits for no disk. They use the connection of the
 * rounds and must not delay the renewal of a lease, so they give up early if another session holds
 * that lock.
 * Besides, no round and no commit fails because the server's queue of notifications is full, which
 * any role of the server can cause.
 */
#include "postgres_hints.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postgres_timer.h"

static const char statement[] =
	"WITH s AS MATERIALIZED (SELECT pg_catalog.set_config('synchronous_commit', 'off', true),"
	" pg_catalog.set_config('lock_timeout', '100', true))"
	" SELECT pg_catalog.pg_notify('timerd', n) FROM s, pg_catalog.unnest($1) n";

struct hints_job {
	struct pg_job job;
	struct store_postgres *s;
	struct pg_hints hints;
};

static bool hints_send(struct pg_job *job, PGconn *c)
{
	const struct pg_hints *hints = &((const struct hints_job *)job)->hints;
	struct pg_parameters p = {0};

	pg_begin_array(&p, PG_TEXTS);
	for (size_t i = 0; i < hints->n; i++)
		pg_put_bytes(&p, hints->names[i], strlen(hints->names[i]));
	if (hints->released)
		pg_put_bytes(&p, PG_HINT_RELEASED, strlen(PG_HINT_RELEASED));
	pg_end_array(&p);
	return pg_send(c, statement, &p);
}

/* Logs once that hints fail. A lock of somebody else passes. */
static void note_failure(struct store_postgres *s, int error)
{
	char line[480];

	if (!error)
		s->hints.failed = false;
	if (s->hints.failed || !s->log_line || !error || error == PG_LOCKED ||
		error == -ETIMEDOUT || error == PG_AWAY || error == PG_UNKNOWN)
		return;
	s->hints.failed = true;
	snprintf(line, sizeof(line),
		"cannot notify other hosts: %s; they find changes up to a second later, by their "
		"polls",
		s->control.why);
	s->log_line(s->log_userdata, line);
}

/* A failed hint is not sent again: the next poll finds the change. */
static void hints_end(struct pg_job *job, int error)
{
	struct hints_job *j = (struct hints_job *)job;

	j->s->hints.under_way--;
	note_failure(j->s, error);
	free(j);
}

void pg_hints_add_release(struct store_postgres *s)
{
	s->hints.released = true;
}

bool pg_hints_are_sent(const struct store_postgres *s)
{
	return !s->hints.n && !s->hints.released && !s->hints.under_way;
}

void pg_hints_add(struct store_postgres *s, const struct pg_queue *queue)
{
	struct pg_hints *hints = &s->hints;
	char name[PG_HINT_SIZE];

	snprintf(name, sizeof(name), "%u/%s", queue->uid, queue->name);
	for (size_t i = 0; i < hints->n; i++)
		if (!strcmp(hints->names[i], name))
			return;
	if (hints->n < PG_HINTS)
		memcpy(hints->names[hints->n++], name, sizeof(name));
}

void pg_hints_run(struct store_postgres *s)
{
	uint64_t now = pg_now();
	struct hints_job *j;

	if (now < pg_timer_next_hint(s))
		return;
	j = malloc(sizeof(*j));
	if (j) {
		j->job = (struct pg_job){.send = hints_send, .end = hints_end, .sets_itself = true};
		j->s = s;
		j->hints = s->hints;
		s->hints.under_way++;
		if (pg_link_submit(&s->control, &j->job)) {
			s->hints.under_way--;
			free(j);
		}
	}
	s->hints.n = 0;
	s->hints.released = false;
	s->hints.sent = now;
	pg_timer_flush(s, &s->control);
}

struct pg_queue *pg_hints_read(struct store_postgres *s, const char *payload)
{
	char *name;
	unsigned long uid = strtoul(payload, &name, 10);

	if (name == payload || *name != '/' || uid > UINT32_MAX)
		return NULL;
	return pg_queues_find(&s->queues, (uint32_t)uid, name + 1);
}
