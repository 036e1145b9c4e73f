/* SPDX-License-Identifier: MIT */
#include "postgres_link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "postgres_names.h"
#include "postgres_values.h"

/* After which silence a database counts as away, how long an attempt to connect may take, and the
 * spans between attempts. Microseconds. */
#define AWAY_US	       UINT64_C(2000000)
#define CONNECT_US     UINT64_C(5000000)
#define BACKOFF_US     UINT64_C(100000)
#define BACKOFF_MAX_US UINT64_C(10000000)

uint64_t pg_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void push(struct pg_jobs *jobs, struct pg_job *job)
{
	job->next = NULL;
	*(jobs->last ? &jobs->last->next : &jobs->first) = job;
	jobs->last = job;
}

static struct pg_job *pop(struct pg_jobs *jobs)
{
	struct pg_job *job = jobs->first;

	if (job)
		jobs->first = job->next;
	if (!jobs->first)
		jobs->last = NULL;
	return job;
}

static void set_settings(struct pg_link *l)
{
	unsigned long long ms = l->greeting.lease / 1000;

	/* The timeouts are below a third of the lease, so that a renewal that waits for a lock
	 * fails early enough to be tried again. Plans use indexes, because a table that was small
	 * when it was analysed may have grown, and are not compiled, because that would take longer
	 * than running them. search_path: other roles may create functions in the schema public,
	 * which this role must not run. Statements that contain these settings themselves name
	 * pg_catalog. */
	snprintf(l->settings, sizeof(l->settings),
		"SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true), "
		"pg_catalog.set_config('synchronous_commit', 'on', true), "
		"pg_catalog.set_config('statement_timeout', '%llu', true), "
		"pg_catalog.set_config('lock_timeout', '%llu', true), "
		"pg_catalog.set_config('enable_seqscan', 'off', true), "
		"pg_catalog.set_config('jit', 'off', true)",
		ms * 3 / 10 + 1, ms / 4 + 1);
}

void pg_link_init(struct pg_link *l, const char *uri, int epoll)
{
	*l = (struct pg_link){.uri = uri, .epoll = epoll, .fd = -1, .away_at = pg_now() + AWAY_US};
	l->has_names = pg_names_wanted(uri);
	l->greeting.lease = UINT64_C(15000000);
	set_settings(l);
}

/* A random span between the half and the whole of a span that doubles with each failure. The first
 * attempt is made at once. */
static uint64_t backoff(const struct pg_link *l)
{
	uint64_t span = BACKOFF_US << (l->failures < 8 ? l->failures : 8), random = 0;

	if (!l->failures)
		return 0;
	if (span > BACKOFF_MAX_US)
		span = BACKOFF_MAX_US;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = pg_now() * UINT64_C(0x9e3779b97f4a7c15);
	return span / 2 + random % (span / 2);
}

static void watch(struct pg_link *l, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = l};

	l->fd = PQsocket(l->c);
	if (l->fd >= 0 && epoll_ctl(l->epoll, EPOLL_CTL_MOD, l->fd, &e) < 0)
		epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->fd, &e);
}

static void finish(struct pg_link *l, struct pg_job *job, int error)
{
	job->error = error;
	push(&l->ended, job);
}

static void fail_waiting(struct pg_link *l)
{
	struct pg_job *job;

	while ((job = pop(&l->waiting)))
		finish(l, job, PG_AWAY);
}

static void drop_names(struct pg_link *l)
{
	if (l->names)
		epoll_ctl(l->epoll, EPOLL_CTL_DEL, pg_names_fd(l->names), NULL);
	pg_names_unref(l->names);
	l->names = NULL;
}

void pg_link_break(struct pg_link *l, const char *why)
{
	bool was_ready = l->state == PG_LINK_READY;
	struct pg_job *job;

	/* The first line only: libpq's messages end with a newline. */
	snprintf(l->why, sizeof(l->why), "%.*s", (int)strcspn(why, "\n"), why);
	if (l->c)
		PQfinish(l->c);
	l->c = NULL;
	l->fd = -1;
	while ((job = pop(&l->sent)))
		finish(l, job, PG_UNKNOWN);
	if (was_ready)
		l->away_at = pg_now() + AWAY_US;
	else
		l->failures++;
	/* If a server does not answer or is a standby, the next attempt begins with another one. */
	l->first += l->state == PG_LINK_CONNECTING || l->state == PG_LINK_GREETING;
	l->state = PG_LINK_DOWN;
	l->retry_at = pg_now() + backoff(l);
	if (was_ready && l->changed)
		l->changed(l->userdata, false);
}

bool pg_link_is_away(const struct pg_link *l)
{
	return l->state != PG_LINK_READY && (l->misfit || pg_now() >= l->away_at);
}

void pg_link_close(struct pg_link *l)
{
	l->changed = NULL;
	drop_names(l);
	if (l->c)
		PQfinish(l->c);
	l->c = NULL;
	for (struct pg_job *job; (job = pop(&l->sent));)
		finish(l, job, PG_UNKNOWN);
	/* A read whose connection broke submits itself again. */
	do {
		fail_waiting(l);
		pg_link_hand_out(l);
	} while (l->waiting.first);
}

static bool start_names(struct pg_link *l)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = l};

	l->names = pg_names_start(l->uri, l->first);
	if (l->names && epoll_ctl(l->epoll, EPOLL_CTL_ADD, pg_names_fd(l->names), &e) < 0)
		drop_names(l);
	return l->names;
}

/* libpq would print notices to standard error. What ends a connection is logged as its reason. */
static void ignore_notice(void *userdata, const PGresult *r)
{
	(void)userdata;
	(void)r;
}

static void connect_socket(struct pg_link *l)
{
	const struct pg_names *n = l->names;
	const char *const names[] = {"dbname", "client_encoding", "fallback_application_name",
		n ? "host" : NULL, "hostaddr", "port", NULL};
	const char *const values[] = {l->uri, "UTF8", "timerqd", n ? pg_names_hosts(n) : NULL,
		n ? pg_names_addresses(n) : NULL, n ? pg_names_ports(n) : NULL, NULL};

	l->c = PQconnectStartParams(names, values, 1);
	if (l->c)
		PQsetNoticeReceiver(l->c, ignore_notice, NULL);
	l->deadline = pg_now() + CONNECT_US;
	l->state = PG_LINK_CONNECTING;
	if (!l->c || PQstatus(l->c) == CONNECTION_BAD)
		pg_link_break(l, l->c ? PQerrorMessage(l->c) : "out of memory");
	else
		watch(l, EPOLLOUT);
}

/* Each attempt looks up the names again. If the lookup of the last attempt is still under way, it
 * waits for that one. */
static void look_up(struct pg_link *l)
{
	if (l->has_names && !l->names && !start_names(l)) {
		pg_link_break(l, "out of memory");
		return;
	}
	if (l->names && !pg_names_ended(l->names))
		return;
	if (l->names && pg_names_why(l->names))
		pg_link_break(l, pg_names_why(l->names));
	else
		connect_socket(l);
	drop_names(l);
}

static void connect_start(struct pg_link *l)
{
	l->deadline = pg_now() + CONNECT_US;
	l->state = PG_LINK_LOOKING_UP;
	l->misfit = false;
	l->greeting.timeline = 0;
}

static bool is_ready(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	return poll(&p, 1, 0) > 0;
}

static bool send_greeting(struct pg_link *l)
{
	struct pg_parameters none = {0};

	return PQsetnonblocking(l->c, 1) == 0 && PQenterPipelineMode(l->c) &&
		pg_send(l->c, l->settings, &none) && pg_send(l->c, schema_greeting, &none) &&
		(!l->listens || pg_send(l->c, "LISTEN timerd", &none)) && PQpipelineSync(l->c);
}

/* A password is the one thing that the URI must not name. */
static void connect_failed(struct pg_link *l)
{
	const char *why = PQerrorMessage(l->c);
	bool needs = PQconnectionNeedsPassword(l->c),
	     used = PQconnectionUsedPassword(l->c) && strstr(why, "password");
	char text[sizeof(l->why)];

	snprintf(text, sizeof(text), "%.*s%s", (int)strcspn(why, "\n"), why,
		needs ? ": write the password into ~/.pgpass, or into the file that PGPASSFILE "
			"names, with mode 0600"
			: used ? " (with the password from ~/.pgpass, or from the file that "
				 "PGPASSFILE names)"
			       : "");
	pg_link_break(l, text);
}

static void connect_step(struct pg_link *l)
{
	/* While libpq connects, it waits either to read or to write. epoll watches for what libpq
	 * asked for last. */
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;

	while (l->state == PG_LINK_CONNECTING) {
		if (!is_ready(PQsocket(l->c),
			    PQstatus(l->c) == CONNECTION_STARTED ? POLLOUT : POLLIN | POLLOUT))
			return;
		status = PQconnectPoll(l->c);
		if (status == PGRES_POLLING_FAILED) {
			connect_failed(l);
			return;
		}
		if (status == PGRES_POLLING_OK) {
			l->state = PG_LINK_GREETING;
			if (!send_greeting(l))
				pg_link_break(l, PQerrorMessage(l->c));
			return;
		}
		watch(l, status == PGRES_POLLING_READING ? EPOLLIN : EPOLLOUT);
		if (status == PGRES_POLLING_READING && !is_ready(PQsocket(l->c), POLLIN))
			return;
	}
}

static int errno_of(const PGresult *r)
{
	static const struct {
		const char *state;
		int error;
	} known[] = {
		{"53100", -ENOSPC},    /* disk_full */
		{"40001", PG_AGAIN},   /* serialization_failure */
		{"40P01", PG_AGAIN},   /* deadlock_detected */
		{"23505", PG_AGAIN},   /* unique_violation: the other transaction came first */
		{"57014", -ETIMEDOUT}, /* query_canceled */
		{"55P03", PG_LOCKED},  /* lock_not_available */
	};
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);

	for (size_t i = 0; state && i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(state, known[i].state))
			return known[i].error;
	return -EIO;
}

static void note_error(struct pg_link *l, struct pg_job *job, const PGresult *r)
{
	const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);

	if (job->error)
		return;
	job->error = errno_of(r);
	snprintf(l->why, sizeof(l->why), "%s%s", text ? text : "the statement failed",
		state && !strcmp(state, "42501")
			? ": grant the role SELECT, INSERT, UPDATE and DELETE on the tables of the "
			  "schema timerd"
			: "");
}

static void job_result(struct pg_link *l, struct pg_job *job, const PGresult *r)
{
	switch (PQresultStatus(r)) {
	case PGRES_TUPLES_OK:
	case PGRES_COMMAND_OK:
		/* The first statement sets the transaction's settings. */
		if (job->results++ && job->result && !job->error)
			job->result(job, job->results - 2, r);
		break;
	case PGRES_PIPELINE_SYNC:
		finish(l, pop(&l->sent), job->error);
		if (l->sent.first)
			l->sent.first->awaited = pg_now();
		break;
	case PGRES_PIPELINE_ABORTED:
		break;
	default:
		note_error(l, job, r);
		break;
	}
}

static void greeting_result(struct pg_link *l, const PGresult *r)
{
	switch (PQresultStatus(r)) {
	case PGRES_TUPLES_OK:
		if (PQnfields(r) > 1 && PQntuples(r) == 1 && PQfnumber(r, "lease") >= 0)
			l->misfit = !schema_check_greeting(r, &l->greeting, l->why, sizeof(l->why));
		return;
	case PGRES_COMMAND_OK:
	case PGRES_PIPELINE_ABORTED:
		return;
	case PGRES_PIPELINE_SYNC:
		if (l->misfit || !l->greeting.timeline) {
			char why[sizeof(l->why)];

			snprintf(why, sizeof(why), "%s", l->why);
			pg_link_break(l, why);
			return;
		}
		set_settings(l);
		l->state = PG_LINK_READY;
		l->failures = 0;
		if (l->changed)
			l->changed(l->userdata, true);
		return;
	default:
		l->misfit = schema_explain(PQresultErrorField(r, PG_DIAG_SQLSTATE),
			PQresultErrorMessage(r), l->why, sizeof(l->why));
		l->greeting.timeline = 0;
		return;
	}
}

static void read_results(struct pg_link *l)
{
	bool between = false;

	while (l->c && l->state >= PG_LINK_GREETING && !PQisBusy(l->c)) {
		PGresult *r = PQgetResult(l->c);

		/* One NULL ends a statement's results. A second one says that no statement is left.
		 */
		if (!r && between)
			return;
		between = !r;
		if (!r)
			continue;
		if (l->state == PG_LINK_GREETING)
			greeting_result(l, r);
		else if (l->sent.first)
			job_result(l, l->sent.first, r);
		PQclear(r);
	}
}

static bool send_job(struct pg_link *l, struct pg_job *job)
{
	struct pg_parameters none = {0};

	job->sent = job->awaited = pg_now();
	job->results = job->sets_itself;
	job->error = 0;
	return (job->sets_itself || pg_send(l->c, l->settings, &none)) && job->send(job, l->c) &&
		PQpipelineSync(l->c);
}

static void send_waiting(struct pg_link *l)
{
	while (l->state == PG_LINK_READY && l->waiting.first) {
		struct pg_job *job = pop(&l->waiting);

		push(&l->sent, job);
		if (!send_job(l, job)) {
			char why[sizeof(l->why)];

			snprintf(why, sizeof(why), "%s", PQerrorMessage(l->c));
			pg_link_break(l, *why ? why : "out of memory");
		}
	}
}

static void hear(struct pg_link *l)
{
	PGnotify *n;

	while (l->c && (n = PQnotifies(l->c))) {
		if (l->notified)
			l->notified(l->userdata, n->extra);
		PQfreemem(n);
	}
}

uint64_t pg_link_patience(const struct pg_link *l)
{
	return l->greeting.lease / 3 + 500000;
}

/* The instant at which the answer to the first job is overdue. The server's own limit for a
 * statement is shorter. The limit starts again for each job: earlier jobs may have taken long. */
static uint64_t overdue_at(const struct pg_link *l)
{
	return l->sent.first ? l->sent.first->awaited + pg_link_patience(l) : UINT64_MAX;
}

void pg_link_send(struct pg_link *l)
{
	int more;

	send_waiting(l);
	if (l->state != PG_LINK_READY)
		return;
	more = PQflush(l->c);
	if (more < 0) {
		char why[sizeof(l->why)];

		snprintf(why, sizeof(why), "%s", PQerrorMessage(l->c));
		pg_link_break(l, why);
	} else {
		watch(l, more ? EPOLLIN | EPOLLOUT : EPOLLIN);
	}
}

static void run_connected(struct pg_link *l)
{
	if (!PQconsumeInput(l->c)) {
		char why[sizeof(l->why)];

		snprintf(why, sizeof(why), "%s", PQerrorMessage(l->c));
		read_results(l);
		pg_link_break(l, why);
		return;
	}
	read_results(l);
	hear(l);
	if (l->state == PG_LINK_READY)
		pg_link_send(l);
	else if (l->c && PQflush(l->c) >= 0)
		watch(l, EPOLLIN);
}

/* What has not ended by the deadline, as a text. */
static const char *const silences[] = {
	[PG_LINK_LOOKING_UP] = "no name server answers for the database's host",
	[PG_LINK_CONNECTING] = "the database does not answer",
	[PG_LINK_GREETING] = "the database, or a pooler without a free connection, takes the "
			     "connection and does not answer",
};

void pg_link_run(struct pg_link *l)
{
	uint64_t now = pg_now();

	/* Even if nobody waits for it, so that its descriptor does not stay readable. */
	if (l->names)
		pg_names_ended(l->names);
	if (l->state == PG_LINK_DOWN && now >= l->retry_at)
		connect_start(l);
	if (l->state == PG_LINK_LOOKING_UP)
		look_up(l);
	if (l->state == PG_LINK_CONNECTING)
		connect_step(l);
	if (l->state >= PG_LINK_GREETING)
		run_connected(l);
	if (l->state == PG_LINK_READY && now >= overdue_at(l))
		pg_link_break(l, "the database does not answer");
	else if (l->state != PG_LINK_READY && l->state != PG_LINK_DOWN && now >= l->deadline)
		pg_link_break(l, silences[l->state]);
	if (pg_link_is_away(l))
		fail_waiting(l);
}

void pg_link_hand_out(struct pg_link *l)
{
	struct pg_job *job;

	while ((job = pop(&l->ended)))
		job->end(job, job->error);
}

int pg_link_submit(struct pg_link *l, struct pg_job *job)
{
	if (pg_link_is_away(l))
		return PG_AWAY;
	push(&l->waiting, job);
	return 0;
}

uint64_t pg_link_next(const struct pg_link *l)
{
	uint64_t next;

	if (l->ended.first || (l->state == PG_LINK_READY && l->waiting.first))
		return 0;
	if (l->state == PG_LINK_READY)
		return overdue_at(l);
	next = l->state == PG_LINK_DOWN ? l->retry_at : l->deadline;
	return l->waiting.first && l->away_at < next ? l->away_at : next;
}
