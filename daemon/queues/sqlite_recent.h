/* SPDX-License-Identifier: MIT */
/*
 * The part of an index that is in memory: a sorted set of entries.
 *
 * The entries are in chunks, sorted within each chunk and from chunk to chunk. A search is two
 * binary searches, and a new entry moves half a chunk at most. If the last chunk is
 * full, an entry that comes after all others begins a new chunk. So entries in order fill their
 * chunks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* By due: queue and clock, ready, id. By key: 0, hash, id. */
struct recent_entry {
	uint64_t lane, value, id;
};

/* The order is that of (lane, value, id). */
bool recent_is_before(const struct recent_entry *a, const struct recent_entry *b);
bool recent_is_same(const struct recent_entry *a, const struct recent_entry *b);
/* Return: how many of n sorted entries are at or before a place. O(log n). */
size_t recent_count_up_to(
	const struct recent_entry *entries, size_t n, const struct recent_entry *place);

struct recent_chunk;

struct recent {
	struct recent_chunk **chunks;
	size_t chunk_count, chunk_room;
	uint64_t count; /* entries */
};

/* Adds an entry. Return: 1; 0: it is there already; -ENOMEM: nothing has changed. O(log n), and it
 * moves half a chunk at most. */
int recent_add(struct recent *r, const struct recent_entry *entry);
/* Removes an entry. Return: whether it was there. Same cost. */
bool recent_remove(struct recent *r, const struct recent_entry *entry);
/* Return: the first entry after that place, which may be in another lane; NULL: there is none. It
 * is valid until the next change. O(log n). */
const struct recent_entry *recent_after(const struct recent *r, const struct recent_entry *place);
/* Copies up to n entries after a place, in order. Return: how many. O(log count + n). */
size_t recent_copy_after(const struct recent *r, const struct recent_entry *place,
	struct recent_entry *ret, size_t n);
/* Removes up to n entries after a place. The cost is that of recent_copy_after(). */
void recent_remove_after(struct recent *r, const struct recent_entry *place, size_t n);
/* Removes all entries and frees all memory. r may be zero. */
void recent_clear(struct recent *r);
