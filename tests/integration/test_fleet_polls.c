/* SPDX-License-Identifier: MIT */
/*
 * How soon the owner of a queue finds a timer that another host has stored: with a hint; and
 * without one, by its poll each second.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_hints),
		TEST(test_polls_after_taking),
		TEST(test_strange_hints),
	};
	return queues_run(tests);
}
