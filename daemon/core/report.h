/* SPDX-License-Identifier: MIT */
/*
 * What the daemon tells about itself: the list of timers, the counters, how late wakes were.
 */
#pragma once

#include "match.h"

/* Lists into an answer that was begun what the scan finds, for the session to read. */
void report_list(const struct worker *w, uint32_t session, struct match_scan *scan,
	const struct now *now, struct codec_writer *answer);

/* What root may see: all users' clients, timers and counts. Else: those of this session's user. The
 * lateness figures are the service's. */
void report_status(const struct worker *w, uint32_t session, const struct now *now,
	struct proto_status_answer *ret);

/* Counts a wake as sent so late, in microseconds. O(1). */
void report_late(struct counters *counters, uint64_t late);

/* An upper bound of the quantile `percent`, 6 % off at most; 0 where nothing was counted. */
uint64_t report_quantile(const struct counters *counters, unsigned int percent);
