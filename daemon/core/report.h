/* SPDX-License-Identifier: MIT */
/*
 * What the daemon tells about itself: the list of timers, the counters, how late wakes were.
 */
#pragma once

#include "worker.h"

/* How many places of the arena one request of a listing looks at: bounds its cost, about 50 us. */
#define REPORT_PLACES 16384

/* So many places take as long as one of the shortest records. */
#define REPORT_PLACES_A_RECORD 32

/*
 * Lists into an answer that was begun, from place `cursor` on: timers of this user, or of all.
 * Return: the cursor to go on from; 0: that was all. A timer that lives throughout is listed once.
 */
uint64_t report_list(const struct worker *w, uint32_t session, uint64_t cursor, bool all,
	const struct now *now, struct codec_writer *answer);

void report_status(const struct worker *w, const struct now *now, struct proto_status_answer *ret);

/* Counts a wake as sent so late, in microseconds. O(1). */
void report_late(struct counters *counters, uint64_t late);

/* An upper bound of the quantile `percent`, 6 % off at most; 0 where nothing was counted. */
uint64_t report_quantile(const struct counters *counters, unsigned int percent);
