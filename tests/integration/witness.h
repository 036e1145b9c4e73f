/* SPDX-License-Identifier: MIT */
/*
 * A client in a process of its own, with periodic timers on every clock. A test disturbs the daemon
 * meanwhile; the wakes of the witness must not be affected.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct witness {
	pid_t pid;
	int stop;   /* closing it ends the witness */
	int report; /* then the witness writes a struct witness_report here */
};

struct witness_report {
	uint64_t wakes;
	uint64_t missed; /* periods that came as overruns of a later wake, on a slow machine */
	uint64_t
		late_max; /* the longest time from a due to the arrival of its wake, microseconds */
};

/* Starts one and waits until its timers are registered. */
void witness_start(struct witness *witness, const char *path);

/* Ends it. The test fails if a wake was early, or if a period had no wake and was not counted. */
struct witness_report witness_stop(struct witness *witness);
