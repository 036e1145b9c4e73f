/* SPDX-License-Identifier: MIT */
/*
 * A timerd and a timerqd for a test, in a folder of their own. As in daemon.h, a failure in these
 * functions fails the cmocka test.
 *
 * 	struct test_queues d = {0};
 *
 * 	queues_start(&d, "--max-timers-per-user", "10", NULL);
 * 	... toytimer_queue_open(&q, d.socket, 0) ...
 * 	queues_kill(&d);		only timerqd; stored timers stay
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

/* Runs the tests of a program. If TIMERQD_TEST_STORE asks for PostgreSQL, starts one before them
 * and stops it after them. CMOCKA_TEST_FILTER selects tests. Return, for main(): how many failed;
 * 77: there is no PostgreSQL, and a line says so. */
#define queues_run(tests) queues_run_tests(tests, sizeof(tests) / sizeof((tests)[0]))
int queues_run_tests(const struct CMUnitTest *tests, size_t n);

/* Starts timerd and timerqd unless they run. The arguments are timerqd's; NULL ends them. Waits
 * until timerqd listens. */
void queues_start(struct test_queues *d, ...) __attribute__((sentinel));

/* Sends SIGKILL to timerqd, and waits for its end. */
void queues_kill(struct test_queues *d);

/* Sends SIGTERM to timerqd, and waits for its end. Return: its exit status, 128 + n if signal n
 * ended it. */
int queues_stop(struct test_queues *d);

/* Kills both and removes the folder. */
void queues_clean(struct test_queues *d);

/* Waits until the log has those words, for at most 40 s. */
void queues_expect_log(const struct test_queues *d, const char *words);
