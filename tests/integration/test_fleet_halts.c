/* SPDX-License-Identifier: MIT */
/*
 * Two timerqd play two hosts. One of them is stopped between its check of the lease and its send,
 * or before it reads an acknowledgement, and continues after the other host has taken the queue; or
 * its machine pauses for less than the margin. Other tests have locks that a halted host keeps, a
 * failover that loses a lease, and a host whose wall clock is off by an hour.
 *
 * Two tests remove the fence and the margin, and show that the tests above then fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <toytimer-queue.h>
#include <unistd.h>

#include "cutter.h"
#include "database.h"
#include "jobs.h"
#include "queues.h"

#define LEASE_US 2000000
#define SECOND	 UINT64_C(1000000)

/* For the tests of the margin: the length of a lease. */
#define LONG_LEASE_US 4000000
#define PAUSE_US      2000000
#define MARGIN_US     2500000

static struct test_queues a, b, third;
static struct cutter cutter;
static char halt_file[64];

/* On a busy machine the database can be away for a moment. */
static void put(toytimer_queue *q, enum toytimer_clock clock, unsigned int flags, uint64_t due)
{
	const toytimer_queue_timer t = {.due = due, .flags = flags, .clock = clock};
	int r;

	for (int tries = 0; (r = toytimer_queue_put(q, "jobs", &t, NULL)) && tries < 60; tries++)
		usleep(500000);
	assert_int_equal(r, 0);
}

static void start(struct test_queues *d)
{
	d->has_schema = true;
	queues_start(d, cutter.pid && d == &a ? "--store" : NULL, cutter.uri, NULL);
}

/* Starts host a, with one variable for the preloaded library. */
static void start_preloaded(const char *variable, const char *value)
{
	setenv("LD_PRELOAD", daemon_binary("FLEET_PRELOAD"), 1);
	/* The sanitizers require to be the first library, unless this is off. */
	setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1);
	setenv(variable, value, 1);
	start(&a);
	unsetenv("LD_PRELOAD");
	unsetenv("ASAN_OPTIONS");
	unsetenv(variable);
}

static int set_up(void **state)
{
	(void)state;
	postgres_reset(daemon_binary("TIMERQD_BINARY"), LEASE_US);
	snprintf(halt_file, sizeof(halt_file), "/tmp/timerd-halt-%d", (int)getpid());
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (a.pid)
		kill(a.pid, SIGCONT);
	unlink(halt_file);
	queues_clean(&third);
	queues_clean(&b);
	queues_clean(&a);
	cutter_stop(&cutter);
	return 0;
}

/* Whether the log of a host contains the text. */
static bool says(const struct test_queues *d, const char *what)
{
	FILE *f = fopen(d->timerd.log, "re");
	char line[512];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, what);
	if (f)
		fclose(f);
	return found;
}

/* Host a is stopped between its check and its send. It sends its wake after the other host has sent
 * it: a repeat, under the old term. Acknowledging it changes nothing. */
static void test_halted_before_send(void **state)
{
	toytimer_queue *q, *other;
	struct jobs_log log = {0}, others = {0};
	int status;

	(void)state;
	start_preloaded("TEST_HALT", halt_file);
	start(&b);
	q = jobs_open(&a);
	other = jobs_open(&b);
	jobs_consume(q, &log);
	put(q, TOYTIMER_BOOTTIME, TOYTIMER_RELATIVE, 0);
	jobs_process(q, &log, 1, 20000);
	assert_int_equal(toytimer_queue_ack(q, &log.refs[0]), 0);
	jobs_consume(other, &others);
	close(open(halt_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	put(other, TOYTIMER_BOOTTIME, TOYTIMER_RELATIVE, 0);
	for (int ms = 0; waitpid(a.pid, &status, WUNTRACED | WNOHANG) == 0; ms += 10) {
		assert_true(ms < 20000);
		usleep(10000);
	}
	assert_true(WIFSTOPPED(status));
	jobs_process(other, &others, 1, 20000);
	assert_int_equal(others.n, 1);
	assert_true(others.refs[0].term > log.refs[0].term);
	assert_int_equal(kill(a.pid, SIGCONT), 0);
	jobs_process(q, &log, 2, 20000);
	assert_int_equal(log.n, 2);
	assert_int_equal(log.refs[1].id, others.refs[0].id);
	assert_int_equal(log.refs[1].number, others.refs[0].number);
	assert_int_equal(log.refs[1].term, log.refs[0].term);
	assert_int_not_equal(toytimer_queue_ack(q, &log.refs[1]), 0);
	assert_true(says(&a, "serves the queue jobs of user"));
	assert_true(says(&a, "no more: another host has taken it"));
	assert_int_equal(jobs_rows(), 1);
	assert_int_equal(toytimer_queue_ack(other, &others.refs[0]), 0);
	assert_int_equal(jobs_rows(), 0);
	toytimer_queue_unref(q);
	toytimer_queue_unref(other);
}

/* Starts both hosts; a client of host a takes the first wake. */
static toytimer_queue *take_first_wake(struct jobs_log *log)
{
	toytimer_queue *q;

	start(&a);
	start(&b);
	q = jobs_open(&a);
	jobs_consume(q, log);
	put(q, TOYTIMER_BOOTTIME, TOYTIMER_RELATIVE, 0);
	jobs_process(q, log, 1, 20000);
	assert_int_equal(log->n, 1);
	return q;
}

/* A client of host b waits for the queue, and host a is halted. */
static toytimer_queue *halt_owner(struct jobs_log *log)
{
	toytimer_queue *q = jobs_open(&b);

	jobs_consume(q, log);
	assert_int_equal(kill(a.pid, SIGSTOP), 0);
	return q;
}

/* Leaves a transaction open as a host does that is halted while the server reads its commit, or
 * sends the answer. */
static PGconn *halt_in_commit(void)
{
	char uri[sizeof(postgres.uri) + 32];
	PGconn *conn;
	PGresult *r;

	snprintf(uri, sizeof(uri), "%s&application_name=timerqd", postgres.uri);
	conn = PQconnectdb(uri);
	PQclear(PQexec(conn, "BEGIN"));
	r = PQexec(conn, "SELECT number FROM timerd.queues ORDER BY number FOR SHARE");
	assert_int_equal(PQresultStatus(r), PGRES_TUPLES_OK);
	PQclear(r);
	return conn;
}

static void expect_ended(PGconn *conn, const struct test_queues *by)
{
	PQclear(PQexec(conn, "SELECT 1"));
	assert_int_equal(PQstatus(conn), CONNECTION_BAD);
	PQfinish(conn);
	assert_true(says(by, "that another host left open"));
}

/* The locks of a halted owner are not in the way of the takeover. */
static void test_halted_in_commit(void **state)
{
	toytimer_queue *q, *other;
	struct jobs_log log = {0}, others = {0};
	PGconn *conn;

	(void)state;
	q = take_first_wake(&log);
	other = halt_owner(&others);
	conn = halt_in_commit();
	jobs_process(other, &others, 1, 30000);
	assert_int_equal(others.n, 1);
	assert_true(others.refs[0].term > log.refs[0].term);
	expect_ended(conn, &b);
	toytimer_queue_unref(q);
	toytimer_queue_unref(other);
}

/* Those of a host that stores into the queue are not in the way of the owner's renewals. */
static void test_halted_in_put(void **state)
{
	struct jobs_log log = {0};
	toytimer_queue *q;
	PGconn *conn;

	(void)state;
	start(&a);
	q = jobs_open(&a);
	jobs_consume(q, &log);
	put(q, TOYTIMER_BOOTTIME, TOYTIMER_RELATIVE, 0);
	jobs_process(q, &log, 1, 20000);
	put(q, TOYTIMER_BOOTTIME, TOYTIMER_RELATIVE, (uint64_t)3 * LEASE_US);
	conn = halt_in_commit();
	jobs_process(q, &log, 2, 30000);
	assert_int_equal(log.n, 2);
	expect_ended(conn, &a);
	toytimer_queue_unref(q);
}

/* Host a is stopped before it reads an acknowledgement, and continues after the takeover. Return:
 * how many rows there are; 1: the old term changed nothing. */
static int64_t acknowledge_late(void)
{
	toytimer_queue *q, *other;
	struct jobs_log log = {0}, others = {0};
	int64_t left;

	q = take_first_wake(&log);
	other = halt_owner(&others);
	assert_int_equal(toytimer_queue_ack_async(q, &log.refs[0]), 0);
	assert_int_equal(toytimer_queue_flush(q), 0);
	jobs_process(other, &others, 1, 20000);
	assert_int_equal(others.n, 1);
	assert_int_equal(kill(a.pid, SIGCONT), 0);
	jobs_process(q, &log, 2, 1500);
	left = jobs_rows();
	toytimer_queue_unref(q);
	toytimer_queue_unref(other);
	return left;
}

static void test_acknowledged_late(void **state)
{
	(void)state;
	assert_int_equal(acknowledge_late(), 1);
}

/* The same with a fence that lets each term pass. This shows that the test above tests the fence.
 */
static void test_no_fence(void **state)
{
	(void)state;
	postgres_run("DO $$BEGIN EXECUTE replace(pg_get_functiondef("
		     "'timerd.lock_queues'::regproc), "
		     "'r.owner = in_owner AND r.term = q_term[r.ord]', 'true'); END$$");
	assert_int_equal(acknowledge_late(), 0);
	/* The next test gets the real fence. */
	postgres_drop_schema();
}

/* When the client of a host received its first and its last wake; 0: none. */
struct span {
	uint64_t first, last;
};

static int note_span(toytimer_queue *q, const toytimer_wake *w, void *userdata)
{
	struct span *s = userdata;

	(void)q;
	(void)w;
	s->last = toytimer_now(TOYTIMER_BOOTTIME);
	s->first = s->first ? s->first : s->last;
	return 0;
}

static void pause_clock(void)
{
	FILE *f = fopen(halt_file, "we");

	assert_non_null(f);
	fprintf(f, "%d\n", PAUSE_US);
	fclose(f);
}

static toytimer_queue *consume_all(const struct test_queues *host, struct span *span)
{
	const toytimer_queue_consumer c = {.window = 1000, .handler = note_span, .userdata = span};
	toytimer_queue *q = jobs_open(host);

	assert_int_equal(toytimer_queue_consume(q, "jobs", &c), 0);
	return q;
}

static void process_both(toytimer_queue *const q[2], const struct span *until, uint64_t most_us)
{
	uint64_t end = toytimer_now(TOYTIMER_BOOTTIME) + most_us;

	while (!until->first && toytimer_now(TOYTIMER_BOOTTIME) < end) {
		for (int i = 0; i < 2; i++)
			while (toytimer_queue_process(q[i]) > 0)
				;
		usleep(5000);
	}
}

/* The machine of host a pauses, which its clock does not show, while it is cut off from the
 * database. It always has wakes to deliver. Return: how long after the first wake of host b it
 * still delivered, microseconds; negative: it ended that much before. */
static int64_t pause_with_margin(uint64_t margin)
{
	struct span from_a = {0}, from_b = {0}, never = {0};
	toytimer_queue *q[2];

	cutter_start(&cutter, postgres.folder);
	postgres_run("UPDATE timerd.meta SET lease = %d, margin = %llu", LONG_LEASE_US,
		(unsigned long long)margin);
	start_preloaded("TEST_PAUSE", halt_file);
	start(&b);
	q[0] = consume_all(&a, &from_a);
	put(q[0], TOYTIMER_BOOTTIME, TOYTIMER_RELATIVE, 0);
	process_both((toytimer_queue *const[2]){q[0], q[0]}, &from_a, 20000000);
	assert_true(from_a.first);
	q[1] = consume_all(&b, &from_b);
	for (unsigned int i = 0; i < 250; i++)
		put(q[0], TOYTIMER_BOOTTIME, TOYTIMER_RELATIVE, SECOND + i * 50000);
	process_both(q, &never, SECOND);
	assert_false(from_b.first);
	cutter_set(&cutter, CUTTER_STALL);
	pause_clock();
	process_both(q, &from_b, 20 * SECOND);
	assert_true(from_b.first);
	process_both(q, &never, 3 * SECOND);
	toytimer_queue_unref(q[0]);
	toytimer_queue_unref(q[1]);
	tear_down(NULL);
	print_message("margin %.1f s: the hosts delivered at one time for %.3f s\n",
		(double)margin / 1e6, ((double)from_a.last - (double)from_b.first) / 1e6);
	return (int64_t)(from_a.last - from_b.first);
}

/* A busy machine may hand out late what host a sent in time. So one good try of a few is enough. */
static void test_paused_within_margin(void **state)
{
	int64_t both = pause_with_margin(MARGIN_US);

	(void)state;
	if (both > 0)
		both = pause_with_margin(MARGIN_US);
	assert_true(both <= 0);
}

/* The same without a margin. This shows that the test above tests the margin. */
static void test_no_margin(void **state)
{
	int64_t both = pause_with_margin(0);

	(void)state;
	if (both < PAUSE_US / 8)
		both = pause_with_margin(0);
	assert_true(both >= PAUSE_US / 8);
}

#define TIMELINE "SELECT timeline FROM timerd.meta"

/* Host a is cut off, and its lease is lost in a failover, but it may still deliver until the lease
 * ends. A host that starts now has seen no other server. Still it delivers nothing for a lease. The
 * next host does not wait again. */
static void test_start_after_failover(void **state)
{
	struct span from_a = {0}, from_b = {0}, from_c = {0};
	toytimer_queue *q[3];
	int64_t timeline;
	uint64_t began;

	(void)state;
	cutter_start(&cutter, postgres.folder);
	start(&a);
	q[0] = consume_all(&a, &from_a);
	put(q[0], TOYTIMER_BOOTTIME, TOYTIMER_RELATIVE, 0);
	process_both((toytimer_queue *const[2]){q[0], q[0]}, &from_a, 20 * SECOND);
	assert_true(from_a.first);
	assert_false(says(&a, "takes no queue for"));
	timeline = postgres_run(TIMELINE);
	cutter_set(&cutter, CUTTER_STALL);
	postgres_fail_over();
	postgres_run("UPDATE timerd.queues SET owner = NULL, host = NULL, term = 0, beat = 0");
	postgres_run("UPDATE timerd.meta SET term = 0, lease = %d", LONG_LEASE_US);
	began = toytimer_now(TOYTIMER_BOOTTIME);
	start(&b);
	q[1] = consume_all(&b, &from_b);
	process_both(&q[0], &from_b, 30 * SECOND);
	assert_true(from_b.first >= began + LONG_LEASE_US);
	assert_true(says(&b, "takes no queue for"));
	assert_int_not_equal(postgres_run(TIMELINE), timeline);
	start(&third);
	q[2] = consume_all(&third, &from_c);
	assert_int_equal(queues_stop(&b), 0);
	process_both(&q[1], &from_c, 30 * SECOND);
	assert_true(from_c.first);
	assert_false(says(&third, "takes no queue for"));
	for (int i = 0; i < 3; i++)
		toytimer_queue_unref(q[i]);
}

/* The database's clock decides: a host whose clock is off by an hour fires at the same instant. */
static void fire_with_clock_off(const char *off)
{
	struct jobs_log log = {0};
	toytimer_queue_status status;
	toytimer_queue *q;
	uint64_t due;

	start_preloaded("TEST_CLOCK_OFF", off);
	q = jobs_open(&a);
	jobs_consume(q, &log);
	due = toytimer_now(TOYTIMER_REALTIME) + 2 * SECOND;
	put(q, TOYTIMER_REALTIME, 0, due);
	jobs_process(q, &log, 1, 30000);
	assert_int_equal(log.n, 1);
	assert_in_range(toytimer_now(TOYTIMER_REALTIME), due, due + 20 * SECOND);
	assert_true(log.late[0] < 20 * SECOND);
	assert_int_equal(toytimer_queue_ack(q, &log.refs[0]), 0);
	/* The same for a span of elapsed time. */
	due = toytimer_now(TOYTIMER_BOOTTIME) + SECOND;
	put(q, TOYTIMER_BOOTTIME, TOYTIMER_RELATIVE, SECOND);
	jobs_process(q, &log, 2, 30000);
	assert_int_equal(log.n, 2);
	assert_in_range(toytimer_now(TOYTIMER_BOOTTIME), due, due + 20 * SECOND);
	assert_true(says(&a, "ms off the database's"));
	assert_int_equal(toytimer_queue_get_status(q, &status), 0);
	assert_in_range(status.clock_off / (int64_t)SECOND - strtol(off, NULL, 10) + 20, 0, 40);
	toytimer_queue_unref(q);
}

static void test_clock_ahead(void **state)
{
	(void)state;
	fire_with_clock_off("3600");
}

static void test_clock_behind(void **state)
{
	(void)state;
	fire_with_clock_off("-3600");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_halted_before_send),
		TEST(test_halted_in_commit),
		TEST(test_halted_in_put),
		TEST(test_acknowledged_late),
		TEST(test_no_fence),
		TEST(test_paused_within_margin),
		TEST(test_no_margin),
		TEST(test_start_after_failover),
		TEST(test_clock_ahead),
		TEST(test_clock_behind),
	};

	return queues_run(tests);
}
