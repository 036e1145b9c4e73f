/* SPDX-License-Identifier: MIT */
/*
 * A well-behaved client in a process of its own, with timers that repeat on every clock: whatever
 * is done to the daemon meanwhile, its wakes must come as if nothing were.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct witness {
	pid_t pid;
	int stop;   /* closing it ends the witness */
	int report; /* it writes a struct witness_report there, then */
};

struct witness_report {
	uint64_t wakes;
	uint64_t missed;   /* periods that were merged into a later wake: the machine was slow */
	uint64_t late_max; /* microseconds from due to its arrival */
};

/* Starts one and waits until its timers are registered. */
void witness_start(struct witness *witness, const char *path);

/* Ends it. The test fails if a wake was early, or if a period was neither woken for nor counted. */
struct witness_report witness_stop(struct witness *witness);
