/* SPDX-License-Identifier: MIT */
/*
 * What `toytimerctl register` does once its command line is understood: register, wait, and tell of
 * each wake or run a command, until the last.
 */
#pragma once

#include <stdbool.h>

#include "ctl.h"

struct wait_request {
	toytimer_registration registration; /* all but the handler */
	const char *when;		    /* as it was typed */
	bool quiet;
	bool json;
	char **command; /* NULL-terminated, or NULL */
};

/* Returns the exit status, the reason having been told. Sets ctl->signal if a signal ended the wait. */
int wait_for_wakes(struct ctl *ctl, const struct wait_request *request);
