/* SPDX-License-Identifier: MIT */
/*
 * timerqd on PostgreSQL, with events that a file does not have: the database restarts, breaks
 * connections and delays answers, and other hosts share it. Two timerqd play two hosts.
 * test_database_faults has a full disk, locks and dead rows; test_database_schema has the databases
 * that timerqd refuses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <libpq-fe.h>
#include <signal.h>
#include <string.h>
#include <toytimer-queue.h>
#include <unistd.h>

#include "database.h"
#include "jobs.h"
#include "pg_proxy.h"
#include "queues.h"
#include "said.h"

static struct test_queues a, b;

static int set_up(void **state)
{
	(void)state;
	queues_start(&a, NULL);
	return 0;
}

/* The second host. */
static void start_b(void)
{
	b.has_schema = true;
	queues_start(&b, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	queues_clean(&b);
	queues_clean(&a);
	return 0;
}

/* How many queues consumers of that host wait for, within a few seconds. */
static void expect_standby(toytimer_queue *q, uint64_t n)
{
	toytimer_queue_status status = {.standby = UINT64_MAX};

	for (int i = 0; status.standby != n && i < 100; i++) {
		usleep(50000);
		assert_int_equal(toytimer_queue_get_status(q, &status), 0);
	}
	assert_int_equal(status.standby, n);
}

/* A host that does not own the queue stores into it, and the owner delivers. */
static void test_any_host_registers(void **state)
{
	toytimer_queue *owner = jobs_open(&a), *other;
	struct jobs_log log = {0}, standby = {0};

	(void)state;
	start_b();
	other = jobs_open(&b);
	jobs_consume(owner, &log);
	assert_int_equal(jobs_put(owner, 0), 0);
	jobs_process(owner, &log, 1, 20000);
	assert_int_equal(log.n, 1);
	assert_true(log.refs[0].term > 0);
	jobs_consume(other, &standby);
	expect_standby(owner, 0);
	expect_standby(other, 1);
	queues_expect_log(&b, "stands by for the queue jobs ");
	assert_int_equal(jobs_put(other, 0), 0);
	jobs_process(owner, &log, 2, 20000);
	assert_int_equal(log.n, 2);
	assert_int_equal(log.refs[1].term, log.refs[0].term);
	jobs_process(other, &standby, 1, 500);
	assert_int_equal(standby.n, 0);
	/* A clean stop hands the queue over. */
	assert_int_equal(queues_stop(&a), 0);
	jobs_process(other, &standby, 2, 20000);
	assert_int_equal(standby.n, 2);
	assert_true(standby.refs[0].term > log.refs[0].term);
	expect_standby(other, 0);
	toytimer_queue_unref(owner);
	toytimer_queue_unref(other);
}

/* The owner is stopped before it reads an acknowledgement, and continues after another host has
 * taken the queue. Its transaction changes nothing. */
static void test_frozen_owner(void **state)
{
	toytimer_queue *q = jobs_open(&a), *other;
	struct jobs_log log = {0}, others = {0};

	(void)state;
	start_b();
	other = jobs_open(&b);
	assert_int_equal(jobs_put(q, 0), 0);
	jobs_consume(q, &log);
	jobs_process(q, &log, 1, 20000);
	assert_int_equal(log.n, 1);
	jobs_consume(other, &others);
	assert_int_equal(kill(a.pid, SIGSTOP), 0);
	assert_int_equal(toytimer_queue_ack_async(q, &log.refs[0]), 0);
	assert_int_equal(toytimer_queue_flush(q), 0);
	jobs_process(other, &others, 1, 20000);
	assert_int_equal(others.n, 1);
	assert_int_equal(others.refs[0].id, log.refs[0].id);
	assert_true(others.refs[0].term > log.refs[0].term);
	assert_int_equal(kill(a.pid, SIGCONT), 0);
	jobs_process(q, &log, 2, 1500);
	assert_int_equal(jobs_rows(), 1);
	assert_int_equal(toytimer_queue_ack(other, &others.refs[0]), 0);
	assert_int_equal(jobs_rows(), 0);
	toytimer_queue_unref(q);
	toytimer_queue_unref(other);
}

/* Each put is stored, or refused with a known error. Afterwards everything works, and all answered
 * puts are stored. */
static void test_database_restarts(void **state)
{
	toytimer_queue *q = jobs_open(&a);
	struct jobs_log log = {0};

	(void)state;
	jobs_consume(q, &log);
	for (int i = 0; i < 3; i++)
		assert_int_equal(jobs_put(q, 3600000000), 0);
	postgres_restart();
	jobs_put_soon(q, 0);
	jobs_process(q, &log, 1, 20000);
	assert_int_equal(log.n, 1);
	assert_int_equal(jobs_rows(), 4);
	toytimer_queue_unref(q);
}

static int note_stored(toytimer_queue *q, const toytimer_queue_stored *stored, void *userdata)
{
	int *counts = userdata;

	(void)q;
	counts[stored->error != 0]++;
	return 0;
}

/* The connections to the database are ended, one or both, while timers are put. Each timer is
 * stored once, or refused and not stored. */
static void test_connections_are_killed(void **state)
{
	const toytimer_queue_timer t = {
		.due = 3600000000, .flags = TOYTIMER_RELATIVE, .clock = TOYTIMER_BOOTTIME};
	toytimer_queue *q = jobs_open(&a);
	int counts[2] = {0};

	(void)state;
	for (int round = 0; round < 8; round++) {
		for (int i = 0; i < 100; i++)
			assert_int_equal(
				toytimer_queue_put_async(q, "jobs", &t, note_stored, counts), 0);
		assert_int_equal(toytimer_queue_flush(q), 0);
		usleep((useconds_t)(round * 1000));
		/* the older connection, the younger one, both */
		postgres_run("SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM"
			     " pg_stat_activity WHERE application_name = 'timerqd'"
			     " ORDER BY backend_start OFFSET %d LIMIT %d) a",
			round % 3 == 1, round % 3 == 2 ? 2 : 1);
	}
	assert_int_equal(toytimer_queue_run(q), 0);
	assert_int_equal(counts[0] + counts[1], 800);
	assert_int_equal(jobs_rows(), counts[0]);
	assert_true(counts[0] > 0);
	jobs_put_soon(q, 3600000000);
	toytimer_queue_unref(q);
}

/* Another host's transaction stays open while the owner polls, and meanwhile timers with past dues
 * are put and delivered. The owner still finds the timer of this transaction after its commit. */
static void test_insert_held_open(void **state)
{
	PGconn *c = PQconnectdb(postgres.uri);
	toytimer_queue *q = jobs_open(&a);
	struct jobs_log log = {0};

	(void)state;
	jobs_consume(q, &log);
	assert_int_equal(jobs_put(q, 0), 0);
	jobs_process(q, &log, 1, 20000);
	assert_int_equal(log.n, 1);
	PQclear(PQexec(c, "BEGIN"));
	PQclear(PQexec(c,
		"INSERT INTO timerd.timers (due, ready, every, count, number, attempt,"
		" max_attempts, queue, clock, flags) SELECT 1, 1, 0, 0, 1, 0, 0, number, 2, 0"
		" FROM timerd.queues"));
	PQclear(PQexec(
		c, "INSERT INTO timerd.counts SELECT number, 99, 1, 0, 0, 1 FROM timerd.queues"));
	jobs_process(q, &log, 2, 2500);
	assert_int_equal(jobs_put(q, 0), 0);
	jobs_process(q, &log, 2, 20000);
	assert_int_equal(log.n, 2);
	PQclear(PQexec(c, "COMMIT"));
	jobs_process(q, &log, 3, 20000);
	assert_int_equal(log.n, 3);
	PQfinish(c);
	toytimer_queue_unref(q);
}

/* The database commits, and its answer is lost. timerqd sends the put again, and it is stored once.
 */
static void test_answer_is_lost(void **state)
{
	struct pg_proxy proxy;
	toytimer_queue *q;

	(void)state;
	queues_kill(&a);
	pg_proxy_start(&proxy, postgres.folder);
	queues_start(&a, "--store", proxy.uri, NULL);
	q = jobs_open(&a);
	assert_int_equal(jobs_put(q, 3600000000), 0);
	for (int i = 1; i <= 3; i++) {
		uint64_t reconnects = toytimer_queue_get_reconnects(q);

		pg_proxy_swallow(&proxy);
		jobs_put_soon(q, 3600000000);
		assert_true(toytimer_queue_get_reconnects(q) > reconnects);
		assert_int_equal(jobs_rows(), 1 + i);
	}
	toytimer_queue_unref(q);
	queues_kill(&a);
	pg_proxy_stop(&proxy);
}

/* A failover loses commits, and ids are used again. A client that does not know whether its
 * acknowledgement was stored must not take the new timer's wake for a repeat. All clients of the
 * timerqd that continues must learn of the failover. */
static void test_failover(void **state)
{
	toytimer_queue *q = jobs_open(&a);
	struct jobs_log log = {0};
	uint64_t reconnects;

	(void)state;
	jobs_consume(q, &log);
	assert_int_equal(jobs_put(q, 0), 0);
	jobs_process(q, &log, 1, 20000);
	assert_int_equal(log.n, 1);
	assert_int_equal(kill(a.pid, SIGSTOP), 0);
	assert_int_equal(toytimer_queue_ack_async(q, &log.refs[0]), 0);
	assert_int_equal(toytimer_queue_flush(q), 0);
	queues_kill(&a);
	jobs_process(q, &log, 2, 300);
	postgres_fail_over();
	postgres_run("TRUNCATE timerd.timers, timerd.queues, timerd.puts, timerd.counts,"
		     " timerd.users RESTART IDENTITY");
	queues_start(&a, NULL);
	jobs_put_soon(q, 0);
	jobs_process(q, &log, 2, 20000);
	assert_int_equal(log.n, 2);
	assert_int_equal(log.refs[1].id, log.refs[0].id);
	assert_int_equal(log.refs[1].number, log.refs[0].number);
	reconnects = toytimer_queue_get_reconnects(q);
	postgres_fail_over();
	for (int i = 0; toytimer_queue_get_reconnects(q) == reconnects && i < 200; i++)
		jobs_process(q, &log, log.n + 1, 100);
	assert_true(toytimer_queue_get_reconnects(q) > reconnects);
	jobs_put_soon(q, 3600000000);
	toytimer_queue_unref(q);
}

/* A user's receipts are bounded, as on one host: above 16 MB the older half is deleted. */
static void test_receipts(void **state)
{
	toytimer_queue *q = jobs_open(&a);

	(void)state;
	/* All from the last hour; the serial gives their order. */
	postgres_run("INSERT INTO timerd.puts SELECT %u, gen_random_uuid(), 1, i,"
		     " (extract(epoch FROM now()) * 1000000)::bigint - 3600000000 + i, a, a, a, a"
		     " FROM generate_series(1, 2000) i, (SELECT array_fill(0, ARRAY[400]) AS a) a",
		geteuid());
	assert_int_equal(jobs_put(q, 3600000000), 0);
	/* The receipt of this put remains, and the youngest others: 8 MB of 64 + 24 400 bytes. */
	assert_int_equal(postgres_run("SELECT count(*) FROM timerd.puts"), 1 + (8 << 20) / 9664);
	assert_int_equal(postgres_run("SELECT min(serial) FROM timerd.puts WHERE slot = 1"
				      " AND cardinality(ids) = 400"),
		2001 - (8 << 20) / 9664);
	toytimer_queue_unref(q);
}

/* A host that serves no queue polls rarely. It still knows how many timers users hold. */
static void test_status_of_any_host(void **state)
{
	toytimer_queue *q = jobs_open(&a), *other;
	toytimer_queue_status status = {0};

	(void)state;
	start_b();
	other = jobs_open(&b);
	for (uint64_t n = 1; n <= 3; n++) {
		uint64_t until;

		assert_int_equal(jobs_put(q, 3600000000), 0);
		until = toytimer_now(TOYTIMER_BOOTTIME) + 3500000;
		while (status.timers < n && toytimer_now(TOYTIMER_BOOTTIME) < until) {
			usleep(50000);
			assert_int_equal(toytimer_queue_get_status(other, &status), 0);
		}
		assert_int_equal(status.timers, n);
	}
	toytimer_queue_unref(q);
	toytimer_queue_unref(other);
}

static void expect_ctl_refusal(const char *option, const char *value, const char *words)
{
	const char *const argv[] = {daemon_binary("TOYTIMERCTL_BINARY"), "--queue-socket", a.socket,
		"register", "--queue", "jobs", option, value ? value : "1h", value ? "1h" : NULL,
		NULL};
	char said[SAID];

	assert_int_equal(said_by(said, argv), 2);
	if (!strstr(said, words))
		fail_msg("%s: %s", words, said);
}

/* A fleet has no clocks of elapsed time, and cannot wake a machine. */
static void test_refuses_by_clock(void **state)
{
	toytimer_queue_timer t = {.due = 1000000, .flags = TOYTIMER_RELATIVE};
	toytimer_queue *q = jobs_open(&a);

	(void)state;
	t.clock = TOYTIMER_MONOTONIC;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), -EOPNOTSUPP);
	t.clock = TOYTIMER_REALTIME;
	t.flags |= TOYTIMER_WAKE_SYSTEM;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), -EOPNOTSUPP);
	expect_ctl_refusal("--clock", "monotonic", "--clock monotonic: ");
	expect_ctl_refusal("--wake-system", NULL, "--wake-system: ");
	assert_int_equal(jobs_rows(), 0);
	toytimer_queue_unref(q);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_any_host_registers),
		TEST(test_frozen_owner),
		TEST(test_database_restarts),
		TEST(test_connections_are_killed),
		TEST(test_insert_held_open),
		TEST(test_answer_is_lost),
		TEST(test_failover),
		TEST(test_status_of_any_host),
		TEST(test_receipts),
		TEST(test_refuses_by_clock),
	};
	return queues_run(tests);
}
