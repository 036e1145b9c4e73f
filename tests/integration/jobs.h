/* SPDX-License-Identifier: MIT */
/*
 * The queue "jobs" of the tests on PostgreSQL: a client of one of the hosts, and a log of the wakes
 * that it was sent. A failure ends the test.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <toytimer-queue.h>

#include "queues.h"

#define JOBS_LOG 64

struct jobs_log {
	toytimer_wake_ref refs[JOBS_LOG];
	uint64_t late[JOBS_LOG]; /* microseconds */
	size_t n;
};

/* Connects to the timerqd of that host. */
toytimer_queue *jobs_open(const struct test_queues *d);

/* Stores a timer that is due after so many microseconds of boottime. Return: 0, or a negative
 * errno. */
int jobs_put(toytimer_queue *q, uint64_t after);

/* The same, again and again: a database that comes back is found within the back-off. */
void jobs_put_soon(toytimer_queue *q, uint64_t after);

/* A handler of wakes whose userdata is the log: it notes the wake. */
int jobs_note(toytimer_queue *q, const toytimer_wake *w, void *userdata);

/* Consumes "jobs" with a window of 10. The wakes go to the log; none is acknowledged. */
void jobs_consume(toytimer_queue *q, struct jobs_log *log);

/* Processes until so many wakes are in the log, or for so long, milliseconds. */
void jobs_process(toytimer_queue *q, const struct jobs_log *log, size_t n, uint64_t ms);

/* The timers in the database. */
int64_t jobs_rows(void);
