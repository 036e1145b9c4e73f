/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "queue_stage.h"

struct test_queues d;

int note_wake(toytimer_queue *q, const toytimer_wake *w, void *userdata)
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

toytimer_queue *open_queue(void)
{
	toytimer_queue *q = NULL;

	assert_int_equal(toytimer_queue_open(&q, d.socket, 0), 0);
	return q;
}

/* Processes until that many wakes are noted, at most for that many milliseconds. */
void process(toytimer_queue *q, const struct log *log, size_t n, int ms)
{
	uint64_t until = toytimer_now(TOYTIMER_MONOTONIC) + (uint64_t)ms * 1000;

	while (log->n < n && toytimer_now(TOYTIMER_MONOTONIC) < until) {
		int r = toytimer_queue_process(q);

		assert_true(r >= 0);
		if (r == 0)
			assert_true(toytimer_queue_wait(q, 10000) >= 0);
	}
}

void expect_wakes(toytimer_queue *q, const struct log *log, size_t n)
{
	process(q, log, n, 20000);
	assert_int_equal(log->n, n);
	process(q, log, n + 1, 100);
	assert_int_equal(log->n, n);
}

uint64_t put(toytimer_queue *q, const char *queue, uint64_t after, const char *payload)
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

void consume(
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

static int note_stored(toytimer_queue *q, const toytimer_queue_stored *stored, void *userdata)
{
	(void)q;
	assert_int_equal(stored->error, 0);
	(*(size_t *)userdata)++;
	return 0;
}

void put_async(toytimer_queue *q, const char *queue, const toytimer_queue_timer *t, size_t *n)
{
	int r;

	while ((r = toytimer_queue_put_async(q, queue, t, note_stored, n)) == -EAGAIN) {
		assert_true(toytimer_queue_wait(q, 10000) >= 0);
		assert_true(toytimer_queue_process(q) >= 0);
	}
	assert_int_equal(r, 0);
}

static int count_listed(const toytimer_queue_listed *l, void *userdata)
{
	assert_true(l->uid == geteuid());
	(*(size_t *)userdata)++;
	return 0;
}

size_t listed(toytimer_queue *q, const char *queue)
{
	size_t n = 0;

	assert_int_equal(toytimer_queue_list(q, queue, 0, count_listed, &n), 0);
	return n;
}

size_t parked(toytimer_queue *q, const char *queue)
{
	size_t n = 0;

	assert_int_equal(toytimer_queue_parked(q, queue, count_listed, &n), 0);
	return n;
}

int stage_start(void **state)
{
	(void)state;
	queues_start(&d, NULL);
	return 0;
}

int stage_end(void **state)
{
	(void)state;
	queues_clean(&d);
	return 0;
}
