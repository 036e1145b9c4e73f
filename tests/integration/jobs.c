/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "database.h"
#include "jobs.h"

int jobs_note(toytimer_queue *q, const toytimer_wake *w, void *userdata)
{
	struct jobs_log *log = userdata;

	(void)q;
	assert_true(log->n < JOBS_LOG);
	log->late[log->n] = w->late;
	log->refs[log->n++] = w->ref;
	return 0;
}

toytimer_queue *jobs_open(const struct test_queues *d)
{
	toytimer_queue *q = NULL;

	assert_int_equal(toytimer_queue_open(&q, d->socket, 0), 0);
	return q;
}

int jobs_put(toytimer_queue *q, uint64_t after)
{
	const toytimer_queue_timer t = {
		.due = after, .flags = TOYTIMER_RELATIVE, .clock = TOYTIMER_BOOTTIME};

	return toytimer_queue_put(q, "jobs", &t, NULL);
}

void jobs_put_soon(toytimer_queue *q, uint64_t after)
{
	int r = -1;

	for (int i = 0; r && i < 200; i++) {
		r = jobs_put(q, after);
		if (r)
			usleep(100000);
	}
	assert_int_equal(r, 0);
}

void jobs_consume(toytimer_queue *q, struct jobs_log *log)
{
	const toytimer_queue_consumer c = {.window = 10, .handler = jobs_note, .userdata = log};

	assert_int_equal(toytimer_queue_consume(q, "jobs", &c), 0);
}

void jobs_process(toytimer_queue *q, const struct jobs_log *log, size_t n, uint64_t ms)
{
	uint64_t until = toytimer_now(TOYTIMER_BOOTTIME) + ms * 1000;

	while (log->n < n && toytimer_now(TOYTIMER_BOOTTIME) < until) {
		int r = toytimer_queue_process(q);

		assert_true(r >= 0);
		if (r == 0)
			assert_true(toytimer_queue_wait(q, 10000) >= 0);
	}
}

int64_t jobs_rows(void)
{
	return postgres_run("SELECT count(*) FROM timerd.timers");
}
