/* SPDX-License-Identifier: MIT */
/*
 * A sweep runs a test once for each fault of each call. A client checks meanwhile that it misses no
 * wake and no timer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <toytimer.h>

#include "fault.h"

/* Each of its wakes must come, and the daemon must list each of its timers. */
struct client {
	toytimer *t;
	uint64_t due; /* of the next wake; 0: not known yet */
	uint64_t wakes;
	char label[16]; /* of all its timers: other clients of the same user have others */
};

void client_start(struct client *c, const char *path);

/* Checks that the next wake comes, and that all timers are listed. */
void client_check(struct client *c);

/* Makes a call of the library until it succeeds, or excused(result, tries) fails the test; each
 * program has an excused() of its own. `done`: the failure that means, from the second call on,
 * that an earlier call has done its work. */
#define TRY_OR(call, done)                                                                      \
	do {                                                                                    \
		int tries_ = 0, r_;                                                             \
                                                                                                \
		while ((r_ = (call)) < 0 && !(r_ == (done) && tries_) && excused(r_, ++tries_)) \
			;                                                                       \
	} while (0)

#define TRY(call) TRY_OR(call, 0)

struct sweep {
	struct fault_plan *plan;
	const char *where; /* the name of the sweep; NULL: none runs */
	/* The present fault, as in struct fault_plan. */
	enum fault_call call;
	uint32_t at;
	bool for_ever;
	int error;
	/* Counts of this sweep: calls that failed; processes that ended by that. */
	unsigned int points, ended;
};

/*
 * Runs point() once for each fault. The plan is armed then, and point() calls sweep_end(), which
 * disarms it. The faults are:
 *   - for each call, each of its uses and each of its errors occurs at least once. With FAULTS=all
 *     in the environment, each use fails with each error;
 *   - then each allocation of memory fails, first that one alone, then all from that one on.
 * counts: how often each call is used.
 */
void sweep_run(struct sweep *s, const char *where, const uint32_t counts[FAULT_CALLS_COUNT],
	void (*point)(void));

/* Disarms the plan and counts the fault. ended: it has ended the process. */
void sweep_end(struct sweep *s, bool ended);

/* If a sweep was interrupted by a failure: prints the fault that it was at. */
void sweep_tell(struct sweep *s);

/* Copies how often each call has been used since the plan was made. */
void sweep_copy_counts(const struct sweep *s, uint32_t counts[FAULT_CALLS_COUNT]);

/*
 * Counts the calls that work() uses. Runs work() twice and counts the second run, because the first
 * run also fills caches.
 *   most: the highest count. Further uses of a call are like the first ones, and take too long.
 */
void sweep_count_uses(
	struct sweep *s, void (*work)(void), uint32_t most, uint32_t ret_counts[FAULT_CALLS_COUNT]);

/* Whether this fault may end a daemon that serves: only a broken state of its own can cause it. */
bool sweep_is_fatal(const struct sweep *s);
