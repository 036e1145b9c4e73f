/* SPDX-License-Identifier: MIT */
/*
 * Loads timers into the cache before they are needed. It changes only how long the other code
 * takes: a reader may skip this file.
 */
#pragma once

#include "timers.h"

/* Prefetches the two records of a timer. */
void prefetch_timer(const struct arena *arena, uint32_t timer);

/* Prefetches the records that the removal of these timers reads first. Each may be any valid index;
 * n is at most PREFETCH_ABREAST. */
#define PREFETCH_ABREAST 32
void prefetch_for_removal(const struct arena *arena, const uint32_t *timers, unsigned int n);
