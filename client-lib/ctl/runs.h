/* SPDX-License-Identifier: MIT */
/*
 * Which runs of COMMAND the wakes of one timer make, when COMMAND takes longer than a period.
 *
 * The daemon sends the next wake of a periodic timer once the wake before it is read. So one wake
 * may already lie in our socket when COMMAND ends, and say what was true long before. The rule is
 * that all periods that passed while COMMAND ran make one run. Therefore:
 *  - When COMMAND ends behind time, runs_behind() gives the latest due that has passed; the timer
 *    is re-armed to it and the daemon counts from there.
 *  - runs_take() drops or shortens a wake that tells of periods which a run had already, and adds
 *    the periods that no wake told of.
 *
 * Pure: time is an argument, in microseconds on the timer's clock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "../toytimer.h"

struct runs {
	uint64_t every; /* the period; 0: none */
	uint64_t next;	/* the first due that had no run yet */
	uint64_t from;	/* the first due that wakes are for since the timer was re-armed */
	uint64_t done;	/* how many runs there were */
};

/* Notes that the timer was re-armed to a due that runs_behind() gave. */
void runs_rearmed(struct runs *runs, uint64_t due);

/*
 * Makes of a wake what COMMAND is told: its due is the first that had no run, its overruns are the
 * further periods that passed, late is now - due. Nothing comes after the last wake, so this one
 * has all periods until now.
 * Returns false if earlier runs had all its periods, or if it was sent before the re-arming.
 */
bool runs_take(struct runs *runs, toytimer_event *event, uint64_t now);

/* Whether a due has passed that had no run yet. ret_due: the latest such; untouched if not. */
bool runs_behind(const struct runs *runs, uint64_t now, uint64_t *ret_due);
