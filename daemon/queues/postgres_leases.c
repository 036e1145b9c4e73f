/* SPDX-License-Identifier: MIT */
/*
 * Rounds. core/lease.h decides the questions, and one statement asks them. The same statement
 * returns which queues of this host were changed by other hosts, and the database's clock. So an
 * idle host sends one statement a second, however many queues it has.
 */
#include "postgres_leases.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "postgres_evict.h"
#include "postgres_hints.h"
#include "postgres_timer.h"

/* The time between two polls of the queues that this host owns, and between two readings of the
 * clock if it owns no queue. Microseconds. */
#define POLL_US	 UINT64_C(1000000)
#define CLOCK_US UINT64_C(5000000)

/* The time after which a failed round is tried again, microseconds. */
#define AGAIN_US UINT64_C(250000)

/* The speeds of two machines' clocks differ by less than this: one part in 5000. */
#define DRIFT 5000

static_assert(LEASE_ASK_NOTHING == 0 && LEASE_ASK_READ == 1 && LEASE_ASK_TAKE_FREE == 2 &&
		LEASE_ASK_TAKE == 3 && LEASE_ASK_RENEW == 4 && LEASE_ASK_RELEASE == 5 &&
		LEASE_NOBODY == 0 && LEASE_ME == 1 && LEASE_OTHER == 2,
	"sql/schema_functions.sql");

struct round_job {
	struct pg_job job;
	struct store_postgres *s;
	bool asks;  /* a round of core/lease.h, not a poll alone */
	bool moved; /* another server than that of the greeting has answered */
	bool settles;
	bool released; /* leases */
	size_t n;
	struct pg_queue *queues[];
};

/* Whether a question took effect, as timerd.ask_leases() says. */
enum {
	ROUND_NONE,
	ROUND_DONE,
	ROUND_LOCKED,
};

#define QUEUE_OF(l) LINK_OWNER(l, struct pg_queue, lease)

static void notify_lease(struct store_postgres *s, const struct pg_queue *queue, bool held)
{
	if (s->watcher.lease)
		s->watcher.lease(s->watcher.userdata, queue->number, held, queue->lease.term);
}

/* Logs how the lease has changed since the last line about it. */
static void log_lease(struct store_postgres *s, struct pg_queue *queue)
{
	const struct lease *l = &queue->lease;
	uint64_t term = l->state == LEASE_HELD ? l->term : 0;
	char line[192];

	if (term == queue->logged_term || !s->log_line)
		return;
	if (term)
		snprintf(line, sizeof(line),
			"serves the queue %s of user %u from now on, under term %llu", queue->name,
			queue->uid, (unsigned long long)term);
	else
		snprintf(line, sizeof(line),
			"serves the queue %s of user %u no more: %s (term %llu)", queue->name,
			queue->uid,
			l->wanted ? "another host has taken it" : "nobody consumes it here",
			(unsigned long long)queue->logged_term);
	queue->logged_term = term;
	s->log_line(s->log_userdata, line);
}

static void notify_changed(struct store_postgres *s, uint32_t queue)
{
	if (s->watcher.changed)
		s->watcher.changed(s->watcher.userdata, queue);
}

/* Logs once that consumers here wait for a queue that another host serves. */
static void log_standby(struct store_postgres *s, struct pg_queue *queue)
{
	const struct lease *l = &queue->lease;
	char line[192];

	if (l->state != LEASE_STANDBY || !l->has_seen || l->seen.owner != LEASE_OTHER) {
		queue->logged_standby = queue->logged_standby && l->state == LEASE_STANDBY;
		return;
	}
	if (queue->logged_standby || !s->log_line)
		return;
	queue->logged_standby = true;
	snprintf(line, sizeof(line),
		"stands by for the queue %s of user %u: another host serves it, under term %llu",
		queue->name, queue->uid, (unsigned long long)l->seen.term);
	s->log_line(s->log_userdata, line);
}

/* The database's clock was read between two instants of this host's clock. */
static void measure(struct store_postgres *s, uint64_t sent, uint64_t received, int64_t at)
{
	struct pg_clock *c = &s->clock;
	int64_t least = at - (int64_t)received, most = at - (int64_t)sent;
	int64_t drift = (int64_t)((received - c->measured) / DRIFT) + 1;
	int64_t was_least = c->least - drift, was_most = c->least + (int64_t)c->uncertainty + drift;

	/* An earlier reading narrows the bounds, unless the database's clock was set. */
	if (c->known && was_least <= most && was_most >= least) {
		least = was_least > least ? was_least : least;
		most = was_most < most ? was_most : most;
	}
	c->known = true;
	c->least = least;
	c->uncertainty = (uint64_t)(most - least);
	c->measured = received;
}

static void measure_host(struct store_postgres *s)
{
	struct timespec t;
	uint64_t now = pg_now();

	clock_gettime(CLOCK_REALTIME, &t);
	s->clock.host_off = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 -
		(s->clock.least + (int64_t)now);
}

/* In the transaction of the first leases that are taken. */
static bool send_settle(const struct round_job *j, PGconn *c)
{
	struct pg_parameters p = {0};

	pg_add_int8(&p, (int64_t)j->s->control.greeting.timeline);
	return pg_send(c, SCHEMA_SETTLE, &p);
}

static bool round_send(struct pg_job *job, PGconn *c)
{
	struct round_job *j = (struct round_job *)job;
	struct pg_parameters p = {0};
	char statement[sizeof(j->s->control.settings) + sizeof(SCHEMA_TIMELINE) + 384];

	pg_add_text(&p, j->s->owner);
	pg_add_text(&p, j->s->host);
	pg_begin_array(&p, PG_INT8S);
	for (size_t i = 0; i < j->n; i++)
		pg_put_int8(&p, j->queues[i]->uid);
	pg_end_array(&p);
	pg_begin_array(&p, PG_TEXTS);
	for (size_t i = 0; i < j->n; i++)
		pg_put_bytes(&p, j->queues[i]->name, strlen(j->queues[i]->name));
	pg_end_array(&p);
	pg_begin_array(&p, PG_INT4S);
	for (size_t i = 0; i < j->n; i++)
		pg_put_int4(&p, (int32_t)j->queues[i]->lease.ask);
	pg_end_array(&p);
	for (int beat = 0; beat < 2; beat++) {
		pg_begin_array(&p, PG_INT8S);
		for (size_t i = 0; i < j->n; i++) {
			const struct lease *l = &j->queues[i]->lease;
			const struct lease_row seen = l->ask == LEASE_ASK_TAKE
				? l->seen
				: (struct lease_row){.term = l->term};

			pg_put_int8(&p, (int64_t)(beat ? seen.beat : seen.term));
		}
		pg_end_array(&p);
	}
	pg_add_int8(&p, (int64_t)j->s->control.greeting.timeline);
	/* One statement for all work of a second; it contains its own settings. The server does not
	 * limit its time. The host gives up a late answer, and a late question does no harm: see
	 * core/lease.h. With a pooler, another server may have taken over although this connection
	 * still exists. That server must not give a lease before this host knows about it, so the
	 * answer then has no row. The round waits a short time for a lock, because it holds the
	 * locks of other queues meanwhile, and then goes on without the row. */
	snprintf(statement, sizeof(statement),
		"WITH s AS MATERIALIZED (%s, pg_catalog.set_config('lock_timeout', '%llu', true)),"
		" t AS MATERIALIZED (SELECT " SCHEMA_TIMELINE
		" AS now) SELECT r.* FROM s, t, LATERAL timerd.ask_leases("
		"CASE WHEN s IS NOT NULL AND t.now = $8 THEN $1 END, $2, $3, $4, $5, $6, $7) r"
		" WHERE t.now = $8",
		j->s->control.settings, pg_lock_ms(j->s));
	return pg_send(c, statement, &p) && (!j->settles || send_settle(j, c));
}

/* Begins the next round at that instant, or sooner. */
static void poll_by(struct store_postgres *s, uint64_t at)
{
	if (at < s->poll_at)
		s->poll_at = at;
}

/* Whether other hosts changed the queue since the last round. */
static void note_changes(struct store_postgres *s, struct pg_queue *queue, int64_t changes)
{
	bool changed = queue->has_changes && queue->changes != changes;

	queue->changes = changes;
	queue->has_changes = queue->lease.state == LEASE_HELD;
	if (changed && queue->has_changes)
		notify_changed(s, queue->number);
}

/* Logs once that half of the lease has passed without a renewal. */
static void say_locked(struct store_postgres *s, struct pg_queue *queue, uint64_t now)
{
	const struct lease *l = &queue->lease;
	char line[256];

	if (!l->locked || queue->logged_locked || !s->log_line ||
		now + s->leases.config.length / 2 < l->until)
		return;
	queue->logged_locked = true;
	snprintf(line, sizeof(line),
		"cannot renew the lease of the queue %s of user %u: another session of the "
		"database holds a lock of its row; tries again until it succeeds",
		queue->name, queue->uid);
	s->log_line(s->log_userdata, line);
}

/* Another session may hold a lock of the queue's row. If it is a session of a halted host,
 * pg_evict_soon() ends it. */
static void answer_locked(
	struct store_postgres *s, struct pg_queue *queue, const struct lease_row *row, uint64_t now)
{
	lease_locked(&s->leases, &queue->lease, row, now);
	say_locked(s, queue, now);
	pg_evict_soon(s);
}

static void round_result(struct pg_job *job, unsigned int statement, const PGresult *r)
{
	struct round_job *j = (struct round_job *)job;
	struct store_postgres *s = j->s;
	struct pg_array done, owner, term, beat, changes;
	uint64_t now = pg_now();

	if (statement)
		return;
	j->moved = PQntuples(r) == 0;
	if (PQntuples(r) != 1 || PQnfields(r) != 6)
		return;
	measure(s, job->sent, now, pg_get_int(r, 0, 5));
	measure_host(s);
	done = pg_get_array(r, 0, 0);
	owner = pg_get_array(r, 0, 1);
	term = pg_get_array(r, 0, 2);
	beat = pg_get_array(r, 0, 3);
	changes = pg_get_array(r, 0, 4);
	for (size_t i = 0; i < j->n && owner.n; i++) {
		struct pg_queue *queue = j->queues[i];
		struct lease *l = &queue->lease;
		enum lease_state before = l->state;
		bool delivered = lease_delivers(l, now);
		int64_t effect = pg_next(&done);
		bool took_effect = effect == ROUND_DONE;
		struct lease_row row = {.owner = (enum lease_owner)pg_next(&owner)};

		j->released = j->released || (took_effect && l->ask == LEASE_ASK_RELEASE);
		row.term = (uint64_t)pg_next(&term);
		row.beat = (uint64_t)pg_next(&beat);
		queue->logged_locked = queue->logged_locked && !took_effect;
		if (j->asks && effect == ROUND_LOCKED)
			answer_locked(s, queue, &row, now);
		else if (j->asks)
			lease_answer(&s->leases, l, took_effect, &row, now);
		log_lease(s, queue);
		log_standby(s, queue);
		note_changes(s, queue, pg_next(&changes));
		/* The broker also needs to know of a lease that was over and is renewed, because it
		 * does not check for that itself. */
		if (l->state == LEASE_HELD ? !delivered : before == LEASE_HELD)
			notify_lease(s, queue, l->state == LEASE_HELD);
		/* A host without a queue polls less often. */
		if (l->state == LEASE_HELD)
			poll_by(s, s->polled + POLL_US);
	}
}

static void end_answered(const struct round_job *j)
{
	j->s->logged_failure = false;
	if (j->asks)
		leases_end(&j->s->leases);
	if (j->released)
		pg_hints_add_release(j->s);
	if (j->settles && !j->moved)
		leases_settled(&j->s->leases);
}

/* Logs the first failure of a round after one that succeeded. */
static void log_failure(struct store_postgres *s)
{
	char line[480];

	if (s->logged_failure || !s->log_line)
		return;
	s->logged_failure = true;
	snprintf(line, sizeof(line),
		"cannot take or renew leases: %s; tries again until it succeeds", s->control.why);
	s->log_line(s->log_userdata, line);
}

static void round_end(struct pg_job *job, int error)
{
	struct round_job *j = (struct round_job *)job;
	struct store_postgres *s = j->s;

	s->round_under_way = false;
	/* The greeting of a new connection identifies the other server. */
	if (j->moved && s->control.state == PG_LINK_READY)
		pg_link_break(&s->control, "another server answers than before");
	else if (!error)
		end_answered(j);
	/* After a lock or a full disk, the failed round is sent again on the same connection. The
	 * rules of leases decide when a lease is over. */
	if (j->asks && error && s->control.state == PG_LINK_READY) {
		leases_disconnected(&s->leases);
		leases_connected(&s->leases, pg_now(), s->leases.timeline, s->leases.settled);
		s->round_again = pg_now() + AGAIN_US;
		log_failure(s);
		if (error == PG_LOCKED || error == -ETIMEDOUT)
			pg_evict(s);
	}
	free(j);
}

static size_t count_held(const struct store_postgres *s)
{
	size_t n = 0;

	for (const struct link *at = s->leases.held.next; at != &s->leases.held; at = at->next)
		n++;
	return n;
}

/* Logs once that this host takes no queue for a while. */
static void log_hold(struct store_postgres *s, uint64_t now)
{
	uint64_t until = s->leases.hold_until;
	char line[192];

	if (!s->log_line || s->logged_hold == until || now >= until)
		return;
	s->logged_hold = until;
	snprintf(line, sizeof(line),
		"takes no queue for %.1f s: another database server has taken over, and may lack "
		"the last leases of other hosts",
		(double)(until - now) / 1e6);
	s->log_line(s->log_userdata, line);
}

/* Whether the round takes a lease from a host that is silent. */
static bool takes_over(const struct round_job *j)
{
	for (size_t i = 0; i < j->n; i++)
		if (j->queues[i]->lease.ask == LEASE_ASK_TAKE)
			return true;
	return false;
}

static void begin_round(struct store_postgres *s, uint64_t now)
{
	bool asks = leases_begin(&s->leases, now);
	size_t n = count_held(s), room = n;
	struct round_job *j;

	for (const struct link *at = s->leases.round.next; at != &s->leases.round; at = at->next)
		room++;
	log_hold(s, now);
	s->polled = now;
	s->poll_at = now + (n ? POLL_US : CLOCK_US);
	j = calloc(1, sizeof(*j) + room * sizeof(struct pg_queue *));
	if (!j) {
		leases_end(&s->leases);
		return;
	}
	*j = (struct round_job){
		.job = {.send = round_send,
			.result = round_result,
			.end = round_end,
			.sets_itself = true},
		.s = s,
		.asks = asks,
		.settles = leases_settle(&s->leases, now),
	};
	LINK_FOR_EACH(at, &s->leases.round)
	j->queues[j->n++] = QUEUE_OF(LINK_OWNER(at, struct lease, of_round));
	LINK_FOR_EACH(at, &s->leases.held)
	{
		struct lease *l = LINK_OWNER(at, struct lease, of_state);

		if (l->ask == LEASE_ASK_NOTHING)
			j->queues[j->n++] = QUEUE_OF(l);
	}
	if (takes_over(j))
		pg_evict(s);
	s->round_under_way = true;
	if (pg_link_submit(&s->control, &j->job)) {
		s->round_under_way = false;
		leases_disconnected(&s->leases);
		free(j);
	}
}

void pg_leases_run(struct store_postgres *s)
{
	uint64_t now = pg_now();

	if (s->control.state != PG_LINK_READY)
		return;
	if (s->round_under_way) {
		if (now >= leases_give_up(&s->leases))
			pg_link_break(&s->control, "the database does not answer");
		return;
	}
	if (now < pg_timer_next_round(s))
		return;
	begin_round(s, now);
	pg_timer_flush(s, &s->control);
}

void pg_leases_changed(void *userdata, bool ready)
{
	struct store_postgres *s = userdata;
	const struct pg_greeting *g = &s->control.greeting;
	bool is_other = s->leases.timeline != g->timeline;

	if (!ready) {
		leases_disconnected(&s->leases);
		return;
	}
	if (!s->leases.timeline) {
		s->leases.config = lease_config_of(g->lease);
		s->leases.config.margin = g->margin;
	}
	leases_connected(&s->leases, pg_now(), g->timeline, g->settled);
	if (is_other && s->watcher.history)
		s->watcher.history(s->watcher.userdata);
	s->poll_at = 0;
	/* Rows may have changed while there was no connection. */
	for (uint32_t i = 0; i < s->queues.count; i++)
		if (s->queues.at[i])
			s->queues.at[i]->has_changes = false;
	notify_changed(s, 0);
}

void pg_leases_notified(void *userdata, const char *payload)
{
	struct store_postgres *s = userdata;
	const struct pg_queue *changed;

	if (!strcmp(payload, PG_HINT_RELEASED)) {
		LINK_FOR_EACH(at, &s->leases.standby)
		lease_hint(&s->leases, LINK_OWNER(at, struct lease, of_state));
		/* Any role of the database can notify. This bounds the rounds that it causes. */
		if (s->round_again < s->polled + PG_HINT_US)
			s->round_again = s->polled + PG_HINT_US;
		return;
	}
	changed = pg_hints_read(s, payload);
	if (changed && changed->lease.state == LEASE_HELD)
		poll_by(s, s->polled + PG_HINT_US);
}

void pg_leases_release(struct store_postgres *s)
{
	for (uint32_t i = 0; i < s->queues.count; i++)
		if (s->queues.at[i]) {
			lease_unwant(&s->leases, &s->queues.at[i]->lease);
			log_lease(s, s->queues.at[i]);
		}
}

void pg_leases_fenced(struct store_postgres *s, struct pg_queue *queue, uint64_t term)
{
	bool held = queue->lease.state == LEASE_HELD && queue->lease.term == term;

	lease_lost(&s->leases, &queue->lease, term);
	log_lease(s, queue);
	if (held)
		notify_lease(s, queue, false);
}

static void fleet_watch(struct store *store, const struct store_watcher *watcher)
{
	pg_store_of(store)->watcher = *watcher;
}

static void fleet_log(
	struct store *store, void (*log_line)(void *userdata, const char *line), void *userdata)
{
	struct store_postgres *s = pg_store_of(store);

	s->log_line = log_line;
	s->log_userdata = userdata;
}

static void fleet_want(struct store *store, uint32_t number, bool wanted)
{
	struct store_postgres *s = pg_store_of(store);
	struct pg_queue *queue = pg_queues_get(&s->queues, number);

	/* From now on a round may contain the queue. */
	queue->row = queue->row ? queue->row : -1;
	if (wanted)
		lease_want(&s->leases, &queue->lease);
	else
		lease_unwant(&s->leases, &queue->lease);
	log_lease(s, queue);
	pg_leases_run(s);
	pg_timer_flush(s, &s->control);
}

static bool fleet_delivers(
	const struct store *store, uint32_t number, uint64_t real, uint64_t *ret_term)
{
	const struct store_postgres *s = pg_store_of(store);
	const struct pg_queue *queue = pg_queues_get(&s->queues, number);

	if (!queue || !lease_delivers(&queue->lease, real))
		return false;
	*ret_term = queue->lease.term;
	return true;
}

static bool fleet_read_clock(const struct store *store, uint64_t real, struct store_clock *ret)
{
	const struct pg_clock *c = &pg_store_of(store)->clock;

	if (!c->known)
		return false;
	*ret = (struct store_clock){
		.at = (uint64_t)((int64_t)real + c->least),
		.uncertainty = c->uncertainty,
		.host_off = c->host_off,
	};
	return true;
}

static uint32_t fleet_history(const struct store *store)
{
	uint64_t timeline = pg_store_of(store)->leases.timeline;

	return timeline ? (uint32_t)(timeline ^ timeline >> 32) ?: 1 : 0;
}

const struct store_fleet pg_fleet = {
	.watch = fleet_watch,
	.log = fleet_log,
	.want = fleet_want,
	.delivers = fleet_delivers,
	.read_clock = fleet_read_clock,
	.history = fleet_history,
};
