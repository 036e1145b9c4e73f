/* SPDX-License-Identifier: MIT */
/*
 * A run of test_model: the worker in its world, and the model beside it. Its parts stand in
 * test_model.c (the steps) and model_reports.c (what listings and statuses say).
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <inttypes.h>

#include "dice.h"
#include "model.h"
#include "world.h"

#define STALE 64

struct run {
	struct dice dice;
	struct world *world;
	struct model *model;
	uint64_t step, stale[STALE]; /* ids that were valid once */
	uint64_t wakes, refusals, cancellations, timeouts, holds;
	bool unfinished; /* a session waits for the loop's next turn */
};

/* Fails, naming the step. */
#define CHECK(run, condition)                                                      \
	do {                                                                       \
		if (!(condition))                                                  \
			fail_msg("step %" PRIu64 ": %s", (run)->step, #condition); \
	} while (0)

/* The client lists its timers, or root everybody's: the list has to be the model's. */
void model_run_lists(struct run *run, uint32_t client);

/* The client asks for a status, whose figures have to be the model's. */
void model_run_asks_status(struct run *run, uint32_t client);
