/* SPDX-License-Identifier: MIT */
/*
 * Which runs of COMMAND the wakes of one timer cause, if COMMAND takes longer than a period. For
 * wait.c only.
 *
 * The rule: all periods that pass during a run of COMMAND cause one more run.
 *
 * The difficulty: timerd sends the next wake of a periodic timer after the client reads the
 * previous wake. When a run ends, a wake from the start of that run may be in the socket, with old
 * figures. Therefore:
 *  - When a run ends late, runs_overdue() returns the latest due that has passed. The caller
 *    re-arms the timer to that due, and timerd counts overruns from there.
 *  - runs_take() drops or shortens a wake for periods that had a run, and adds the periods that no
 *    wake counted.
 *
 * Pure: time is an argument, in microseconds on the timer's clock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "../toytimer.h"

struct runs {
	uint64_t period;      /* 0: none */
	uint32_t count;	      /* how many runs there must be; 0: no end */
	uint64_t next_due;    /* the first due that had no run */
	uint64_t rearmed_due; /* the due of the last re-arming; 0: none */
	uint64_t completed;   /* how many runs there were */
};

/*
 * How many wakes to ask timerd for, so that the remaining runs take place. More wakes than runs may
 * be necessary: between two re-armings timerd sends up to four wakes for one run. If the timer
 * ended at timerd before the last run, nobody could re-arm it.
 */
uint32_t runs_wakes(const struct runs *runs);

/* Whether all runs took place. */
bool runs_ended(const struct runs *runs);

/* Notes that the timer was re-armed to a due from runs_overdue(). */
void runs_rearmed(struct runs *runs, uint64_t due);

/*
 * Sets a wake to what COMMAND is told: due is the first due that had no run, overruns the number of
 * further periods that passed, late is now - due. The last run counts all periods until now, since
 * no run follows it.
 * Returns false if all periods of the wake had a run, or if timerd sent it before the re-arming.
 */
bool runs_take(struct runs *runs, toytimer_event *event, uint64_t now);

/* Whether a due has passed that had no run. ret_due: the latest such due; untouched on false. */
bool runs_overdue(const struct runs *runs, uint64_t now, uint64_t *ret_due);
