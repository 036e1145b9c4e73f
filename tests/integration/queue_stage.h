/* SPDX-License-Identifier: MIT */
/*
 * The stage of the tests of toytimer-queue.h: a timerd and a timerqd for each test (queues.h), and
 * what a client does in nearly every one. Whatever goes wrong in here fails the test.
 */
#pragma once

#include <toytimer-queue.h>

#include "queues.h"

#define LOG 256

extern struct test_queues d;

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

/* Before and after each test. */
int stage_start(void **state);
int stage_end(void **state);
#define STAGED(name) cmocka_unit_test_setup_teardown(name, stage_start, stage_end)

/* A handle for d's timerqd. */
toytimer_queue *open_queue(void);
/* Puts a timer on boottime, so many microseconds from now. Return: its id. */
uint64_t put(toytimer_queue *q, const char *queue, uint64_t after, const char *payload);
/* Queues a put. Once it is stored, *n is one more. While 64 packets wait, it processes: how many
 * timers share a packet depends on the speed of the machine. */
void put_async(toytimer_queue *q, const char *queue, const toytimer_queue_timer *t, size_t *n);
/* Consumes into a log. ack_within: microseconds; 0: as long as it takes. */
void consume(toytimer_queue *q, const char *queue, uint32_t window, uint64_t ack_within,
	struct log *log);
/* The handler that writes into a log: userdata. */
int note_wake(toytimer_queue *q, const toytimer_wake *w, void *userdata);
/* Processes until so many wakes are noted, or for so long, milliseconds. */
void process(toytimer_queue *q, const struct log *log, size_t n, int ms);
/* The same for as long as it takes: exactly so many come. */
void expect_wakes(toytimer_queue *q, const struct log *log, size_t n);
/* How many timers the queue holds, and how many are parked. */
size_t listed(toytimer_queue *q, const char *queue);
size_t parked(toytimer_queue *q, const char *queue);
