/* SPDX-License-Identifier: MIT */
/*
 * test_database_faults [--soak]
 *
 * timerqd on a PostgreSQL whose disk is full, with locked tables or rows (--soak: for a minute), or
 * whose dead rows a long transaction keeps. timerqd refuses with a clear error what it cannot
 * store. Afterwards everything works.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <libpq-fe.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <toytimer-queue.h>
#include <unistd.h>

#include "database.h"
#include "jobs.h"
#include "queues.h"

#define SECOND	 UINT64_C(1000000)
#define HOUR	 (3600 * SECOND)
#define LEASE_US (5 * SECOND) /* the same as in queues.c */

/* Longer than a lease and a poll. */
static unsigned int lock_seconds = 7;

static struct test_queues a;

static int put_payload(toytimer_queue *q, uint64_t after, const void *payload, size_t size)
{
	const toytimer_queue_timer t = {
		.due = after,
		.flags = TOYTIMER_RELATIVE,
		.clock = TOYTIMER_BOOTTIME,
		.payload = payload,
		.payload_size = size,
	};

	return toytimer_queue_put(q, "jobs", &t, NULL);
}

static int set_up(void **state)
{
	(void)state;
	queues_start(&a, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	queues_clean(&a);
	return 0;
}

static uint32_t store_state(toytimer_queue *q)
{
	toytimer_queue_status status;

	assert_int_equal(toytimer_queue_get_status(q, &status), 0);
	return (uint32_t)status.store;
}

/* Moves the timers' table to a disk of 4 MB. Return: false if it cannot be mounted here. */
static bool move_to_small_disk(char folder[static 96])
{
	char options[64];
	struct stat server;

	snprintf(folder, 96, "%s/small", postgres.folder);
	assert_int_equal(stat(postgres.folder, &server), 0);
	assert_int_equal(mkdir(folder, 0700), 0);
	snprintf(options, sizeof(options), "size=4m,mode=700,uid=%u,gid=%u", server.st_uid,
		server.st_gid);
	if (mount("tmpfs", folder, "tmpfs", 0, options) < 0) {
		rmdir(folder);
		return false;
	}
	postgres_run("CREATE TABLESPACE small LOCATION '%s'", folder);
	postgres_run("ALTER TABLE timerd.timers SET TABLESPACE small");
	return true;
}

/* Puts timers that are due in an hour until one is refused. Return: how many were stored. */
static unsigned int fill(toytimer_queue *q)
{
	static uint8_t payload[TOYTIMER_QUEUE_PAYLOAD_MAX];
	unsigned int n = 0;
	int r;

	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)rand(); /* random, so that PostgreSQL cannot compress it */
	while ((r = put_payload(q, HOUR, payload, sizeof(payload))) == 0)
		n++;
	assert_int_equal(r, -ENOSPC);
	return n;
}

/* On a full disk, stored timers are delivered and acknowledged. New ones are refused until there is
 * room. */
static void test_disk_is_full(void **state)
{
	toytimer_queue *q = jobs_open(&a);
	struct jobs_log log = {0};
	char folder[96];
	unsigned int n;

	(void)state;
	if (geteuid() != 0 || !move_to_small_disk(folder)) {
		print_message("needs root, to mount a small disk\n");
		toytimer_queue_unref(q);
		skip();
	}
	jobs_consume(q, &log);
	assert_int_equal(jobs_put(q, 0), 0);
	jobs_process(q, &log, 1, 20000);
	assert_int_equal(jobs_put(q, 5 * SECOND), 0);
	n = fill(q);
	assert_true(n > 10);
	assert_int_equal(store_state(q), TOYTIMER_QUEUE_STORE_FULL);
	assert_int_equal(put_payload(q, HOUR, "more", 4), -ENOSPC);
	assert_int_equal(toytimer_queue_ack(q, &log.refs[0]), 0);
	jobs_process(q, &log, 2, 20000);
	assert_int_equal(log.n, 2);
	assert_int_equal(toytimer_queue_ack(q, &log.refs[1]), 0);
	assert_int_equal(jobs_rows(), n);
	assert_int_equal(toytimer_queue_purge(q, "jobs", 0, NULL), 0);
	assert_int_equal(jobs_rows(), 0);
	assert_int_equal(mount(NULL, folder, NULL, MS_REMOUNT, "size=16m"), 0);
	jobs_put_soon(q, 0);
	jobs_process(q, &log, 3, 20000);
	assert_int_equal(log.n, 3);
	assert_int_equal(store_state(q), TOYTIMER_QUEUE_STORE_OK);
	assert_int_equal(jobs_rows(), 1);
	toytimer_queue_unref(q);
	queues_kill(&a);
	postgres_drop_schema();
	postgres_run("DROP TABLESPACE small");
	umount2(folder, MNT_DETACH);
}

/* Locks a table, and waits until the lock ends. */
static void wait_locked(PGconn *c, const char *table, toytimer_queue *q, const struct jobs_log *log)
{
	uint64_t until = toytimer_now(TOYTIMER_BOOTTIME) + lock_seconds * SECOND;
	char lock[96];
	PGresult *r;

	snprintf(lock, sizeof(lock), "BEGIN; LOCK TABLE timerd.%s IN ACCESS EXCLUSIVE MODE", table);
	r = PQexec(c, lock);
	if (PQresultStatus(r) != PGRES_COMMAND_OK)
		fail_msg("%s", PQerrorMessage(c));
	PQclear(r);
	while (toytimer_now(TOYTIMER_BOOTTIME) < until) {
		uint64_t began = toytimer_now(TOYTIMER_BOOTTIME);

		assert_int_equal(jobs_put(q, HOUR), -EHOSTUNREACH);
		assert_true(toytimer_now(TOYTIMER_BOOTTIME) < began + 4 * LEASE_US);
		jobs_process(q, log, log->n + 1, 500);
	}
}

/* Another connection locks a table for longer than a lease. Puts are refused in time, with a clear
 * error. If the lease cannot be renewed, no wake is delivered after its end. Afterwards everything
 * works. */
static void hold_lock(const char *table, size_t delivered)
{
	PGconn *c = PQconnectdb(postgres.uri);
	toytimer_queue *q = jobs_open(&a);
	struct jobs_log log = {0};

	jobs_consume(q, &log);
	assert_int_equal(jobs_put(q, 0), 0);
	jobs_process(q, &log, 1, 20000);
	/* The host may have stored the first put before it knew that it has the lease. Then the
	 * next poll finds it. */
	jobs_process(q, &log, 2, 2500);
	/* This timer is loaded before the lock, and due after the end of the lease. */
	assert_int_equal(jobs_put(q, LEASE_US), 0);
	wait_locked(c, table, q, &log);
	assert_int_equal(log.n, delivered);
	PQclear(PQexec(c, "ROLLBACK"));
	jobs_put_soon(q, HOUR);
	jobs_process(q, &log, 2, 20000);
	assert_int_equal(log.n, 2);
	assert_int_equal(toytimer_queue_ack(q, &log.refs[0]), 0);
	assert_int_equal(toytimer_queue_ack(q, &log.refs[1]), 0);
	assert_int_equal(jobs_rows(), 1);
	PQfinish(c);
	toytimer_queue_unref(q);
}

static void test_timers_are_locked(void **state)
{
	(void)state;
	hold_lock("timers", 2);
}

static void test_queues_are_locked(void **state)
{
	(void)state;
	hold_lock("queues", 1);
}

/* Two queues of one host, for locks that concern one of them. */
struct two_queues {
	toytimer_queue *q;
	unsigned int free, locked; /* wakes of each, acknowledged */
};

static int acknowledge_one_of_two(toytimer_queue *q, const toytimer_wake *w, void *userdata)
{
	struct two_queues *t = userdata;

	++*(strcmp(w->queue, "free") == 0 ? &t->free : &t->locked);
	assert_int_equal(toytimer_queue_ack_async(q, &w->ref), 0);
	return 0;
}

static int put_into(toytimer_queue *q, const char *queue, uint64_t after)
{
	const toytimer_queue_timer t = {
		.due = after, .flags = TOYTIMER_RELATIVE, .clock = TOYTIMER_BOOTTIME};

	return toytimer_queue_put(q, queue, &t, NULL);
}

/* Processes events until the count of wakes is n. */
static void await_wakes(struct two_queues *t, const unsigned int *count, unsigned int n)
{
	uint64_t until = toytimer_now(TOYTIMER_BOOTTIME) + 60 * SECOND;

	while (*count < n && toytimer_now(TOYTIMER_BOOTTIME) < until)
		if (toytimer_queue_process(t->q) == 0)
			assert_true(toytimer_queue_wait(t->q, 10000) >= 0);
	assert_int_equal(*count, n);
}

static void begin_two(struct two_queues *t)
{
	const toytimer_queue_consumer consumer = {
		.window = 10, .handler = acknowledge_one_of_two, .userdata = t};

	t->q = jobs_open(&a);
	assert_int_equal(toytimer_queue_consume(t->q, "locked", &consumer), 0);
	assert_int_equal(toytimer_queue_consume(t->q, "free", &consumer), 0);
	assert_int_equal(put_into(t->q, "locked", 0), 0);
	assert_int_equal(put_into(t->q, "free", 0), 0);
	await_wakes(t, &t->locked, 1);
	await_wakes(t, &t->free, 1);
}

static int64_t column_of(const char *queue, const char *column)
{
	return postgres_run("SELECT %s FROM timerd.queues WHERE name = '%s'", column, queue);
}

/* The queue "free" stores, delivers and acknowledges for so many seconds under one term, and until
 * its lease has been renewed twice. On a busy machine a put may be refused, and a lease may be
 * lost, but not for long. */
static void use_free_queue(struct two_queues *t)
{
	uint64_t now = toytimer_now(TOYTIMER_BOOTTIME), end = now + 120 * SECOND, began = now;
	int64_t term = column_of("free", "term"), beat = column_of("free", "beat");

	while (now < began + lock_seconds * SECOND || column_of("free", "beat") < beat + 2) {
		assert_true(now < end);
		if (put_into(t->q, "free", 0) == 0)
			await_wakes(t, &t->free, t->free + 1);
		now = toytimer_now(TOYTIMER_BOOTTIME);
		if (column_of("free", "term") == term)
			continue;
		print_message("the lease was lost\n");
		began = now;
		term = column_of("free", "term");
		beat = column_of("free", "beat");
	}
}

/* An administrator locks rows for longer than a lease. Meanwhile a put into the queue "locked" is
 * refused in time, and the queue "free" of the same host goes on and keeps its lease. Afterwards
 * the locked queue goes on, too. */
static void lock_rows(struct two_queues *t, const char *lock)
{
	const toytimer_queue_timer timer = {
		.key = "key", .due = HOUR, .flags = TOYTIMER_RELATIVE, .clock = TOYTIMER_BOOTTIME};
	PGconn *c = PQconnectdb(postgres.uri);
	PGresult *r;

	begin_two(t);
	assert_int_equal(put_into(t->q, "locked", LEASE_US), 0);
	assert_int_equal(toytimer_queue_put(t->q, "locked", &timer, NULL), 0);
	PQclear(PQexec(c, "BEGIN"));
	r = PQexec(c, lock);
	if (PQresultStatus(r) != PGRES_TUPLES_OK || PQntuples(r) < 1)
		fail_msg("%s: %s", lock, PQerrorMessage(c));
	PQclear(r);
	assert_int_equal(toytimer_queue_put(t->q, "locked", &timer, NULL), -EHOSTUNREACH);
	assert_int_equal(toytimer_queue_purge(t->q, "locked", 0, NULL), -EHOSTUNREACH);
	use_free_queue(t);
	PQclear(PQexec(c, "ROLLBACK"));
	for (int i = 0; i < 200 && toytimer_queue_put(t->q, "locked", &timer, NULL); i++)
		usleep(100000);
	await_wakes(t, &t->locked, 2);
	for (int i = 0; i < 200 && jobs_rows() > 1; i++) {
		assert_true(toytimer_queue_process(t->q) >= 0); /* sends the acknowledgement */
		usleep(100000);
	}
	assert_int_equal(jobs_rows(), 1);
	PQfinish(c);
	toytimer_queue_unref(t->q);
}

static void test_row_of_a_queue_is_locked(void **state)
{
	struct two_queues t = {0};

	(void)state;
	lock_rows(&t, "SELECT FROM timerd.queues WHERE name = 'locked' FOR UPDATE");
}

/* The same with rows that all queues of the host use: the queue "free" can do without these rows.
 */
static void test_rows_of_timers_are_locked(void **state)
{
	struct two_queues t = {0};

	(void)state;
	lock_rows(&t,
		"SELECT FROM timerd.meta FOR UPDATE; SELECT FROM timerd.counts FOR UPDATE;"
		" SELECT FROM timerd.users FOR UPDATE; SELECT FROM timerd.timers FOR UPDATE");
}

/* Acknowledges each wake. */
static int acknowledge(toytimer_queue *q, const toytimer_wake *w, void *userdata)
{
	unsigned int *n = userdata;

	++*n;
	assert_int_equal(toytimer_queue_ack_async(q, &w->ref), 0);
	return 0;
}

#define CHURN 500

/* Puts that many due timers, and waits until all are acknowledged and removed. */
static void churn(toytimer_queue *q, unsigned int *acknowledged)
{
	unsigned int until = *acknowledged + CHURN;
	const toytimer_queue_timer t = {
		.flags = TOYTIMER_RELATIVE, .clock = TOYTIMER_BOOTTIME, .payload = "churn"};

	for (unsigned int i = 0; i < CHURN; i++)
		assert_int_equal(toytimer_queue_put_async(q, "jobs", &t, NULL, NULL), 0);
	for (int ms = 0; (*acknowledged < until || jobs_rows()) && ms < 20000; ms += 10) {
		while (toytimer_queue_process(q) > 0)
			;
		assert_true(toytimer_queue_wait(q, 10000) >= 0);
	}
	assert_int_equal(*acknowledged, until);
	assert_int_equal(jobs_rows(), 0);
}

/* A long transaction keeps all dead rows, and no vacuum can remove them. */
static void test_dead_rows_are_kept(void **state)
{
	PGconn *c = PQconnectdb(postgres.uri);
	toytimer_queue *q = jobs_open(&a);
	unsigned int acknowledged = 0;
	const toytimer_queue_consumer consumer = {
		.window = 100, .handler = acknowledge, .userdata = &acknowledged};

	(void)state;
	assert_int_equal(toytimer_queue_consume(q, "jobs", &consumer), 0);
	PQclear(PQexec(c, "BEGIN ISOLATION LEVEL REPEATABLE READ"));
	PQclear(PQexec(c, "SELECT count(*) FROM timerd.timers"));
	for (int i = 0; i < 6; i++) {
		churn(q, &acknowledged);
		postgres_run("VACUUM timerd.timers");
	}
	/* The dead rows exist. */
	assert_true(postgres_run("SELECT pg_relation_size('timerd.timers')") > 5 * CHURN * 80);
	PQclear(PQexec(c, "ROLLBACK"));
	postgres_run("VACUUM timerd.timers");
	assert_int_equal(postgres_run("SELECT pg_relation_size('timerd.timers')"), 0);
	churn(q, &acknowledged);
	PQfinish(c);
	toytimer_queue_unref(q);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_disk_is_full),
		TEST(test_timers_are_locked),
		TEST(test_queues_are_locked),
		TEST(test_row_of_a_queue_is_locked),
		TEST(test_rows_of_timers_are_locked),
		TEST(test_dead_rows_are_kept),
	};

	if (argc > 1 && strcmp(argv[1], "--soak") == 0)
		lock_seconds = 60;
	/* The mounts of this test are visible only to this process, and end with it. */
	if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0)
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	return queues_run(tests);
}
