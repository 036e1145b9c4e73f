/* SPDX-License-Identifier: MIT */
/*
 * Whether an arena is sound: every invariant that its links, lists, trees and counts have between
 * two calls of the worker, looked at one by one with nothing taken for granted. It says nothing
 * about what the timers should be; that is the model's to say.
 */
#pragma once

#include "arena.h"

/* As many places of each kind as it can look at. */
#define SOUND_PLACES_MAX 512

/* Return: NULL, or what is wrong. Reads no byte outside the arena, whatever is in it. */
const char *sound_check(const struct arena *arena);
