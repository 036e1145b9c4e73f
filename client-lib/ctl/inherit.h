/* SPDX-License-Identifier: MIT */
/*
 * State that a process inherits: standard descriptors, signal actions, the signal mask. toytimerctl
 * changes the state that would break it, and gives COMMAND the state that toytimerctl started with.
 */
#pragma once

#include <signal.h>

struct inherited {
	sigset_t mask;
	struct sigaction child; /* of SIGCHLD */
};

/*
 * Opens a placeholder for each closed standard descriptor. Otherwise the socket could get the
 * number of standard output, and output would go to timerd. Returns 0, or -1; then print nothing.
 */
int inherit_fill_descriptors(void);

/*
 * Prepares the process:
 *  - SIGCHLD has its default action. If the parent ignores it, the kernel discards the exit status
 *    of COMMAND.
 *  - SIGXFSZ does nothing. The write fails with EFBIG, and toytimerctl reports that.
 *  - SIGXCPU prints a line and exits with CTL_FAILED.
 * An ignored SIGXFSZ or SIGXCPU stays ignored.
 *
 * Returns 0 or a negative errno.
 */
int inherit_prepare(struct inherited *ret);

/* Restores the state for COMMAND. The child calls it between fork() and exec(). exec() resets the
 * signals that have handlers and closes the placeholders. */
void inherit_restore(const struct inherited *inherited);
