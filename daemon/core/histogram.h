/* SPDX-License-Identifier: MIT */
/*
 * How late wakes were: a log-linear histogram in the counters.
 *
 * Each doubling has 16 buckets. So a quantile costs a walk over 976 counters and is at most 6 % too
 * high, and counting a wake costs two additions.
 */
#pragma once

#include "arena.h"

/* Counts a wake that was so many microseconds late. O(1). */
void histogram_add(struct counters *counters, uint64_t late);

/* An upper bound of the quantile `percent`, at most 6 % too high; 0: no wake was counted. */
uint64_t histogram_quantile(const struct counters *counters, unsigned int percent);
