/* SPDX-License-Identifier: MIT */
/*
 * The state that a process inherits: standard descriptors, signal dispositions, the signal mask.
 * toytimerctl changes what would make it fail, and gives COMMAND what toytimerctl was given.
 */
#pragma once

#include <signal.h>

struct inherited {
	sigset_t mask;
	struct sigaction child; /* of SIGCHLD */
};

/*
 * Holds each closed standard descriptor with a stand-in, so that no socket takes its number and
 * what is printed does not go to the daemon. Returns 0, or -1: then nothing may be printed.
 */
int inherit_hold_descriptors(void);

/*
 * Prepares the process:
 *  - SIGCHLD has its default action. If the parent ignores it, the kernel discards the exit status
 *    of COMMAND.
 *  - SIGXFSZ does nothing: the write fails with EFBIG, which is an error like any other.
 *  - SIGXCPU prints a line and exits with CTL_FAILED.
 * A limit's signal that is ignored stays ignored.
 *
 * Returns 0 or a negative errno.
 */
int inherit_take(struct inherited *ret);

/* Restores the state for COMMAND: to be called by the child between fork() and exec(), which
 * resets the signals that have handlers and closes the stand-ins. */
void inherit_give_back(const struct inherited *inherited);
