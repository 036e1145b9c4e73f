/* SPDX-License-Identifier: MIT */
/*
 * Table meta: single values by name. Numbers are little-endian, so that the file can move.
 */
#include "sqlite_meta.h"

#include <string.h>

#include "sqlite_schema.h"

int sqlite_write_meta(struct sqlite *q, const char *name, const void *value, size_t size)
{
	sqlite3_stmt *s = sqlite_use(q, SQL_META_WRITE);

	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	sqlite3_bind_blob(s, 2, value, (int)size, SQLITE_STATIC);
	return sqlite_finish(s);
}

int sqlite_read_meta(struct sqlite *q, const char *name, void *ret, size_t size)
{
	sqlite3_stmt *s;
	int r = sqlite3_prepare_v2(q->db, "SELECT value FROM meta WHERE name = ?1", -1, &s, NULL);

	if (r)
		return r;
	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	r = sqlite3_step(s);
	if (r == SQLITE_ROW) {
		bool fits = sqlite3_column_bytes(s, 0) == (int)size;

		if (fits)
			memcpy(ret, sqlite3_column_blob(s, 0), size);
		r = fits ? SQLITE_OK : SQLITE_CORRUPT;
	}
	sqlite3_finalize(s);
	return r;
}

/* struct clocks_stored in the file: fixed width, little-endian, so that the file can move. */
struct clocks_record {
	uint8_t boot_id[16];
	uint8_t now[PROTO_CLOCKS][8];
	uint8_t offset[PROTO_CLOCKS][8];
	uint8_t trusted, clean;
};

static void put64(uint8_t ret[static 8], uint64_t value)
{
	for (int i = 0; i < 8; i++)
		ret[i] = (uint8_t)(value >> (i * 8));
}

static uint64_t get64(const uint8_t from[static 8])
{
	uint64_t value = 0;

	for (int i = 7; i >= 0; i--)
		value = value << 8 | from[i];
	return value;
}

int sqlite_write_clocks(struct sqlite *q, const struct clocks_stored *clocks)
{
	struct clocks_record stored = {
		.trusted = clocks->trusted,
		.clean = clocks->clean,
	};

	memcpy(stored.boot_id, clocks->boot_id, sizeof(stored.boot_id));
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++) {
		put64(stored.now[i], clocks->now[i]);
		put64(stored.offset[i], (uint64_t)clocks->offset[i]);
	}
	return sqlite_write_meta(q, "clocks", &stored, sizeof(stored));
}

int sqlite_read_clocks(struct sqlite *q, struct clocks_stored *ret)
{
	struct clocks_record stored;
	int r = sqlite_read_meta(q, "clocks", &stored, sizeof(stored));

	*ret = (struct clocks_stored){0};
	if (r == SQLITE_DONE)
		return SQLITE_OK;
	if (r)
		return r;
	memcpy(ret->boot_id, stored.boot_id, sizeof(stored.boot_id));
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++) {
		ret->now[i] = get64(stored.now[i]);
		ret->offset[i] = (int64_t)get64(stored.offset[i]);
	}
	ret->trusted = stored.trusted;
	ret->clean = stored.clean;
	return SQLITE_OK;
}

int sqlite_write_counter(struct sqlite *q, const char *name, uint64_t value)
{
	uint8_t bytes[8];

	put64(bytes, value);
	return sqlite_write_meta(q, name, bytes, sizeof(bytes));
}

int sqlite_read_counter(struct sqlite *q, const char *name, uint64_t *ret)
{
	uint8_t bytes[8];
	int r = sqlite_read_meta(q, name, bytes, sizeof(bytes));

	if (!r)
		*ret = get64(bytes);
	return r;
}
