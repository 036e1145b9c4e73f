/* SPDX-License-Identifier: MIT */
/* Commits: changes gathered into transactions of the store, one at a time. */
#pragma once

#include "state.h"

/* Begins a commit if none is under way and there is something to store. */
void commits_begin(struct broker *b);

/* As broker_next_aside(), if the store holds timers. */
uint64_t commits_next_aside(const struct broker *b);
