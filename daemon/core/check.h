/* SPDX-License-Identifier: MIT */
/*
 * Check words: by these the next process sees which records of the arena are whole.
 *
 * A check word finds damage and half-written records. It does not stop forgery: the memory safety of
 * an adoption rests on checks of bounds alone. What a word covers is part of the arena's layout.
 */
#pragma once

#include "arena.h"

/*
 * The check word of a timer with the values of the change. It covers the whole struct timer, due,
 * latest, clock and label. O(1).
 *
 * It is the upper half of a sum of products with odd constants (multilinear hashing: Lemire and
 * Kaser, Strongly Universal String Hashing is Fast, 2014).
 */
uint32_t check_timer(const struct arena *arena, uint32_t timer, const struct arena_intent *change);

/* The check word over what never changes in a session's record. */
uint32_t check_session(const struct arena *arena, uint32_t session);

/* The check word over a session's sent_at; never 0. */
uint32_t check_sending(const struct session *s);

/* The check word of a packet of that session, over what does not change while it is handled. */
uint32_t check_applying(const struct arena_applying *applying, uint32_t session);
