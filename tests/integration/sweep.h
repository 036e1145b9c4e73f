/* SPDX-License-Identifier: MIT */
/*
 * Going through all faults of all calls, and the client that must not suffer from them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <toytimer.h>

#include "fault.h"

/* Nothing may be missing from its chain of wakes, nor from the list of what it has registered. */
struct client {
	toytimer *t;
	uint64_t due; /* of the wake that comes next; 0: any */
	uint64_t wakes;
	char label[16]; /* of all its timers: other clients of the same user have others */
};

void client_start(struct client *c, const char *path);

/* The next wake comes, and nothing else is gone. */
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

/* What is at hand, and how many there were. */
struct sweep {
	struct fault_plan *plan;
	const char *where; /* NULL: none is */
	enum fault_call call;
	uint32_t at;
	bool for_ever;
	int error;
	unsigned int points, ended;
};

/*
 * Runs point() with each use and each error of all calls that are used as often as counts says,
 * or with FAULTS=all in the environment with each error at each use; then with each use of
 * memory failing, once and from then on. The plan is armed when point() is called; sweep_end()
 * disarms it.
 */
void sweep_run(struct sweep *s, const char *where, const uint32_t counts[FAULT_CALLS_COUNT],
	void (*point)(void));

/* ended: that was the end of the process. */
void sweep_end(struct sweep *s, bool ended);

/* Says which fault was at hand, if one was. */
void sweep_tell(struct sweep *s);

void sweep_copy_counts(const struct sweep *s, uint32_t counts[FAULT_CALLS_COUNT]);

/* Whether the daemon may end by this fault while it serves. */
bool sweep_is_fatal(const struct sweep *s);
