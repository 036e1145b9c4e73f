/* SPDX-License-Identifier: MIT */
/*
 * Internal timers: the daemon's own timers, which lie in a tree like the timers of clients. They
 * belong to the session ARENA_OWN_SESSION and to no user.
 *
 * An internal timer either ends a session whose client sends no hello, or reports a bit to the
 * shell.
 */
#pragma once

#include "sessions.h"

/* Starts the timer that ends the session if its client sends no hello in time. */
void internal_await_hello(struct arena *arena, uint32_t session, const struct now *now);

/* Drops the hello timer of the session, if there is one. */
void internal_drop_hello(struct arena *arena, uint32_t session);

/* Starts a timer that expires in `delay` microseconds, and then every `every` microseconds (0:
 * once). bits: internal_expire() returns them when the timer expires. */
void internal_start(
	struct arena *arena, uint32_t bits, uint64_t delay, uint64_t every, const struct now *now);

/* Handles at most `most` internal timers that are due. Return: the bits of those that have
 * expired. */
unsigned int internal_expire(struct arena *arena, const struct now *now, unsigned int most);
