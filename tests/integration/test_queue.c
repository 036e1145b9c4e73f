/* SPDX-License-Identifier: MIT */
/*
 * toytimer-queue.h against the real daemons: each call, its errors, and what survives what.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <toytimer-queue.h>
#include <unistd.h>

#include "queues.h"

#define LOG 256

static struct test_queues d;

/* What a consumer got. */
struct log {
	struct {
		toytimer_wake_ref ref;
		uint32_t attempt;
		uint64_t overruns, due;
		char key[65], payload[64], queue[65];
	} wakes[LOG];
	size_t n;
	bool acknowledge; /* at once */
};

static int note_wake(toytimer_queue *q, const toytimer_wake *w, void *userdata)
{
	struct log *log = userdata;

	assert_true(log->n < LOG);
	log->wakes[log->n].ref = w->ref;
	log->wakes[log->n].attempt = w->attempt;
	log->wakes[log->n].overruns = w->overruns;
	log->wakes[log->n].due = w->due;
	snprintf(log->wakes[log->n].key, 65, "%s", w->key);
	snprintf(log->wakes[log->n].queue, 65, "%s", w->queue);
	snprintf(log->wakes[log->n].payload, 64, "%.*s", (int)w->payload_size,
		(const char *)w->payload);
	log->n++;
	if (log->acknowledge)
		assert_int_equal(toytimer_queue_ack_async(q, &w->ref), 0);
	return 0;
}

static toytimer_queue *open_queue(void)
{
	toytimer_queue *q = NULL;

	assert_int_equal(toytimer_queue_open(&q, d.socket, 0), 0);
	return q;
}

/* Processes until so many wakes are noted, or for so long, milliseconds. */
static void process(toytimer_queue *q, const struct log *log, size_t n, int ms)
{
	uint64_t until = toytimer_now(TOYTIMER_MONOTONIC) + (uint64_t)ms * 1000;

	while (log->n < n && toytimer_now(TOYTIMER_MONOTONIC) < until) {
		int r = toytimer_queue_process(q);

		assert_true(r >= 0);
		if (r == 0)
			assert_true(toytimer_queue_wait(q, 10000) >= 0);
	}
}

static void expect_wakes(toytimer_queue *q, const struct log *log, size_t n)
{
	process(q, log, n, 20000);
	assert_int_equal(log->n, n);
	process(q, log, n + 1, 100);
	assert_int_equal(log->n, n);
}

static uint64_t put(toytimer_queue *q, const char *queue, uint64_t after, const char *payload)
{
	toytimer_queue_timer t = {
		.due = after,
		.flags = TOYTIMER_RELATIVE,
		.clock = TOYTIMER_BOOTTIME,
		.payload = payload,
		.payload_size = strlen(payload),
	};
	toytimer_queue_stored stored = {0};

	assert_int_equal(toytimer_queue_put(q, queue, &t, &stored), 0);
	assert_true(stored.id > 0);
	return stored.id;
}

static void consume(
	toytimer_queue *q, const char *queue, uint32_t window, uint64_t ack_within, struct log *log)
{
	toytimer_queue_consumer c = {
		.window = window,
		.ack_within = ack_within,
		.handler = note_wake,
		.userdata = log,
	};

	assert_int_equal(toytimer_queue_consume(q, queue, &c), 0);
}

static int count_listed(const toytimer_queue_listed *l, void *userdata)
{
	assert_true(l->uid == geteuid());
	(*(size_t *)userdata)++;
	return 0;
}

static size_t listed(toytimer_queue *q, const char *queue)
{
	size_t n = 0;

	assert_int_equal(toytimer_queue_list(q, queue, 0, count_listed, &n), 0);
	return n;
}

static size_t parked(toytimer_queue *q, const char *queue)
{
	size_t n = 0;

	assert_int_equal(toytimer_queue_parked(q, queue, count_listed, &n), 0);
	return n;
}

static int setup(void **state)
{
	(void)state;
	queues_start(&d, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	queues_clean(&d);
	return 0;
}

static void test_put_consume_acknowledge(void **state)
{
	toytimer_queue *q = open_queue();
	struct log log = {0};

	(void)state;
	put(q, "jobs", 50000, "one");
	put(q, "jobs", 100000, "two");
	assert_int_equal(listed(q, "jobs"), 2);
	consume(q, "jobs", 10, 0, &log);
	expect_wakes(q, &log, 2);
	assert_string_equal(log.wakes[0].payload, "one");
	assert_string_equal(log.wakes[1].payload, "two");
	assert_string_equal(log.wakes[1].queue, "jobs");
	assert_int_equal(log.wakes[0].attempt, 1);
	assert_int_equal(toytimer_queue_ack(q, &log.wakes[0].ref), 0);
	assert_int_equal(toytimer_queue_ack(q, &log.wakes[0].ref), -ENOENT);
	assert_int_equal(listed(q, "jobs"), 1);
	assert_int_equal(toytimer_queue_ack(q, &log.wakes[1].ref), 0);
	assert_int_equal(listed(q, "jobs"), 0);
	toytimer_queue_unref(q);
}

static void test_retry(void **state)
{
	toytimer_queue *q = open_queue();
	struct log log = {0};

	(void)state;
	put(q, "jobs", 0, "again");
	consume(q, "jobs", 1, 0, &log);
	expect_wakes(q, &log, 1);
	assert_int_equal(toytimer_queue_retry(q, &log.wakes[0].ref, 100000), 0);
	expect_wakes(q, &log, 2);
	assert_int_equal(log.wakes[1].ref.number, log.wakes[0].ref.number);
	assert_int_equal(log.wakes[1].attempt, 2);
	assert_int_equal(toytimer_queue_ack(q, &log.wakes[1].ref), 0);
	assert_int_equal(toytimer_queue_retry(q, &log.wakes[1].ref, 0), -ENOENT);
	toytimer_queue_unref(q);
}

static void test_keys(void **state)
{
	toytimer_queue *q = open_queue();
	toytimer_queue_timer t = {
		.due = 3600000000,
		.flags = TOYTIMER_RELATIVE,
		.clock = TOYTIMER_BOOTTIME,
		.key = "k",
	};
	toytimer_queue_stored first, s;

	(void)state;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, &first), 0);
	assert_false(first.replaced);
	t.flags |= TOYTIMER_QUEUE_KEEP;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, &s), 0);
	assert_true(s.kept && !s.replaced && s.id == first.id && s.due == first.due);
	t.flags = TOYTIMER_RELATIVE;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, &s), 0);
	assert_true(s.replaced && !s.kept && s.id != first.id);
	assert_int_equal(listed(q, "jobs"), 1);
	assert_int_equal(toytimer_queue_cancel(q, "jobs", first.id, NULL), -ENOENT);
	t.due = 7200000000;
	assert_int_equal(toytimer_queue_reschedule(q, "jobs", 0, "k", &t, &first), 0);
	assert_true(first.id == s.id && first.due > s.due);
	assert_int_equal(toytimer_queue_reschedule(q, "jobs", 0, "none", &t, NULL), -ENOENT);
	assert_int_equal(toytimer_queue_cancel(q, "jobs", 0, "k"), 0);
	assert_int_equal(toytimer_queue_cancel(q, "jobs", 0, "k"), -ENOENT);
	assert_int_equal(listed(q, "jobs"), 0);
	toytimer_queue_unref(q);
}

static void test_bad_arguments(void **state)
{
	toytimer_queue_consumer c = {.handler = note_wake, .window = 10001};
	char name[66] = "", payload[16385] = "", label[26] = "";
	toytimer_queue *q = open_queue();
	toytimer_queue_timer t = {0};

	(void)state;
	memset(name, 'a', 65);
	memset(label, 'a', 25);
	assert_int_equal(toytimer_queue_put(q, name, &t, NULL), -EINVAL);
	assert_int_equal(toytimer_queue_put(q, "", &t, NULL), -EINVAL);
	assert_int_equal(toytimer_queue_put(q, "a b", &t, NULL), -EINVAL);
	assert_int_equal(toytimer_queue_put(q, NULL, &t, NULL), -EINVAL);
	assert_int_equal(toytimer_queue_put(q, "no-such-user/a", &t, NULL), -EACCES);
	assert_int_equal(toytimer_queue_put(q, "61184/a", &t, NULL), -EACCES);
	t.key = name;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), -EINVAL);
	t.key = "a\nb";
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), -EINVAL);
	t.key = NULL;
	t.flags = TOYTIMER_QUEUE_KEEP;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), -EINVAL);
	t.flags = TOYTIMER_WAKE_SYSTEM;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), -EOPNOTSUPP);
	t.flags = 0;
	t.clock = TOYTIMER_BOOTTIME;
	t.payload = payload;
	t.payload_size = sizeof(payload);
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), -EMSGSIZE);
	t.payload_size--;
	t.due = INT64_MAX;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), 0);
	t.due++;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), -ERANGE);
	t.due = 0;
	t.label = label;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), -EINVAL);
	t.label = NULL;
	t.count = 2;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), -EINVAL);
	assert_int_equal(toytimer_queue_consume(q, "jobs", &c), -EINVAL);
	assert_int_equal(toytimer_queue_detach(q, "jobs"), -ENOTCONN);
	assert_int_equal(toytimer_queue_put(NULL, "jobs", &t, NULL), -EINVAL);
	toytimer_queue_unref(q);
}

static void test_put_many(void **state)
{
	enum { MANY = 5000 };
	toytimer_queue_timer *t = calloc(MANY, sizeof(*t));
	toytimer_queue_stored *s = calloc(MANY, sizeof(*s));
	toytimer_queue *q = open_queue();
	uint64_t n;

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		t[i].due = 3600000000 + i;
		t[i].flags = TOYTIMER_RELATIVE;
		t[i].clock = TOYTIMER_BOOTTIME;
		t[i].payload = "0123456789012345678901234567890123456789012345678901234567890123";
		t[i].payload_size = 64;
	}
	t[7].key = ""; /* one that is refused concerns nobody else */
	assert_int_equal(toytimer_queue_put_many(q, "jobs", t, MANY, s), MANY - 1);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(s[i].error, i == 7 ? -EINVAL : 0);
	assert_int_equal(listed(q, "jobs"), MANY - 1);
	assert_int_equal(toytimer_queue_purge(q, "jobs", 0, &n), 0);
	assert_int_equal(n, MANY - 1);
	assert_int_equal(listed(q, "jobs"), 0);
	toytimer_queue_unref(q);
	free(t);
	free(s);
}

static int note_stored(toytimer_queue *q, const toytimer_queue_stored *stored, void *userdata)
{
	(void)q;
	assert_int_equal(stored->error, 0);
	(*(size_t *)userdata)++;
	return 0;
}

static void test_put_async(void **state)
{
	toytimer_queue_timer t = {
		.due = 3600000000, .flags = TOYTIMER_RELATIVE, .clock = TOYTIMER_BOOTTIME};
	toytimer_queue *q = open_queue();
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 3000; i++)
		assert_int_equal(toytimer_queue_put_async(q, "jobs", &t, note_stored, &n), 0);
	assert_int_equal(toytimer_queue_run(q), 0); /* ends when all are answered */
	assert_int_equal(n, 3000);
	assert_int_equal(listed(q, "jobs"), 3000);
	toytimer_queue_unref(q);
}

static void test_put_survives_kill(void **state)
{
	toytimer_queue *q = open_queue();
	struct log log = {.acknowledge = true};

	(void)state;
	put(q, "jobs", 300000, "kept");
	queues_kill(&d);
	daemon_kill(&d.timerd);
	queues_start(&d, NULL);
	consume(q, "jobs", 10, 0, &log);
	expect_wakes(q, &log, 1);
	assert_string_equal(log.wakes[0].payload, "kept");
	assert_true(toytimer_queue_get_reconnects(q) >= 1);
	toytimer_queue_unref(q);
}

/* Puts while timerqd is killed again and again: each is stored once. */
static void test_put_once(void **state)
{
	toytimer_queue *q = open_queue();
	toytimer_queue_timer t = {
		.due = 3600000000, .flags = TOYTIMER_RELATIVE, .clock = TOYTIMER_BOOTTIME};
	size_t n = 0, asked = 0;

	(void)state;
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 200; i++, asked++)
			assert_int_equal(
				toytimer_queue_put_async(q, "jobs", &t, note_stored, &n), 0);
		assert_int_equal(toytimer_queue_flush(q), 0);
		usleep((useconds_t)(round * 150));
		queues_kill(&d);
		queues_start(&d, NULL);
	}
	assert_int_equal(toytimer_queue_run(q), 0);
	assert_int_equal(n, asked);
	assert_int_equal(listed(q, "jobs"), asked);
	toytimer_queue_unref(q);
}

/* The consumer is attached again. A wake that the application has is not handed out again, and can
 * be acknowledged once it is there; one that was acknowledged in between is acknowledged again. */
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
	/* The library learns of the loss. */
	while (toytimer_queue_get_error(q) == 0)
		assert_true(toytimer_queue_process(q) >= 0);
	assert_int_equal(toytimer_queue_ack(q, &log.wakes[1].ref), -ECONNRESET);
	queues_start(&d, NULL);
	put(q, "jobs", 200000, "new");
	expect_wakes(q, &log, 3);
	assert_string_equal(log.wakes[2].payload, "new");
	assert_int_equal(listed(q, "jobs"), 2);
	assert_int_equal(toytimer_queue_ack(q, &log.wakes[0].ref), 0);
	assert_int_equal(toytimer_queue_ack(q, &log.wakes[2].ref), 0);
	assert_int_equal(listed(q, "jobs"), 0);
	toytimer_queue_unref(q);
}

/* What a consumer had goes to the next: uncounted if it detached, the oldest counted if it did not.
 */
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
	put(q, "b", 200000, "2");
	expect_wakes(q, &log, 2);
	assert_string_equal(log.wakes[0].queue, "a");
	assert_string_equal(log.wakes[1].queue, "b");
	queues_kill(&d);
	queues_start(&d, NULL);
	put(q, "b", 0, "3");
	put(q, "a", 200000 + queues_takeover(), "4");
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
	/* It goes to one of the two; the first handle recognises a repeat of what it has. */
	assert_true(log.n == 1 && others.n <= 1);
	if (others.n)
		assert_int_equal(others.wakes[0].attempt, 2);
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

static void test_limits(void **state)
{
	toytimer_queue_timer t = {
		.due = 3600000000,
		.flags = TOYTIMER_RELATIVE,
		.clock = TOYTIMER_BOOTTIME,
		.payload = "12345678",
		.payload_size = 8,
	};
	toytimer_queue_status status;
	toytimer_queue *q;

	(void)state;
	queues_kill(&d);
	queues_start(&d, "--max-timers-per-user", "3", "--max-bytes-per-user", "20", NULL);
	q = open_queue();
	assert_int_equal(toytimer_queue_get_status(q, &status), 0);
	assert_int_equal(status.pid, d.pid);
	assert_int_equal(status.store, TOYTIMER_QUEUE_STORE_OK);
	if (geteuid() == 0) {
		/* Root is bound by nothing, another user's queue by its user's limits. */
		for (int i = 0; i < 5; i++)
			assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), 0);
		assert_int_equal(toytimer_queue_put(q, "12345/jobs", &t, NULL), 0);
		assert_int_equal(toytimer_queue_put(q, "12345/jobs", &t, NULL), 0);
		assert_int_equal(toytimer_queue_put(q, "12345/jobs", &t, NULL), -ENOBUFS);
		t.payload_size = 0;
		assert_int_equal(toytimer_queue_put(q, "12345/jobs", &t, NULL), 0);
		assert_int_equal(toytimer_queue_put(q, "12345/other", &t, NULL), -EDQUOT);
	}
	toytimer_queue_unref(q);
}

static int stop_at_once(toytimer_queue *q, const toytimer_wake *w, void *userdata)
{
	(void)userdata;
	assert_int_equal(toytimer_queue_process(q), -EBUSY);
	assert_int_equal(toytimer_queue_ack(q, &w->ref), 0);
	assert_int_equal(toytimer_queue_stop(q), 0);
	return 0;
}

static int fail_at_once(toytimer_queue *q, const toytimer_wake *w, void *userdata)
{
	(void)userdata;
	assert_int_equal(toytimer_queue_ack_async(q, &w->ref), 0);
	return -42;
}

static void test_run(void **state)
{
	toytimer_queue_consumer c = {.handler = stop_at_once};
	toytimer_queue *q = open_queue();

	(void)state;
	assert_int_equal(toytimer_queue_run(q), 0); /* nothing to wait for */
	assert_int_equal(toytimer_queue_consume(q, "a", &c), 0);
	put(q, "a", 50000, "");
	assert_int_equal(toytimer_queue_run(q), 0);
	c.handler = fail_at_once;
	assert_int_equal(toytimer_queue_consume(q, "b", &c), 0);
	put(q, "b", 50000, "");
	assert_int_equal(toytimer_queue_run(q), -42);
	assert_int_equal(toytimer_queue_detach(q, "a"), 0);
	assert_int_equal(toytimer_queue_detach(q, "b"), 0);
	assert_int_equal(toytimer_queue_run(q), 0);
	toytimer_queue_unref(q);
}

static void *put_some(void *userdata)
{
	for (int i = 0; i < 50; i++)
		put(userdata, i % 2 ? "odd" : "even", 3600000000, "thread");
	return NULL;
}

static void test_threads(void **state)
{
	toytimer_queue *q = open_queue();
	pthread_t threads[8];

	(void)state;
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, put_some, q), 0);
	for (size_t i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(listed(q, "odd"), 200);
	assert_int_equal(listed(q, "even"), 200);
	toytimer_queue_unref(q);
}

static void test_inherited(void **state)
{
	toytimer_queue *q = open_queue();
	toytimer_queue_timer t = {0};
	int status;
	pid_t pid;

	(void)state;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		bool right = toytimer_queue_put(q, "jobs", &t, NULL) == -ECHILD &&
			toytimer_queue_process(q) == -ECHILD && toytimer_queue_get_fd(q) == -ECHILD;

		toytimer_queue_unref(q);
		_exit(!right);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	put(q, "jobs", 3600000000, "the parent's");
	toytimer_queue_unref(q);
}

/* Descriptors are never the standard ones, and a relative path counts from where it was given. */
static void test_descriptors_and_folders(void **state)
{
	int before = daemon_count_fds(0), saved = dup(STDIN_FILENO);
	char folder[4096];
	toytimer_queue *q;

	(void)state;
	assert_non_null(getcwd(folder, sizeof(folder)));
	assert_int_equal(chdir(d.timerd.directory), 0);
	close(STDIN_FILENO);
	assert_int_equal(toytimer_queue_open(&q, "queues", 0), 0);
	assert_int_equal(fcntl(STDIN_FILENO, F_GETFD), -1);
	dup2(saved, STDIN_FILENO);
	close(saved);
	assert_int_equal(chdir("/"), 0);
	queues_kill(&d);
	queues_start(&d, NULL);
	put(q, "jobs", 3600000000, "");
	assert_int_equal(chdir(folder), 0);
	toytimer_queue_unref(q);
	assert_int_equal(daemon_count_fds(0), before);
	assert_int_equal(toytimer_queue_open(&q, "/nonexistent", 0), -ECONNREFUSED);
	assert_int_equal(toytimer_queue_open(&q, "", 0), -EINVAL);
	assert_int_equal(toytimer_queue_open(&q, daemon_socket(&d.timerd), 0), -EPROTO);
	setenv("TIMERD_QUEUE_SOCKET", d.socket, 1);
	assert_int_equal(toytimer_queue_open(&q, NULL, 0), 0);
	toytimer_queue_unref(q);
	unsetenv("TIMERD_QUEUE_SOCKET");
	unsetenv("XDG_RUNTIME_DIR");
	assert_int_equal(toytimer_queue_open(&q, NULL, TOYTIMER_QUEUE_USER), -ENOMEDIUM);
}

/* A span counts from the call, also where timerqd was away meanwhile; and never comes early. */
static void test_span_while_away(void **state)
{
	toytimer_queue_timer t = {.due = 1000000, .flags = TOYTIMER_RELATIVE};
	toytimer_queue *q = open_queue();
	struct log log = {.acknowledge = true};
	uint64_t begun, took;

	(void)state;
	t.clock = TOYTIMER_BOOTTIME;
	consume(q, "jobs", 1, 0, &log);
	queues_kill(&d);
	begun = toytimer_now(TOYTIMER_BOOTTIME);
	assert_int_equal(toytimer_queue_put_async(q, "jobs", &t, NULL, NULL), 0);
	usleep(700000);
	queues_start(&d, NULL);
	process(q, &log, 1, 20000);
	took = toytimer_now(TOYTIMER_BOOTTIME) - begun;
	assert_int_equal(log.n, 1);
	assert_true(took >= 1000000);
	/* The back-off may take 0.6 s of it. */
	assert_true(took < 1650000 + queues_takeover());
	toytimer_queue_unref(q);
}

/* Puts without an end, until it is killed. */
static pid_t start_putter(void)
{
	toytimer_queue_timer t = {.due = 3600000000, .flags = TOYTIMER_RELATIVE};
	toytimer_queue *q = NULL;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	t.clock = TOYTIMER_BOOTTIME;
	if (toytimer_queue_open(&q, d.socket, 0) < 0)
		_exit(1);
	for (;;)
		if (toytimer_queue_put(q, "jobs", &t, NULL) < 0)
			usleep(1000);
}

/* timerqd stops soon while clients go on putting: what is under way is answered, and no more is
 * taken. */
static void test_stops_while_busy(void **state)
{
	pid_t putters[4];

	(void)state;
	for (size_t i = 0; i < 4; i++)
		putters[i] = start_putter();
	for (int round = 0; round < 3; round++) {
		uint64_t begun;

		usleep(200000);
		begun = toytimer_now(TOYTIMER_BOOTTIME);
		assert_int_equal(queues_stop(&d), 0);
		/* Else it waits for 10 s. */
		assert_true(toytimer_now(TOYTIMER_BOOTTIME) - begun < 8000000);
		queues_start(&d, NULL);
	}
	for (size_t i = 0; i < 4; i++) {
		kill(putters[i], SIGKILL);
		waitpid(putters[i], NULL, 0);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_put_consume_acknowledge),
		TEST(test_retry),
		TEST(test_keys),
		TEST(test_bad_arguments),
		TEST(test_put_many),
		TEST(test_put_async),
		TEST(test_put_survives_kill),
		TEST(test_put_once),
		TEST(test_redelivery),
		TEST(test_detach_and_leave),
		TEST(test_windows_and_consumers),
		TEST(test_several_queues),
		TEST(test_ack_within),
		TEST(test_max_attempts),
		TEST(test_limits),
		TEST(test_run),
		TEST(test_threads),
		TEST(test_inherited),
		TEST(test_descriptors_and_folders),
		TEST(test_span_while_away),
		TEST(test_stops_while_busy),
	};

	int failed;

	if (!queues_begin())
		return 77;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	queues_end();
	return failed;
}
