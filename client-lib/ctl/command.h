/* SPDX-License-Identifier: MIT */
/*
 * Runs COMMAND of `toytimerctl register` and `consume`, and handles SIGINT and SIGTERM. For wait.c
 * and queue_consume.c; main.c uses signals_die().
 */
#pragma once

#include <signal.h>

#include "inherit.h"

/*
 * SIGINT and SIGTERM, blocked and read from a signalfd. So no signal arrives between a check and
 * poll(), no handler needs a global variable, and process 1 gets its signals, too (the kernel drops
 * signals for process 1 that have their default action). A signal that the parent ignores stays
 * ignored, as under nohup.
 */
struct signals {
	int fd;
	int caught; /* the first signal; 0: none yet */
	sigset_t set;
	const struct inherited *inherited;
};

/* Opens the descriptor, and blocks nothing yet. Returns 0 or a negative errno. */
int signals_open(struct signals *s, const struct inherited *inherited);

/* Signals that are not blocked have their default action. */
void signals_block(const struct signals *s);
void signals_unblock(const struct signals *s);

/* Reads one signal without waiting. Returns its number, or 0. */
int signals_read(struct signals *s);

void signals_close(struct signals *s);

/* Ends this process with a signal, so that the parent sees which one. Returns only if the kernel
 * does not deliver the signal, as for process 1. */
void signals_die(int signal);

/*
 * Runs argv and waits for its end. Looks for argv[0] in $PATH. COMMAND gets our standard
 * descriptors and the inherited signal state. If input is not -1, it replaces standard input.
 * Passes SIGTERM on to COMMAND, but not SIGINT, since a terminal sends SIGINT to both. The caller
 * has blocked the signals.
 *
 * Returns the exit status of COMMAND, or 128 + n if signal n killed it. Prints an error and returns
 * 127 if COMMAND was not found, 126 if it could not be run.
 */
int command_run(char **argv, struct signals *s, int input);
