/* SPDX-License-Identifier: MIT */
/*
 * Runs the COMMAND of `toytimerctl register` and misses no signal meanwhile.
 */
#pragma once

#include <signal.h>

#include "inherit.h"

/*
 * SIGINT and SIGTERM, blocked and read from a descriptor. No signal can come between a check and a
 * poll(), no handler needs a global, and it works for process 1, for which the kernel drops signals
 * that have their default action. A signal that the parent ignores stays ignored (nohup, `&` in a
 * script).
 */
struct signals {
	int fd;
	int caught; /* the first that came; 0: none yet */
	sigset_t set;
	const struct inherited *inherited;
};

/* Opens the descriptor. Returns 0 or a negative errno. */
int signals_open(struct signals *s, const struct inherited *inherited);

/* While they are not blocked, they have their default action. */
void signals_block(const struct signals *s);
void signals_unblock(const struct signals *s);

/* Takes one that has come. Returns it, or 0. */
int signals_take(struct signals *s);

void signals_close(struct signals *s);

/* Ends this process by a signal, so that the parent sees which one. Returns only if the kernel
 * does not deliver it, as to process 1. */
void signals_die(int signal);

/*
 * Runs argv, looked for in $PATH, with our standard input (or, if it is not -1, the descriptor `input`
 * as that) and output and the signal state that we
 * were started with, and waits for its end. SIGTERM is passed on to it; SIGINT is not, since a
 * terminal sends it to both. The signals are blocked.
 *
 * Returns its exit status, 128 + n if signal n killed it, 127 if it was not found and 126 if it
 * could not be run, the reason having been told.
 */
int command_run(char **argv, struct signals *s, int input);
