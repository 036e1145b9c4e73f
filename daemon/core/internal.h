/* SPDX-License-Identifier: MIT */
/*
 * Internal timers: what the daemon itself does at a certain time, by timers in the tree like those of
 * clients. They belong to the session ARENA_OWN_SESSION and to no user.
 *
 * An internal timer either ends a session whose client sends no hello, or reports to the shell that
 * one of its bits has come up.
 */
#pragma once

#include "sessions.h"

/* Starts the timer that ends the session if its client sends no hello in time. */
void internal_await_hello(struct arena *arena, uint32_t session, const struct now *now);

/* Drops that timer, if there is one. */
void internal_drop_hello(struct arena *arena, uint32_t session);

/* Starts a timer that comes up `delay` microseconds from now, and then each `every` (0: once). bits:
 * what internal_expire() returns then. */
void internal_start(
	struct arena *arena, uint32_t bits, uint64_t delay, uint64_t every, const struct now *now);

/* Handles the internal timers that are due, at most `most`. Return: the bits that have come up. */
unsigned int internal_expire(struct arena *arena, const struct now *now, unsigned int most);
