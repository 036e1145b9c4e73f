/* SPDX-License-Identifier: MIT */
/*
 * Adoption: takes over the state of a process that was killed.
 *
 * The block is untrusted input, like a packet: adoption must produce a valid state from any
 * content. It trusts a record if the check word matches and all values are within bounds. It does
 * not trust links and counts, but derives them again. A kill may have interrupted the old process;
 * adoption resolves that:
 *
 *   - It repeats a change of several words (arena_intent).
 *   - It undoes a packet that was not committed (arena_applying): it frees the timers that the
 *     packet registered, keeps those that it cancelled, and restores those that it re-armed. The
 *     client learns the serial of the last committed packet and sends the later ones again.
 *   - It completes a committed packet. The packet's answer is still in the arena and is sent again.
 */
#pragma once

#include "sessions.h"

/* Whether the block is an arena of this layout, made for these maxima. */
bool adopt_fits(const void *block, uint32_t max_timers, uint32_t max_clients);

/* The size in bytes of a block of the previous layout for these maxima. */
size_t adopt_previous_size(uint32_t max_timers, uint32_t max_clients);

/*
 * Makes an arena of this layout from a block of the previous layout: see arena.h.
 *   previous: adopt_previous_size() bytes of any content; only its count of attempts changes.
 *   block: arena_size() zeroed bytes for these maxima. The caller calls adopt_fits() and adopt()
 *	next.
 * Return: true if `previous` has the previous layout; else both blocks are unchanged.
 */
bool adopt_convert(void *previous, void *block, uint32_t max_timers, uint32_t max_clients);

/*
 * Derives the state from the records of a block for which adopt_fits() is true. Every session is
 * blocked afterwards. Counts damaged records in counters.dropped_records, and the adoption in
 * counters.restarts. O(n log n).
 */
void adopt(struct arena *arena);
