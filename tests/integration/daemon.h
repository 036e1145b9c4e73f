/* SPDX-License-Identifier: MIT */
/*
 * A timerd for a test: the binary that $TIMERD_BINARY names, on a private socket in a directory of
 * its own. It dies with the process that started it. A failure in these functions fails the cmocka
 * test, so the test does not check results.
 *
 *	struct test_daemon d = {0};
 *
 *	daemon_start(&d, "--max-timers", "10", NULL);
 *	... toytimer_open(&t, daemon_socket(&d)) ...
 *	daemon_kill(&d);		like a crash: the socket's file stays
 *	daemon_start(&d, NULL);		on the same socket again
 *	assert_int_equal(daemon_stop(&d), 0);
 *	daemon_clean(&d);
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <sys/types.h>

struct test_daemon {
	char directory[64]; /* "": not made yet */
	char socket[96];
	char log[96]; /* a file with the standard error of all its starts; empty for a unit */
	pid_t pid;    /* 0: not running */
};

/* Starts it with further arguments; NULL ends them. Waits until it listens. */
void daemon_start(struct test_daemon *d, ...) __attribute__((sentinel));

/* The socket's path, for any user to reach. */
const char *daemon_socket(const struct test_daemon *d);

/* Sends SIGKILL, and waits for its end. */
void daemon_kill(struct test_daemon *d);

/* What is SIGKILL to a daemon under test; with $TIMERD_COUNTED set, to one that counted.c is linked
 * to. */
int daemon_kill_signal(void);

/* Appends the arguments of a caller, which NULL ends, to the n arguments in argv. */
#define DAEMON_ARGUMENTS 32
void daemon_add_arguments(const char *argv[static DAEMON_ARGUMENTS], size_t n, va_list ap);

/* Sends SIGTERM, and waits for its end. Return: its exit status, 128 + n if signal n ended it. */
int daemon_stop(struct test_daemon *d);

/* After a test: daemon_stop() if it runs, which must return 0; then daemon_clean(). */
void daemon_finish(struct test_daemon *d);

/* Kills it if it runs and removes the directory. All of d may be zero. */
void daemon_clean(struct test_daemon *d);

/* How many descriptors a process has open. pid 0: this process. */
int daemon_count_fds(pid_t pid);

/* The path of a program, from a variable of the environment. */
const char *daemon_binary(const char *variable);
