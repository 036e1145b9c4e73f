/* SPDX-License-Identifier: MIT */
/*
 * Checks every invariant of an arena between two calls of the worker: its links, lists, trees and
 * counts. The check takes nothing for granted, so it also works on an arena that was damaged.
 *
 * It does not know which timers there should be. The model (model.h) knows that.
 */
#pragma once

#include "arena.h"

/* The largest number of slots of each kind that the check has room for. */
#define INVARIANTS_SLOTS_MAX 512

/* Return: NULL, or what is wrong. Reads no byte outside the arena, whatever the arena contains. */
const char *invariants_check(const struct arena *arena);
