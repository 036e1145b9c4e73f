/* SPDX-License-Identifier: MIT */
/*
 * A log-linear histogram of the lateness of wakes, in struct counters.
 *
 * Each power of two has 16 buckets, so a quantile is at most 6 % too high. A quantile reads 976
 * buckets; counting a wake changes one.
 */
#pragma once

#include "arena.h"

/* Counts a wake that was `late` microseconds late. O(1). */
void histogram_add(struct counters *counters, uint64_t late);

/* An upper bound of the quantile `percent`, at most 6 % too high; 0: no wake was counted. */
uint64_t histogram_quantile(const struct counters *counters, unsigned int percent);
