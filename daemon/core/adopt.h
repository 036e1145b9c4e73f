/* SPDX-License-Identifier: MIT */
/*
 * Adoption: going on where another process was killed.
 *
 * The block is input, like a packet: whatever is in it, this must end with a state that is sound.
 * Records are trusted if they are whole (their check word fits) and within bounds; links and counts
 * are not trusted at all but made anew. One scan resolves what a kill can have left:
 *
 *   - a change of several words (arena_intent) is done again;
 *   - a packet that was not committed (arena_applying) is taken back: what it registered goes, what
 *     it was to cancel stays, what it re-armed is as before, and its client, told which serial was
 *     the last, sends it again;
 *   - a packet that was committed is finished, and its answer, which may not have been sent, is
 *     there.
 */
#pragma once

#include "sessions.h"

/* Whether the block is an arena of this layout, laid out for just so many. */
bool adopt_fits(const void *block, uint32_t max_timers, uint32_t max_clients);

/* Bytes of a block of the layout before this one, with room for so many. */
size_t adopt_previous_size(uint32_t max_timers, uint32_t max_clients);

/*
 * Makes an arena of this layout from a block of the layout before it: see arena.h.
 *   previous: adopt_previous_size() bytes of any content; only its count of attempts is changed.
 *   block: arena_size() zeroed bytes, for just so many; adopt_fits() and adopt() come next.
 * Return: whether the previous block is an arena of that layout; if not, both are untouched.
 */
bool adopt_convert(void *previous, void *block, uint32_t max_timers, uint32_t max_clients);

/*
 * Makes the state anew from the records of a block that fits. Counts what it
 * drops in counters.dropped_records, and one more in counters.restarts. Every
 * session is blocked. O(n log n).
 */
void adopt(struct arena *arena);
