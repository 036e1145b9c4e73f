/* SPDX-License-Identifier: MIT */
/*
 * A timerd and a timerqd for a test, in a folder of their own. As daemon.h: whatever goes wrong in
 * here fails the cmocka test that called it.
 *
 * 	struct test_queues d = {0};
 *
 * 	queues_start(&d, "--max-timers-per-user", "10", NULL);
 * 	... toytimer_queue_open(&q, d.socket, 0) ...
 * 	queues_kill(&d);		timerqd alone; what is stored stays
 * 	queues_start(&d, NULL);
 * 	queues_clean(&d);
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon.h"

struct test_queues {
	struct test_daemon timerd;
	char socket[128], state[128];
	pid_t pid; /* of timerqd; 0: it does not run */
	bool has_schema;
};

struct CMUnitTest;

/* Runs a program's tests, around the PostgreSQL that they use where TIMERQD_TEST_STORE asks for
 * one. CMOCKA_TEST_FILTER chooses among the tests. Return, for main(): how many failed; 77: there
 * is no PostgreSQL, and a line says so. */
#define queues_run(tests) queues_run_tests(tests, sizeof(tests) / sizeof((tests)[0]))
int queues_run_tests(const struct CMUnitTest *tests, size_t n);

/* How long a queue may wait for a timerqd that was killed, microseconds: 0 on one host. */
uint64_t queues_takeover(void);

/* Starts what does not run: timerd, and timerqd with further arguments, up to NULL. Waits until it
 * listens. */
void queues_start(struct test_queues *d, ...) __attribute__((sentinel));

/* SIGKILL to timerqd, and waits for its end. */
void queues_kill(struct test_queues *d);

/* SIGTERM to timerqd. Return: its exit status, 128 + n if signal n ended it. */
int queues_stop(struct test_queues *d);

/* Kills both and removes the folder. */
void queues_clean(struct test_queues *d);
