/* SPDX-License-Identifier: MIT */
/*
 * Running the COMMAND of `toytimerctl register` and not missing a signal meanwhile.
 */
#pragma once

#include <signal.h>
#include <stdint.h>

/*
 * SIGINT and SIGTERM, blocked and read from a descriptor instead, so that there is no moment at
 * which one could come and be missed, and no handler with a global to tell of it.
 */
struct signals {
	int fd;
	int caught;	 /* the first that came; 0: none yet */
	sigset_t before; /* the mask to give back to a COMMAND */
};

/* Returns 0 or a negative errno. */
int signals_block(struct signals *s);

/* Takes one that has come. Returns it, or 0. */
int signals_take(struct signals *s);

void signals_close(struct signals *s);

/*
 * Runs argv, looked for in $PATH, with our standard input and output, and waits for its end.
 * SIGTERM is passed on to it; SIGINT is not, since a terminal sends it to both.
 *
 * Returns its exit status, 128 + n if signal n killed it, 127 if it was not found and 126 if it
 * could not be run, the reason having been told.
 */
int command_run(char **argv, struct signals *s);
