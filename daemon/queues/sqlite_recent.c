/* SPDX-License-Identifier: MIT */
#include "sqlite_recent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* 4 KB a chunk. */
#define CHUNK 168

struct recent_chunk {
	size_t count; /* at least 1 */
	struct recent_entry entries[CHUNK];
};

bool recent_is_before(const struct recent_entry *a, const struct recent_entry *b)
{
	if (a->lane != b->lane)
		return a->lane < b->lane;
	return a->value != b->value ? a->value < b->value : a->id < b->id;
}

size_t recent_count_up_to(
	const struct recent_entry *entries, size_t n, const struct recent_entry *place)
{
	size_t from = 0;

	while (n) {
		size_t half = n / 2;
		bool after = recent_is_before(place, &entries[from + half]);

		from += after ? 0 : half + 1;
		n = after ? half : n - half - 1;
	}
	return from;
}

/* The last chunk whose first entry is not after the place; the first chunk if there is no such
 * chunk. */
static size_t chunk_of(const struct recent *r, const struct recent_entry *place)
{
	size_t from = 0, n = r->chunk_count;

	while (n) {
		size_t half = n / 2;
		bool after = recent_is_before(place, &r->chunks[from + half]->entries[0]);

		from += after ? 0 : half + 1;
		n = after ? half : n - half - 1;
	}
	return from ? from - 1 : 0;
}

bool recent_is_same(const struct recent_entry *a, const struct recent_entry *b)
{
	return a->lane == b->lane && a->value == b->value && a->id == b->id;
}

/* Inserts a new chunk at that index of the array. NULL: no memory. */
static struct recent_chunk *add_chunk(struct recent *r, size_t at)
{
	struct recent_chunk *chunk;

	if (r->chunk_count == r->chunk_room) {
		size_t room = r->chunk_room * 2 + 64;
		struct recent_chunk **chunks = realloc(
			r->chunks, room * sizeof(struct recent_chunk *));

		if (!chunks)
			return NULL;
		r->chunks = chunks;
		r->chunk_room = room;
	}
	chunk = malloc(sizeof(*chunk));
	if (!chunk)
		return NULL;
	chunk->count = 0;
	memmove(&r->chunks[at + 1], &r->chunks[at],
		(r->chunk_count - at) * sizeof(struct recent_chunk *));
	r->chunks[at] = chunk;
	r->chunk_count++;
	return chunk;
}

static void remove_chunk(struct recent *r, size_t at)
{
	free(r->chunks[at]);
	r->chunk_count--;
	memmove(&r->chunks[at], &r->chunks[at + 1],
		(r->chunk_count - at) * sizeof(struct recent_chunk *));
}

/* Makes room in a full chunk for an entry at *i: a new chunk after it takes its second half, or
 * nothing if the entry comes after all others. Return: the chunk for the entry, with its position
 * in *i; NULL: no memory. */
static struct recent_chunk *split(struct recent *r, size_t at, size_t *i)
{
	struct recent_chunk *chunk = r->chunks[at], *more = add_chunk(r, at + 1);
	size_t stay = *i == CHUNK && at + 2 == r->chunk_count ? CHUNK : CHUNK / 2;

	if (!more)
		return NULL;
	more->count = CHUNK - stay;
	memcpy(more->entries, &chunk->entries[stay], more->count * sizeof(more->entries[0]));
	chunk->count = stay;
	if (*i < stay)
		return chunk;
	*i -= stay;
	return more;
}

int recent_add(struct recent *r, const struct recent_entry *entry)
{
	struct recent_chunk *chunk;
	size_t at = chunk_of(r, entry), i;

	if (!r->chunk_count && !add_chunk(r, 0))
		return -ENOMEM;
	chunk = r->chunks[at];
	i = recent_count_up_to(chunk->entries, chunk->count, entry);
	if (i && recent_is_same(&chunk->entries[i - 1], entry))
		return 0;
	if (chunk->count == CHUNK)
		chunk = split(r, at, &i);
	if (!chunk)
		return -ENOMEM;
	memmove(&chunk->entries[i + 1], &chunk->entries[i],
		(chunk->count - i) * sizeof(chunk->entries[0]));
	chunk->entries[i] = *entry;
	chunk->count++;
	r->count++;
	return 1;
}

/* Joins a chunk with the next one if both together fill at most half a chunk. So few entries take
 * few chunks, whichever entries were removed. */
static void join(struct recent *r, size_t at)
{
	struct recent_chunk *chunk, *next;

	if (at + 1 >= r->chunk_count)
		return;
	chunk = r->chunks[at];
	next = r->chunks[at + 1];
	if (chunk->count + next->count > CHUNK / 2)
		return;
	memcpy(&chunk->entries[chunk->count], next->entries,
		next->count * sizeof(next->entries[0]));
	chunk->count += next->count;
	remove_chunk(r, at + 1);
}

/* Removes up to n entries from index i of a chunk on, and the chunk if it is empty then. Return:
 * how many. */
static size_t remove_from_chunk(struct recent *r, size_t at, size_t i, size_t n)
{
	struct recent_chunk *chunk = r->chunks[at];

	n = n < chunk->count - i ? n : chunk->count - i;
	chunk->count -= n;
	r->count -= n;
	memmove(&chunk->entries[i], &chunk->entries[i + n],
		(chunk->count - i) * sizeof(chunk->entries[0]));
	if (!chunk->count)
		remove_chunk(r, at);
	return n;
}

bool recent_remove(struct recent *r, const struct recent_entry *entry)
{
	const struct recent_chunk *chunk;
	size_t at = chunk_of(r, entry), i;

	if (!r->chunk_count)
		return false;
	chunk = r->chunks[at];
	i = recent_count_up_to(chunk->entries, chunk->count, entry);
	if (!i || !recent_is_same(&chunk->entries[i - 1], entry))
		return false;
	remove_from_chunk(r, at, i - 1, 1);
	join(r, at);
	if (at)
		join(r, at - 1);
	return true;
}

/* Finds the first entry after a place. Return: whether there is one, in chunk *ret_at at *ret_i. */
static bool find_after(
	const struct recent *r, const struct recent_entry *place, size_t *ret_at, size_t *ret_i)
{
	size_t at = chunk_of(r, place), i;

	if (!r->chunk_count)
		return false;
	i = recent_count_up_to(r->chunks[at]->entries, r->chunks[at]->count, place);
	*ret_at = i < r->chunks[at]->count ? at : at + 1;
	*ret_i = *ret_at == at ? i : 0;
	return *ret_at < r->chunk_count;
}

const struct recent_entry *recent_after(const struct recent *r, const struct recent_entry *place)
{
	size_t at, i;

	return find_after(r, place, &at, &i) ? &r->chunks[at]->entries[i] : NULL;
}

size_t recent_copy_after(const struct recent *r, const struct recent_entry *place,
	struct recent_entry *ret, size_t n)
{
	size_t at, i, copied = 0;

	if (!find_after(r, place, &at, &i))
		return 0;
	for (; at < r->chunk_count && copied < n; at++, i = 0)
		for (; i < r->chunks[at]->count && copied < n; i++)
			ret[copied++] = r->chunks[at]->entries[i];
	return copied;
}

void recent_remove_after(struct recent *r, const struct recent_entry *place, size_t n)
{
	size_t at, i;

	if (!find_after(r, place, &at, &i))
		return;
	n -= remove_from_chunk(r, at, i, n);
	/* The entries before i stay in their chunk. */
	if (i)
		at++;
	while (n && at < r->chunk_count)
		n -= remove_from_chunk(r, at, 0, n);
	join(r, at);
	if (at)
		join(r, at - 1);
}

void recent_clear(struct recent *r)
{
	for (size_t i = 0; i < r->chunk_count; i++)
		free(r->chunks[i]);
	free(r->chunks);
	*r = (struct recent){0};
}
