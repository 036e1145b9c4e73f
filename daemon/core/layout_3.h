/* SPDX-License-Identifier: MIT */
/*
 * Layout 3 of the arena, which timerd 0.1.0 writes. Frozen: nothing in here ever changes.
 *
 * The structs are those of arena.h and rbtree.h as they were. The byte order is the machine's: an
 * arena never leaves the machine that wrote it. See arena.h for how a layout is changed.
 */
#pragma once

#include "arena.h"

/* Bytes of a block of layout 3 that has room for so many. */
size_t layout_3_size(uint32_t max_timers, uint32_t max_clients);

/* Whether a block of layout_3_size() bytes, of any content, has the header of an arena of layout 3
 * with room for so many, magic and size included. */
bool layout_3_fits(const void *block, uint32_t max_timers, uint32_t max_clients);

/* How many attempts to adopt the block have not come to their end. */
uint32_t *layout_3_adopting(void *block);

/*
 * Copies what a block that fits remembers into an empty arena with the same room: every record as
 * it is, whole or damaged, since adopt() looks at each of them next. What adopt() derives stays
 * empty. The block is not changed. O(timers + sessions).
 */
void layout_3_convert(const void *block, struct arena *arena);
