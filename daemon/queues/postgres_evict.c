/* SPDX-License-Identifier: MIT */
/*
 * A host that is halted while the server reads its commit, or sends it the answer, keeps the locks
 * of this commit. PostgreSQL 13 to 16 have no limit for that: statement_timeout does not end a
 * write to a client that reads nothing. The locks are in the way of whoever takes, renews or
 * releases a lease of these queues.
 *
 * So a host ends such a transaction before it takes over a lease, and when it has waited in vain
 * for a lock. A live host gives up a transaction that is that old: see overdue_at() in
 * postgres_link.c. Only sessions of the same role and with the same application_name are ended: any
 * role may do this.
 */
#include "postgres_evict.h"

#include <stdio.h>
#include <stdlib.h>

#include "postgres_timer.h"

#define EVICT_US UINT64_C(1000000)

static const char statement[] =
	"SELECT count(*) FROM (SELECT pg_terminate_backend(a.pid) AS ended"
	" FROM pg_stat_activity a WHERE a.datname = current_database()"
	" AND a.usename = CURRENT_USER AND a.pid <> pg_backend_pid()"
	" AND a.application_name = current_setting('application_name')"
	" AND a.xact_start < clock_timestamp() - make_interval(secs => $1 / 1000000.0)) e"
	" WHERE e.ended";

struct evict_job {
	struct pg_job job;
	struct store_postgres *s;
};

static bool evict_send(struct pg_job *job, PGconn *c)
{
	const struct store_postgres *s = ((const struct evict_job *)job)->s;
	struct pg_parameters p = {0};

	pg_add_int8(&p, (int64_t)pg_link_patience(&s->control));
	return pg_send(c, statement, &p);
}

static void evict_result(struct pg_job *job, unsigned int number, const PGresult *r)
{
	const struct store_postgres *s = ((const struct evict_job *)job)->s;
	int64_t n = PQntuples(r) == 1 ? pg_get_int(r, 0, 0) : 0;
	char line[192];

	(void)number;
	if (!n || !s->log_line)
		return;
	snprintf(line, sizeof(line),
		"ended %lld transaction(s) that another host left open, because they hold locks; "
		"that host is halted or cut off from the database",
		(long long)n);
	s->log_line(s->log_userdata, line);
}

static void evict_end(struct pg_job *job, int error)
{
	struct evict_job *j = (struct evict_job *)job;

	(void)error; /* the wait for the lock shows it */
	j->s->evicting = false;
	free(j);
}

void pg_evict(struct store_postgres *s)
{
	struct evict_job *j = s->evicting ? NULL : malloc(sizeof(*j));

	if (!j)
		return;
	*j = (struct evict_job){
		.job = {.send = evict_send, .result = evict_result, .end = evict_end},
		.s = s,
	};
	if (pg_link_submit(&s->control, &j->job)) {
		free(j);
		return;
	}
	s->evicting = true;
	pg_timer_flush(s, &s->control);
}

void pg_evict_soon(struct store_postgres *s)
{
	uint64_t now = pg_now();

	if (now < s->evict_again)
		return;
	s->evict_again = now + EVICT_US;
	pg_evict(s);
}
