/* SPDX-License-Identifier: MIT */
#include "sqlite_blocks.h"

#include <string.h>

/* Of two numbers of 64 bits. */
#define ENTRY_BYTES_MAX 20

/* A block in the middle of a lane keeps room for later entries. A block at a lane's end does not,
 * because most later entries come after it. */
#define BLOCK_BYTES_AMID (BLOCK_BYTES * 7 / 10)

static const char *const texts[BLOCK_STATEMENTS] = {
	[BLOCK_FIND] = "SELECT value, id, entries FROM %s WHERE lane = ?1 AND (value, id) <= (?2, "
		       "?3) ORDER BY value DESC, id DESC LIMIT 1",
	[BLOCK_NEXT] = "SELECT value, id, entries FROM %s WHERE lane = ?1 AND (value, id) > (?2, "
		       "?3) ORDER BY value, id LIMIT 1",
	[BLOCK_WRITE] = "INSERT OR REPLACE INTO %s VALUES (?1, ?2, ?3, ?4)",
	[BLOCK_DELETE] = "DELETE FROM %s WHERE lane = ?1 AND value = ?2 AND id = ?3",
};

int sqlite_blocks_open(struct sqlite_blocks *b, sqlite3 *db, const char *table)
{
	int r = SQLITE_OK;

	for (int i = 0; i < BLOCK_STATEMENTS && !r; i++) {
		char *text = sqlite3_mprintf(texts[i], table);

		r = text ? sqlite3_prepare_v3(
				   db, text, -1, SQLITE_PREPARE_PERSISTENT, &b->statements[i], NULL)
			 : SQLITE_NOMEM;
		sqlite3_free(text);
	}
	return r;
}

void sqlite_blocks_close(struct sqlite_blocks *b)
{
	for (int i = 0; i < BLOCK_STATEMENTS; i++) {
		sqlite3_finalize(b->statements[i]);
		b->statements[i] = NULL;
	}
	sqlite_blocks_drop(b);
}

void sqlite_blocks_drop(struct sqlite_blocks *b)
{
	b->loaded = b->changed = false;
}

static sqlite3_stmt *use(
	struct sqlite_blocks *b, enum block_statement statement, const struct recent_entry *place)
{
	sqlite3_stmt *s = b->statements[statement];

	sqlite3_bind_int64(s, 1, (int64_t)place->lane);
	sqlite3_bind_int64(s, 2, (int64_t)place->value);
	sqlite3_bind_int64(s, 3, (int64_t)place->id);
	return s;
}

static int finish(sqlite3_stmt *s)
{
	sqlite3_step(s);
	return sqlite3_reset(s);
}

static uint8_t *put_number(uint8_t *at, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*at++ = (uint8_t)(value | 0x80);
	*at++ = (uint8_t)value;
	return at;
}

/* Return: the byte after the number; NULL: the number does not end within the row. */
static const uint8_t *get_number(const uint8_t *at, const uint8_t *end, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; at < end && shift < 64; shift += 7) {
		value |= (uint64_t)(*at & 0x7f) << shift;
		if (!(*at++ & 0x80)) {
			*ret = value;
			return at;
		}
	}
	return NULL;
}

/* Small differences of either sign become small numbers. */
static uint64_t zigzag(uint64_t difference)
{
	return difference << 1 ^ (difference >> 63 ? UINT64_MAX : 0);
}

static uint64_t unzigzag(uint64_t number)
{
	return number >> 1 ^ (number & 1 ? UINT64_MAX : 0);
}

static int decode(struct sqlite_blocks *b, const uint8_t *at, size_t size)
{
	const uint8_t *end = at + size;
	struct recent_entry last = b->key;

	for (b->count = 0; at < end; b->count++) {
		uint64_t value, id;

		at = get_number(at, end, &value);
		at = at ? get_number(at, end, &id) : NULL;
		if (!at || b->count == BLOCK_ENTRIES)
			return SQLITE_CORRUPT;
		last.value += value;
		last.id += unzigzag(id);
		/* All searches rely on the entries' order. */
		if (b->count ? !recent_is_before(&b->entries[b->count - 1], &last)
			     : recent_is_before(&last, &b->key))
			return SQLITE_CORRUPT;
		b->entries[b->count] = last;
	}
	return SQLITE_OK;
}

/* Encodes entries from *i on, as many as fit. Return: how many bytes. */
static size_t encode(const struct sqlite_blocks *b, const struct recent_entry *key, size_t *i,
	size_t most, uint8_t *ret)
{
	struct recent_entry last = *key;
	uint8_t *at = ret;

	for (; *i < b->count && (size_t)(at - ret) + ENTRY_BYTES_MAX <= most; ++*i) {
		at = put_number(at, b->entries[*i].value - last.value);
		at = put_number(at, zigzag(b->entries[*i].id - last.id));
		last = b->entries[*i];
	}
	return (size_t)(at - ret);
}

static int delete_row(struct sqlite_blocks *b)
{
	int r = SQLITE_OK;

	if (b->stored)
		r = finish(use(b, BLOCK_DELETE, &b->key));
	b->stored = false;
	return r;
}

/* Writes the entries from *i on, as many as one row holds. */
static int write_row(struct sqlite_blocks *b, size_t *i, size_t most)
{
	uint8_t bytes[BLOCK_BYTES];
	size_t size = encode(b, &b->key, i, most, bytes);
	sqlite3_stmt *s = use(b, BLOCK_WRITE, &b->key);

	sqlite3_bind_blob(s, 4, bytes, (int)size, SQLITE_STATIC);
	return finish(s);
}

int sqlite_blocks_flush(struct sqlite_blocks *b)
{
	uint8_t bytes[BLOCK_BYTES];
	size_t i = 0, most = BLOCK_BYTES;
	int r = SQLITE_OK;

	if (!b->loaded || !b->changed)
		return SQLITE_OK;
	/* A row whose key is after the first entry gets another key. */
	if (!b->count || (b->stored && recent_is_before(&b->entries[0], &b->key)))
		r = delete_row(b);
	if (b->count && !b->stored)
		b->key = b->entries[0];
	encode(b, &b->key, &i, BLOCK_BYTES, bytes);
	if (i < b->count && !(b->has_end && b->is_last))
		most = BLOCK_BYTES_AMID;
	/* If it takes several rows, none of them is the block in memory. */
	b->loaded = i == b->count;
	for (i = 0; i < b->count && !r;) {
		b->key = i ? b->entries[i] : b->key;
		r = write_row(b, &i, most);
	}
	b->stored = b->count;
	b->changed = false;
	return r;
}

/* Takes the row that a statement has found. */
static int take_row(struct sqlite_blocks *b, sqlite3_stmt *s, uint64_t lane)
{
	b->key = (struct recent_entry){
		lane, (uint64_t)sqlite3_column_int64(s, 0), (uint64_t)sqlite3_column_int64(s, 1)};
	b->stored = true;
	return decode(b, sqlite3_column_blob(s, 2), (size_t)sqlite3_column_bytes(s, 2));
}

/* Finds the lane's first block after a place. Return: SQLITE_ROW: *ret_s is at its row, and the
 * caller resets it; SQLITE_DONE: there is none. */
static int find_next(
	struct sqlite_blocks *b, const struct recent_entry *place, sqlite3_stmt **ret_s)
{
	int r;

	*ret_s = use(b, BLOCK_NEXT, place);
	r = sqlite3_step(*ret_s);
	if (r != SQLITE_ROW)
		sqlite3_reset(*ret_s);
	return r;
}

static int find_end(struct sqlite_blocks *b)
{
	sqlite3_stmt *s;
	int r;

	if (b->has_end)
		return SQLITE_OK;
	r = find_next(b, &b->key, &s);
	if (r != SQLITE_ROW && r != SQLITE_DONE)
		return r;
	b->is_last = r == SQLITE_DONE;
	if (!b->is_last) {
		b->end = (struct recent_entry){b->key.lane, (uint64_t)sqlite3_column_int64(s, 0),
			(uint64_t)sqlite3_column_int64(s, 1)};
		sqlite3_reset(s);
	}
	b->has_end = true;
	return SQLITE_OK;
}

/* ret: whether the place is in the block in memory. */
static int holds(struct sqlite_blocks *b, const struct recent_entry *place, bool *ret)
{
	int r;

	*ret = false;
	if (!b->loaded || place->lane != b->from.lane || recent_is_before(place, &b->from))
		return SQLITE_OK;
	if (b->count && !recent_is_before(&b->entries[b->count - 1], place)) {
		*ret = true;
		return SQLITE_OK;
	}
	r = find_end(b);
	*ret = !r && (b->is_last || recent_is_before(place, &b->end));
	return r;
}

/* Loads the block that holds a place: the last one that begins there or before, else the lane's
 * first one, else a new one. */
static int load(struct sqlite_blocks *b, const struct recent_entry *place)
{
	struct recent_entry start = {.lane = place->lane};
	sqlite3_stmt *s;
	int r;

	r = sqlite_blocks_flush(b);
	if (r)
		return r;
	sqlite_blocks_drop(b);
	b->stored = b->has_end = b->is_last = false;
	b->count = 0;
	b->key = b->from = start;
	s = use(b, BLOCK_FIND, place);
	r = sqlite3_step(s);
	if (r == SQLITE_ROW) {
		r = take_row(b, s, place->lane) ?: SQLITE_ROW;
		b->from = b->key;
	}
	sqlite3_reset(s);
	if (r == SQLITE_DONE) {
		r = find_next(b, place, &s);
		if (r == SQLITE_ROW) {
			r = take_row(b, s, place->lane) ?: SQLITE_ROW;
			sqlite3_reset(s);
		}
		if (r == SQLITE_DONE)
			b->has_end = b->is_last = true;
	}
	b->loaded = r == SQLITE_ROW || r == SQLITE_DONE;
	return b->loaded ? SQLITE_OK : r;
}

static int need(struct sqlite_blocks *b, const struct recent_entry *place)
{
	bool there;
	int r = holds(b, place, &there);

	return r || there ? r : load(b, place);
}

int sqlite_blocks_add(struct sqlite_blocks *b, const struct recent_entry *entry)
{
	size_t i;
	int r = need(b, entry);

	if (!r && b->count == BLOCK_ENTRIES) {
		r = sqlite_blocks_flush(b);
		sqlite_blocks_drop(b);
		r = r ? r : load(b, entry);
	}
	if (r)
		return r;
	i = recent_count_up_to(b->entries, b->count, entry);
	if (i && recent_is_same(&b->entries[i - 1], entry))
		return SQLITE_OK;
	memmove(&b->entries[i + 1], &b->entries[i], (b->count - i) * sizeof(b->entries[0]));
	b->entries[i] = *entry;
	b->count++;
	b->changed = true;
	return SQLITE_OK;
}

int sqlite_blocks_remove(struct sqlite_blocks *b, const struct recent_entry *entry)
{
	size_t i;
	int r = need(b, entry);

	if (r)
		return r;
	i = recent_count_up_to(b->entries, b->count, entry);
	if (!i || !recent_is_same(&b->entries[i - 1], entry))
		return SQLITE_OK;
	b->count--;
	memmove(&b->entries[i - 1], &b->entries[i], (b->count - (i - 1)) * sizeof(b->entries[0]));
	b->changed = true;
	return SQLITE_OK;
}

int sqlite_blocks_after(
	struct sqlite_blocks *b, const struct recent_entry *place, const struct recent_entry **ret)
{
	int r = need(b, place);

	*ret = NULL;
	while (!r) {
		size_t i = recent_count_up_to(b->entries, b->count, place);
		struct recent_entry next;

		if (i < b->count) {
			*ret = &b->entries[i];
			break;
		}
		r = find_end(b);
		if (r || b->is_last)
			break;
		next = b->end;
		r = load(b, &next);
	}
	return r;
}
