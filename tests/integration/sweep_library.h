/* SPDX-License-Identifier: MIT */
/*
 * The sweep of the client library, whose calls fail in the test's own process (fault_own()).
 */
#pragma once

#include "sweep.h"

/*
 * Runs work() with each fault of each call that work() makes. After each run the process must hold
 * as much memory and as many descriptors as before that run.
 *   most: how many uses of one call fail, as for sweep_count_uses().
 */
void sweep_library(struct sweep *s, const char *where, void (*work)(void), uint32_t most);
