/* SPDX-License-Identifier: MIT */
/*
 * Bringing timers into the cache before they are needed. It changes nothing but the time that the rest
 * takes: a reader may skip this.
 */
#pragma once

#include "timers.h"

/* Fetches a timer's records. */
void prefetch_timer(const struct arena *arena, uint32_t timer);

/* Fetches what the removal of these timers reads first. Each is any index; at most
 * PREFETCH_ABREAST. */
#define PREFETCH_ABREAST 32
void prefetch_for_removal(const struct arena *arena, const uint32_t *timers, unsigned int n);
