/* SPDX-License-Identifier: MIT */
/*
 * What `toytimerctl register --queue` does once its command line is understood.
 */
#pragma once

#include <stdbool.h>

#include "ctl.h"

struct queue_put {
	const char *queue; /* NULL: no --queue */
	const char *key, *payload, *payload_file;
	const char *when; /* as it was typed */
	bool keep, quiet, json;
	uint64_t max_late; /* 0: none */
	uint32_t max_attempts;
};

/* Stores it and tells of it. Returns an exit status, the reason having been told. */
int queue_put(struct ctl *ctl, const struct queue_put *put, const toytimer_registration *r);
