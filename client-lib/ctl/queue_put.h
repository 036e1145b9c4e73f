/* SPDX-License-Identifier: MIT */
/*
 * The second half of `toytimerctl register --queue`, after its command line is parsed.
 */
#pragma once

#include <stdbool.h>

#include "ctl.h"

struct queue_put {
	const char *queue; /* NULL: no --queue */
	const char *key, *payload, *payload_file;
	const char *when; /* as the user typed it, for errors */
	bool keep, quiet, json;
	uint64_t max_late; /* 0: none */
	uint32_t max_attempts;
};

/* Stores the timer and prints the result. Returns CTL_DONE, or prints an error and returns another
 * exit status. */
int queue_put(struct ctl *ctl, const struct queue_put *put, const toytimer_registration *r);
