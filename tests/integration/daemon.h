/* SPDX-License-Identifier: MIT */
/*
 * A timerd for a test: the binary that $TIMERD_BINARY names, on a private socket in a directory of
 * its own. It dies with the process that started it. Whatever goes wrong in here fails the cmocka
 * test that called it, so nothing is returned to check.
 *
 *	struct test_daemon d = {0};
 *
 *	daemon_start(&d, "--max-timers", "10", NULL);
 *	... toytimer_open(&t, daemon_socket(&d)) ...
 *	daemon_kill(&d);		as a crash would, the socket's file stays
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
	char log[96]; /* a file: its standard error, of all its starts; empty for a unit */
	pid_t pid;    /* 0: not running */
};

/* Starts it with further arguments, up to NULL, and waits until it listens. */
void daemon_start(struct test_daemon *d, ...) __attribute__((sentinel));

/* The socket's path, for any user to reach. */
const char *daemon_socket(const struct test_daemon *d);

/* SIGKILL, and waits for its end. */
void daemon_kill(struct test_daemon *d);

/* What is SIGKILL to a daemon under test; with $TIMERD_COUNTED set, to one that counted.c is linked
 * to. */
int daemon_kill_signal(void);

/* Appends the arguments of a caller, up to NULL, to the n that are there. */
#define DAEMON_ARGUMENTS 32
void daemon_add_arguments(const char *argv[static DAEMON_ARGUMENTS], size_t n, va_list ap);

/* SIGTERM, and waits for its end. Return: its exit status, 128 + n if signal n ended it. */
int daemon_stop(struct test_daemon *d);

/* After a test: if it runs, SIGTERM, at which it exits with 0; then daemon_clean(). */
void daemon_finish(struct test_daemon *d);

/* Kills it if it runs and removes the directory. All of d may be zero. */
void daemon_clean(struct test_daemon *d);

/* Descriptors that a process holds open; pid 0: this one. */
int daemon_count_fds(pid_t pid);

/* A program that a test wants, from the environment. */
const char *daemon_binary(const char *variable);
