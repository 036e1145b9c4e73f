/* SPDX-License-Identifier: MIT */
/*
 * Layout 3 of the arena, which timerd 0.1.0 writes. Frozen: nothing in here ever changes.
 *
 * The structs are copies of those in arena.h and rbtree.h of 0.1.0. The byte order is the
 * machine's: an arena never leaves the machine that wrote it. arena.h says how to change the
 * layout.
 */
#pragma once

#include "arena.h"

/* The size in bytes of a block of layout 3 for these maxima. */
size_t layout_3_size(uint32_t max_timers, uint32_t max_clients);

/* Whether a block of layout_3_size() bytes of any content has the header of an arena of layout 3
 * for these maxima. */
bool layout_3_fits(const void *block, uint32_t max_timers, uint32_t max_clients);

/* The number of attempts to adopt the block that failed or still run. */
uint32_t *layout_3_adopting(void *block);

/*
 * Copies the persistent fields of a block into an empty arena of the same maxima. layout_3_fits()
 * is true for the block. Damaged records are copied too, because adopt() checks each record next
 * and derives all other fields. The block is not changed. O(timers + sessions).
 */
void layout_3_convert(const void *block, struct arena *arena);
