/* SPDX-License-Identifier: MIT */
/*
 * The part of an index that is on disk: a table of blocks. A block holds up to some hundreds of
 * entries that follow one another. With one row for each entry, SQLite would need some thousand
 * instructions for each of them. With blocks, a slice of a merge, or acknowledgements in order,
 * change a block once for all of its entries. A block also takes a third of the space.
 *
 * The table has the columns lane, value, id and entries. A block belongs to one lane. It holds the
 * entries from (value, id) on, up to the lane's next block. `entries` has two numbers for each
 * entry: the difference of its value to that of the entry before, and the difference of its id,
 * zigzag-coded. The first entry's differences are to (value, id). Both are little-endian base 128
 * numbers.
 *
 * One block is in memory. Changes to it are written when another block is needed, and by
 * sqlite_blocks_flush(), which comes before the end of a transaction. The functions return an
 * SQLite result code.
 */
#pragma once

#include <sqlite3.h>

#include "sqlite_recent.h"

/* SQLite keeps a row of up to 1,002 bytes in one piece with pages of 4 KB. */
#define BLOCK_BYTES   900
#define BLOCK_ENTRIES 512

enum block_statement {
	BLOCK_FIND,
	BLOCK_NEXT,
	BLOCK_WRITE,
	BLOCK_DELETE,
	BLOCK_STATEMENTS,
};

struct sqlite_blocks {
	sqlite3_stmt *statements[BLOCK_STATEMENTS];
	/* The block in memory. */
	bool loaded, changed;
	bool stored; /* it has a row, of which key is the place */
	struct recent_entry key;
	struct recent_entry from; /* it holds the entries from here on, */
	bool has_end, is_last;	  /* whether the next two are known */
	struct recent_entry end;  /* up to this place; is_last: to the lane's end */
	size_t count;
	struct recent_entry entries[BLOCK_ENTRIES];
};

/* Prepares the statements. table: `due` or `keys`. b is zero. */
int sqlite_blocks_open(struct sqlite_blocks *b, sqlite3 *db, const char *table);
/* Finalizes them, and forgets what was changed. b may be half open, or zero. */
void sqlite_blocks_close(struct sqlite_blocks *b);
/* Adds or removes an entry. Adding an entry that is there, and removing one that is not, changes
 * nothing. O(log n), and a read and a write of a block where another block is in memory. */
int sqlite_blocks_add(struct sqlite_blocks *b, const struct recent_entry *entry);
int sqlite_blocks_remove(struct sqlite_blocks *b, const struct recent_entry *entry);
/* Finds the first entry of the place's lane that comes after the place. *ret: NULL: there is none;
 * valid until the next call. */
int sqlite_blocks_after(
	struct sqlite_blocks *b, const struct recent_entry *place, const struct recent_entry **ret);
/* Writes the block in memory, if it was changed. */
int sqlite_blocks_flush(struct sqlite_blocks *b);
/* Forgets what was changed, after a rollback. */
void sqlite_blocks_drop(struct sqlite_blocks *b);
