/* SPDX-License-Identifier: MIT */
/*
 * The second half of `toytimerctl register`, after its command line is parsed: register, wait, and
 * at each wake print a line or run COMMAND. For register.c only.
 */
#pragma once

#include <stdbool.h>

#include "ctl.h"

struct wait_request {
	toytimer_registration registration; /* without the handler */
	const char *when;		    /* as the user typed it, for errors */
	bool quiet;
	bool json;
	char **command; /* NULL-terminated, or NULL */
};

/* Returns the exit status, after an error line if it is a failure of toytimerctl. Sets ctl->signal
 * if a signal ended the wait. */
int wait_for_wakes(struct ctl *ctl, const struct wait_request *request);
