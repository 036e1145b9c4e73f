/* SPDX-License-Identifier: MIT */
/* The functions that only the store on PostgreSQL has: commits as arrays, terms, counts in several
 * rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <libpq-fe.h>

#include "database.h"
#include "store_stage.h"

/* If several changes of a commit concern the same timer, the store applies them in order. */
static void does_in_order_what_names_the_same(void **state)
{
	struct store_change c[4] = {make_put(10, "k", "a"), make_put(20, "k", "bc"),
		{.type = STORE_CANCEL, .timer = {.queue = queue, .key = "k", .key_size = 1}},
		make_put(30, "k", "d")};
	struct store_usage usage;

	(void)state;
	assert_int_equal(ask_commit(store, c, 4, NULL, 1), 0);
	assert_int_equal(c[1].flags, PROTO_QUEUE_REPLACED);
	assert_int_equal(c[1].replaced, c[0].id);
	assert_int_equal(c[2].id, c[1].id);
	assert_int_equal(c[3].flags, 0);
	load();
	assert_int_equal(rows.n, 1);
	assert_string_equal(rows.payloads[0], "d");
	store->ops->usage(store, 7, &usage);
	assert_int_equal(usage.timers, 1);
	assert_int_equal(usage.bytes, 2);
}

/* A change under another term, or of a queue that another host owns, has no effect. */
static void is_fenced(void **state)
{
	uint64_t id = put(10, "", "p");
	struct store_change c = wake(STORE_REMOVE, id, 1);

	(void)state;
	c.term = term + 1;
	change(&c, PROTO_E_NO_SUCH_TIMER);
	postgres_run("UPDATE timerd.queues SET owner = 'another'");
	for (enum store_change_type type = STORE_REMOVE; type <= STORE_PARK; type++) {
		c = wake(type, id, 1);
		c.timer.due = c.timer.ready = 20;
		change(&c, PROTO_E_NO_SUCH_TIMER);
	}
	load();
	assert_int_equal(rows.n, 1);
	assert_int_equal(rows.rows[0].ready, 10);
	assert_int_equal(rows.rows[0].number, 1);
}

/* The counts equal the number of rows, after all kinds of changes. */
static void counts_what_is_there(void **state)
{
	struct store_change c = wake(STORE_PARK, put(10, "k", "payload"), 1);

	(void)state;
	c.timer.due = PROTO_FOREVER;
	change(&c, PROTO_OK);
	for (unsigned int i = 0; i < 20; i++)
		put(10 + i, i % 3 ? "" : "key", "x");
	c = wake(STORE_CANCEL, put(99, "", "gone"), 0);
	change(&c, PROTO_OK);
	assert_int_equal(postgres_run("SELECT sum(timers) - (SELECT count(*) FROM timerd.timers)"
				      " FROM timerd.counts"),
		0);
	assert_int_equal(postgres_run("SELECT sum(parked) - (SELECT count(*) FROM timerd.parked)"
				      " FROM timerd.users"),
		0);
	assert_int_equal(postgres_run("SELECT sum(bytes) - (SELECT sum(octet_length(payload) +"
				      " coalesce(octet_length(key), 0)) FROM (SELECT key, payload"
				      " FROM timerd.timers UNION ALL SELECT key, payload FROM"
				      " timerd.parked) a) FROM timerd.users"),
		0);
}

/* A round of a second host about the one queue. Return: whether the question took effect. It fails
 * if it has to wait for a lock. */
static int64_t ask_as_another(int question, int64_t of_term, int64_t beat)
{
	return postgres_run(
		"SET lock_timeout = '1s'; SELECT o_done[1] FROM timerd.ask_leases('another',"
		" 'host', '{7}', '{mail}', '{%d}', '{%lld}', '{%lld}')",
		question, (long long)of_term, (long long)beat);
}

/* Ends a transaction and its connection. PostgreSQL sees the end of a connection later than this
 * program does, and keeps its locks until then. */
static void finish(PGconn *c)
{
	PQclear(PQexec(c, "ROLLBACK"));
	PQfinish(c);
}

/* Hosts that stand by ask each second whether they can take a queue. They must not delay its owner,
 * and the owner must not delay them: on a busy machine, locks that wait for each other take longer
 * than a lease. */
static void stands_by_without_locks(void **state)
{
	PGconn *owner = PQconnectdb(postgres.uri);
	int64_t last = postgres_run("SELECT term FROM timerd.meta");

	(void)state;
	PQclear(PQexec(owner, "BEGIN; SELECT FROM timerd.queues, timerd.meta FOR SHARE"));
	assert_int_equal(PQtransactionStatus(owner), PQTRANS_INTRANS);
	assert_int_equal(ask_as_another(2, 0, 0), 0);
	assert_int_equal(ask_as_another(3, (int64_t)term, -1), 0);
	assert_int_equal(ask_as_another(4, (int64_t)term, 0), 0);
	assert_int_equal(ask_as_another(5, (int64_t)term, 0), 0);
	finish(owner);
	assert_int_equal(postgres_run("SELECT term FROM timerd.meta"), last);
	assert_int_equal(
		ask_as_another(3, (int64_t)term, postgres_run("SELECT beat FROM timerd.queues")),
		1);
	assert_int_equal(postgres_run("SELECT term FROM timerd.queues"), last + 1);
	assert_int_equal(ask_as_another(5, last + 1, 0), 1);
	assert_int_equal(ask_as_another(2, 0, 0), 1);
	assert_int_equal(postgres_run("SELECT term FROM timerd.queues"), last + 2);
	assert_int_equal(postgres_run("SELECT term FROM timerd.meta"), last + 2);
}

/* A row that one subtransaction locks and another one changes needs a MultiXactId. These have 32
 * bits, and a host with 1,000 queues would use up 17 million of them a day. */
static void renews_without_multixacts(void **state)
{
	int64_t of_term, before;

	(void)state;
	of_term = ask_as_another(3, (int64_t)term, postgres_run("SELECT beat FROM timerd.queues"));
	assert_int_equal(of_term, 1);
	of_term = postgres_run("SELECT term FROM timerd.queues");
	before = postgres_run("SELECT mxid_age('1'::xid)");
	for (int i = 0; i < 5; i++)
		assert_int_equal(ask_as_another(4, of_term, 0), 1);
	assert_int_equal(ask_as_another(5, of_term, 0), 1);
	assert_int_equal(ask_as_another(2, 0, 0), 1);
	assert_int_equal(postgres_run("SELECT mxid_age('1'::xid)"), before);
}

/* Another session has locked a queue. A put packet for this queue and a free one is left out as a
 * whole, and so is a later put into the free queue, which would overtake it. */
static void keeps_the_order_of_puts_around_a_lock(void **state)
{
	PGconn *other = PQconnectdb(postgres.uri);
	struct proto_queue_stored answers[2];
	struct store_put p = {.token = "token", .serial = 1, .answers = answers, .count = 2};
	struct store_change c[4] = {make_put(10, "", "locked"), make_put(20, "k", "old"),
		make_put(30, "k", "new"), make_put(40, "", "alone")};
	uint32_t numbers[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct store_change first = make_put(5, "", "");

		assert_int_equal(
			store->ops->open_queue(store, 7, i ? "free" : "alone", &numbers[i]), 0);
		first.timer.queue = numbers[i];
		change(&first, PROTO_OK);
	}
	c[0].answer = &answers[0];
	c[1].answer = &answers[1];
	c[1].timer.queue = c[2].timer.queue = numbers[1];
	c[3].timer.queue = numbers[0];
	PQclear(PQexec(other, "BEGIN; SELECT FROM timerd.queues WHERE name = 'mail' FOR UPDATE"));
	assert_int_equal(PQtransactionStatus(other), PQTRANS_INTRANS);
	assert_int_equal(ask_commit(store, c, 4, &p, 1), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(c[i].locked, i < 3);
	assert_int_equal(c[3].status, PROTO_OK);
	finish(other);
	assert_int_equal(ask_commit(store, c, 3, &p, 2), 0);
	for (int i = 0; i < 3; i++) {
		assert_false(c[i].locked);
		assert_int_equal(c[i].status, PROTO_OK);
	}
	assert_int_equal(c[2].replaced, c[1].id);
}

static void note_end(struct store_reader *r, const struct store_timer *found, size_t n,
	const struct store_beyond *beyond, bool more, int error)
{
	(void)found, (void)n, (void)beyond, (void)more;
	*(int *)r->userdata = error;
}

/* If the connection breaks, a read is sent again. If the store is being closed, the read ends. */
static void ends_reads_when_it_is_closed(void **state)
{
	int error = 0;
	struct store_reader reader = {.rows = note_end, .userdata = &error};
	const struct store_position start = {0};

	assert_int_equal(store->ops->list(store, queue, false, &start, 1, &reader), 0);
	store->ops->close(store, NULL);
	assert_true(error < 0);
	stage_start(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGED(does_in_order_what_names_the_same),
		STAGED(is_fenced),
		STAGED(counts_what_is_there),
		STAGED(stands_by_without_locks),
		STAGED(renews_without_multixacts),
		STAGED(keeps_the_order_of_puts_around_a_lock),
		STAGED(ends_reads_when_it_is_closed),
	};

	return stage_run(tests, sizeof(tests) / sizeof(tests[0]));
}
