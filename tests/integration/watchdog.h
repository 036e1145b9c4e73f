/* SPDX-License-Identifier: MIT */
/*
 * A process that looks whether a test goes on. If nothing has moved for a while, it prints what
 * each process of the test does, and fails the cmocka test.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct watchdog {
	pid_t pid; /* 0: it does not run */
};

/*
 * progress: a number that changes while the test goes on; the watchdog calls it in its own process,
 *           so it reads shared memory.
 * seconds:  how long the number may stand still.
 * say:      prints more about the test, to standard error; NULL: nothing.
 */
void watchdog_start(
	struct watchdog *w, uint64_t (*progress)(void), unsigned int seconds, void (*say)(void));
void watchdog_stop(struct watchdog *w);

/* Prints the state and the stacks (by gdb, where it is installed) of that process and of all that
 * it has started, to standard error. */
void watchdog_print_processes(pid_t top);
