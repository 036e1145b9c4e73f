/* SPDX-License-Identifier: MIT */
/* Which consumer gets a wake from the real daemons: windows, several consumers, wakes that come
 * again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "queue_stage.h"

/* After a loss, the consumer is attached again. If the application still has a wake, the library
 * does not hand it out again, and the application can acknowledge it when it has come again. If the
 * application acknowledged it meanwhile, the library acknowledges it again. */
static void test_redelivery(void **state)
{
	toytimer_queue *q = open_queue();
	struct log log = {0};

	(void)state;
	put(q, "jobs", 0, "held");
	put(q, "jobs", 1, "acknowledged");
	consume(q, "jobs", 10, 0, &log);
	expect_wakes(q, &log, 2);
	queues_kill(&d);
	/* Waits until the library notices the loss. */
	while (toytimer_queue_get_error(q) == 0)
		assert_true(toytimer_queue_process(q) >= 0);
	assert_int_equal(toytimer_queue_ack(q, &log.wakes[1].ref), -ECONNRESET);
	queues_start(&d, NULL);
	put(q, "jobs", 200000, "new");
	expect_wakes(q, &log, 3);
	assert_string_equal(log.wakes[2].payload, "new");
	/* The library's acknowledgement of the wake that came again may still be under way. */
	for (int ms = 0; listed(q, "jobs") > 2; ms++) {
		assert_true(ms < 20000);
		usleep(1000);
	}
	assert_int_equal(listed(q, "jobs"), 2);
	assert_int_equal(toytimer_queue_ack(q, &log.wakes[0].ref), 0);
	assert_int_equal(toytimer_queue_ack(q, &log.wakes[2].ref), 0);
	assert_int_equal(listed(q, "jobs"), 0);
	toytimer_queue_unref(q);
}

/* The wakes of a consumer go to the next one. If it detached, no attempt is counted; otherwise the
 * attempt of the oldest wake is counted. */
static void test_detach_and_leave(void **state)
{
	toytimer_queue *q = open_queue(), *other = open_queue();
	struct log log = {0}, others = {0};

	(void)state;
	put(q, "jobs", 0, "a");
	put(q, "jobs", 1, "b");
	consume(q, "jobs", 10, 0, &log);
	expect_wakes(q, &log, 2);
	assert_int_equal(toytimer_queue_detach(q, "jobs"), 0);
	assert_int_equal(toytimer_queue_ack(q, &log.wakes[0].ref), -ENOENT);
	consume(other, "jobs", 10, 0, &others);
	expect_wakes(other, &others, 2);
	assert_int_equal(others.wakes[0].attempt, 1);
	toytimer_queue_unref(other);
	consume(q, "jobs", 10, 0, &log);
	expect_wakes(q, &log, 4);
	for (size_t i = 2; i < 4; i++)
		assert_int_equal(
			log.wakes[i].attempt, strcmp(log.wakes[i].payload, "a") == 0 ? 2 : 1);
	toytimer_queue_unref(q);
}

/* A consumer leaves, and another one comes, before timerqd looks at either: a child lets timerqd go
 * on once both have happened, or sooner on a slow machine. */
static void test_leave_and_come_at_once(void **state)
{
	toytimer_queue *q = open_queue(), *other = open_queue();
	struct log log = {0}, others = {0};
	pid_t child;

	(void)state;
	put(q, "jobs", 0, "a");
	put(q, "jobs", 1, "b");
	consume(other, "jobs", 10, 0, &others);
	expect_wakes(other, &others, 2);
	assert_int_equal(kill(d.pid, SIGSTOP), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		usleep(300000);
		_exit(kill(d.pid, SIGCONT) != 0);
	}
	toytimer_queue_unref(other);
	consume(q, "jobs", 10, 0, &log);
	assert_int_equal(waitpid(child, NULL, 0), child);
	expect_wakes(q, &log, 2);
	toytimer_queue_unref(q);
}

static void test_windows_and_consumers(void **state)
{
	toytimer_queue *a = open_queue(), *b = open_queue();
	struct log first = {0}, second = {0};

	(void)state;
	for (int i = 0; i < 10; i++)
		put(a, "jobs", 0, "x");
	consume(a, "jobs", 3, 0, &first);
	expect_wakes(a, &first, 3);
	consume(b, "jobs", 4, 0, &second);
	expect_wakes(b, &second, 4);
	for (size_t i = 0; i < 3; i++)
		for (size_t j = 0; j < 4; j++)
			assert_int_not_equal(first.wakes[i].ref.id, second.wakes[j].ref.id);
	assert_int_equal(toytimer_queue_ack(a, &first.wakes[0].ref), 0);
	expect_wakes(a, &first, 4);
	/* A handle is one consumer of a queue. */
	assert_int_equal(
		toytimer_queue_consume(a, "jobs", &(toytimer_queue_consumer){.handler = note_wake}),
		-EALREADY);
	toytimer_queue_unref(a);
	toytimer_queue_unref(b);
}

static void test_several_queues(void **state)
{
	toytimer_queue *q = open_queue();
	struct log log = {.acknowledge = true};

	(void)state;
	consume(q, "a", 1, 0, &log);
	consume(q, "b", 1, 0, &log);
	put(q, "a", 0, "1");
	expect_wakes(q, &log, 1);
	put(q, "b", 0, "2");
	expect_wakes(q, &log, 2);
	assert_string_equal(log.wakes[0].queue, "a");
	assert_string_equal(log.wakes[1].queue, "b");
	queues_kill(&d);
	queues_start(&d, NULL);
	put(q, "b", 0, "3");
	expect_wakes(q, &log, 3);
	put(q, "a", 0, "4");
	expect_wakes(q, &log, 4);
	assert_string_equal(log.wakes[2].queue, "b");
	assert_string_equal(log.wakes[3].queue, "a");
	toytimer_queue_unref(q);
}

static void test_ack_within(void **state)
{
	toytimer_queue *q = open_queue(), *other = open_queue();
	struct log log = {0}, others = {.acknowledge = true};

	(void)state;
	put(q, "jobs", 0, "x");
	consume(q, "jobs", 1, 200000, &log);
	expect_wakes(q, &log, 1);
	assert_int_equal(toytimer_queue_detach(other, "jobs"), -ENOTCONN);
	consume(other, "jobs", 1, 0, &others);
	process(other, &others, 1, 5000);
	/* One of the two gets it. If the first handle gets it again, it recognises the repeat. */
	assert_true(log.n == 1 && others.n <= 1);
	if (others.n)
		assert_true(others.wakes[0].attempt >= 2);
	toytimer_queue_unref(q);
	toytimer_queue_unref(other);
}

static void test_max_attempts(void **state)
{
	toytimer_queue *q = open_queue();
	toytimer_queue_timer t = {
		.flags = TOYTIMER_RELATIVE,
		.clock = TOYTIMER_BOOTTIME,
		.max_attempts = 2,
		.key = "k",
	};
	toytimer_queue_stored s;
	struct log log = {0};
	uint64_t n;

	(void)state;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, &s), 0);
	assert_int_equal(toytimer_queue_consume(q, "jobs",
				 &(toytimer_queue_consumer){
					 .max_attempts = 2,
					 .handler = note_wake,
					 .userdata = &log,
				 }),
		0);
	for (size_t i = 1; i <= 2; i++) {
		expect_wakes(q, &log, i);
		assert_int_equal(toytimer_queue_retry(q, &log.wakes[i - 1].ref, 0), 0);
	}
	expect_wakes(q, &log, 2);
	assert_int_equal(parked(q, "jobs"), 1);
	assert_int_equal(toytimer_queue_revive(q, "jobs", s.id + 1), -ENOENT);
	assert_int_equal(toytimer_queue_revive(q, "jobs", s.id), 0);
	expect_wakes(q, &log, 3);
	assert_int_equal(log.wakes[2].attempt, 1);
	assert_int_equal(log.wakes[2].ref.id, s.id);
	assert_int_equal(toytimer_queue_retry(q, &log.wakes[2].ref, 0), 0);
	expect_wakes(q, &log, 4);
	assert_int_equal(toytimer_queue_retry(q, &log.wakes[3].ref, 0), 0);
	assert_int_equal(parked(q, "jobs"), 1);
	assert_int_equal(toytimer_queue_purge(q, "jobs", TOYTIMER_QUEUE_LIST_PARKED, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(parked(q, "jobs"), 0);
	toytimer_queue_unref(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGED(test_redelivery),
		STAGED(test_detach_and_leave),
		STAGED(test_leave_and_come_at_once),
		STAGED(test_windows_and_consumers),
		STAGED(test_several_queues),
		STAGED(test_ack_within),
		STAGED(test_max_attempts),
	};

	return queues_run(tests);
}
