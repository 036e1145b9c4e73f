/* SPDX-License-Identifier: MIT */
/*
 * How soon the owner of a queue finds a timer that another host has stored: with a hint; and
 * without one, by its poll each second. And how many statements an idle host makes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <toytimer-queue.h>
#include <unistd.h>

#include "database.h"
#include "jobs.h"
#include "queues.h"

static struct test_queues a, b;

static int set_up(void **state)
{
	(void)state;
	queues_start(&a, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	queues_clean(&b);
	queues_clean(&a);
	postgres_run("GRANT EXECUTE ON FUNCTION pg_catalog.pg_notify(text, text) TO PUBLIC");
	return 0;
}

static void await(toytimer_queue *q, const struct jobs_log *log, size_t n)
{
	jobs_process(q, log, n, 20000);
	assert_int_equal(log->n, n);
}

/* Each timer is stored right after a poll. So without hints the owner finds it almost a second
 * later. */
static void test_hints(void **state)
{
	toytimer_queue *owner = jobs_open(&a), *other;
	struct jobs_log log = {0};
	unsigned int soon = 0;

	(void)state;
	b.has_schema = true;
	queues_start(&b, NULL);
	other = jobs_open(&b);
	jobs_consume(owner, &log);
	assert_int_equal(jobs_put(owner, 0), 0);
	await(owner, &log, 1);
	for (size_t i = 2; i < 10; i++) {
		usleep(100000);
		assert_int_equal(jobs_put(other, 0), 0);
		await(owner, &log, i);
		soon += log.late[i - 1] < 600000;
	}
	assert_true(soon >= 6);
	toytimer_queue_unref(owner);
	toytimer_queue_unref(other);
}

/* A host that takes its first queue polls each second from then on; before, it polled less often.
 * No hint reports these rows, and the lease is long, so no renewal finds them either. */
static void test_polls_after_taking(void **state)
{
	struct jobs_log log = {0};
	toytimer_queue *q;
	uint64_t start;

	(void)state;
	queues_kill(&a);
	postgres_run("UPDATE timerd.meta SET lease = 15000000, margin = 1500000");
	queues_start(&a, NULL);
	q = jobs_open(&a);
	jobs_consume(q, &log);
	for (int i = 0; !postgres_run("SELECT count(owner) FROM timerd.queues") && i < 200; i++)
		jobs_process(q, &log, 1, 10);
	postgres_run("WITH t AS (INSERT INTO timerd.timers (due, ready, every, count, number,"
		     " attempt, max_attempts, queue, clock, flags) SELECT 1, 1, 0, 0, 1, 0, 0,"
		     " number, 2, 0 FROM timerd.queues RETURNING queue)"
		     " INSERT INTO timerd.counts SELECT queue, 99, 1, 0, 0, 1 FROM t");
	start = toytimer_now(TOYTIMER_BOOTTIME);
	await(q, &log, 1);
	assert_true(toytimer_now(TOYTIMER_BOOTTIME) - start < 2500000);
	toytimer_queue_unref(q);
}

/* Any client of the database can send hints. */
static void test_strange_hints(void **state)
{
	toytimer_queue *q = jobs_open(&a);
	struct jobs_log log = {0};

	(void)state;
	jobs_consume(q, &log);
	assert_int_equal(jobs_put(q, 0), 0);
	await(q, &log, 1);
	postgres_run("SELECT pg_notify('timerd', x) FROM unnest(ARRAY['', '/', '0', '0/', '/jobs',"
		     " '-1/jobs', '99999999999999999999/jobs', '0/' || repeat('j', 65), '0/' ||"
		     " repeat('j', 7000), '0/nobody', U&'0/\\00e4', 'released', 'released ']) x");
	for (int i = 0; i < 3; i++)
		postgres_run("SELECT pg_notify('timerd', '0/jobs') FROM generate_series(1, 1000)");
	assert_int_equal(jobs_put(q, 0), 0);
	await(q, &log, 2);
	assert_int_equal(queues_stop(&a), 0);
	toytimer_queue_unref(q);
}

/* How many lines of the server's log show a statement of timerqd. */
static unsigned int statements_logged(void)
{
	char path[80], line[4096];
	unsigned int n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/log", postgres.folder);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, "from timerqd: ") && strstr(line, "execute ");
	fclose(f);
	return n;
}

static void log_statements(const char *which)
{
	postgres_run("ALTER SYSTEM SET log_line_prefix = 'from %%a: '");
	postgres_run("ALTER SYSTEM SET log_statement = '%s'", which);
	postgres_run("SELECT pg_reload_conf()");
	while (!postgres_run("SELECT (current_setting('log_statement') = '%s')::integer", which))
		usleep(10000);
}

#define IDLE_QUEUES 300
#define IDLE_S	    5

/* An idle host makes one statement a second, however many queues it serves. */
static void test_idle(void **state)
{
	toytimer_queue *q = jobs_open(&a);
	struct jobs_log log = {0};
	unsigned int before, n;

	(void)state;
	for (unsigned int i = 0; i < IDLE_QUEUES; i++) {
		const toytimer_queue_consumer c = {
			.window = 1, .handler = jobs_note, .userdata = &log};
		char name[16];

		snprintf(name, sizeof(name), "idle%u", i);
		assert_int_equal(toytimer_queue_consume(q, name, &c), 0);
	}
	for (int i = 0; i < 200 &&
		postgres_run("SELECT count(*) FROM timerd.queues"
			     " WHERE owner IS NOT NULL") < IDLE_QUEUES;
		i++)
		usleep(100000);
	log_statements("all");
	/* Waits until all queues have been read. */
	for (int i = 0; i < 60; i++) {
		before = statements_logged();
		usleep(1000000);
		if (statements_logged() - before <= 2)
			break;
	}
	before = statements_logged();
	usleep(IDLE_S * 1000000);
	n = statements_logged() - before;
	log_statements("none");
	print_message("%d queues, %d s: %u statements\n", IDLE_QUEUES, IDLE_S, n);
	assert_in_range(n, 1, IDLE_S + 1);
	toytimer_queue_unref(q);
}

static bool says(const struct test_queues *d, const char *words)
{
	FILE *f = fopen(d->timerd.log, "re");
	char line[512];
	bool found = false;

	assert_non_null(f);
	while (!found && fgets(line, sizeof(line), f))
		found = strstr(line, words);
	fclose(f);
	return found;
}

/* Notifications fail, as they do if the server's queue for them is full: here the role has no right
 * to notify. Hosts release and store as ever, and say that they cannot notify. */
static void test_notifications_fail(void **state)
{
	toytimer_queue *owner, *other;
	struct jobs_log log = {0};
	char uri[192];

	(void)state;
	postgres_run("CREATE ROLE plain LOGIN; GRANT USAGE ON SCHEMA timerd TO plain;"
		     " GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA timerd"
		     " TO plain;"
		     " REVOKE EXECUTE ON FUNCTION pg_catalog.pg_notify(text, text) FROM PUBLIC");
	snprintf(uri, sizeof(uri), "postgresql:///postgres?host=%s&user=plain", postgres.folder);
	queues_kill(&a);
	queues_start(&a, "--store", uri, NULL);
	owner = jobs_open(&a);
	b.has_schema = true;
	queues_start(&b, "--store", uri, NULL);
	other = jobs_open(&b);
	jobs_consume(owner, &log);
	jobs_put_soon(owner, 0);
	await(owner, &log, 1);
	jobs_put_soon(other, 0);
	await(owner, &log, 2);
	for (int i = 0; !says(&b, "cannot notify other hosts: ") && i < 400; i++)
		usleep(50000);
	assert_true(says(&b, "cannot notify other hosts: "));
	toytimer_queue_unref(owner);
	for (int i = 0; i < 400 &&
		postgres_run("SELECT count(*) FROM timerd.queues WHERE owner IS NOT NULL");
		i++)
		usleep(50000);
	assert_int_equal(
		postgres_run("SELECT count(*) FROM timerd.queues WHERE owner IS NOT NULL"), 0);
	toytimer_queue_unref(other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_hints),
		TEST(test_polls_after_taking),
		TEST(test_strange_hints),
		TEST(test_idle),
		TEST(test_notifications_fail),
	};
	return queues_run(tests);
}
