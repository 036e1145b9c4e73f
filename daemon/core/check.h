/* SPDX-License-Identifier: MIT */
/*
 * Check words: adoption uses them to find damaged and half-written records of the arena.
 *
 * A check word does not detect forgery: the memory safety of adoption depends on bounds checks
 * alone. The set of fields that a check word covers is part of the arena's layout.
 */
#pragma once

#include "arena.h"

/*
 * The check word of a timer, as if it had the values of `change`. It covers the whole struct timer,
 * due, latest, clock and label. O(1).
 *
 * The hash is multilinear: the upper half of a sum of products with odd constants (Lemire and
 * Kaser, Strongly Universal String Hashing is Fast, 2014).
 */
uint32_t check_timer(const struct arena *arena, uint32_t timer, const struct arena_intent *change);

/* The check word of the fields of a session that never change: uid, pid, born, socket and comm. */
uint32_t check_session(const struct arena *arena, uint32_t session);

/* The check word of a session's sent_at; never 0. */
uint32_t check_sending(const struct session *s);

/* The check word of the packet that is being applied: session, serial and sequence. */
uint32_t check_applying(const struct arena_applying *applying, uint32_t session);
