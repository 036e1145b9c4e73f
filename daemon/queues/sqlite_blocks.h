/* SPDX-License-Identifier: MIT */
/*
 * The part of an index that is on disk: a table of blocks. A block holds up to some hundreds of
 * neighbouring entries. With one row for each entry, SQLite would need some thousand instructions
 * for each entry. With blocks, a slice of a merge changes a block once for all of its entries, and
 * so do acknowledgements in order. A block also takes a third of the space.
 *
 * The table has the columns lane, value, id and entries. A block belongs to one lane. It holds the
 * entries from (value, id) on, up to the lane's next block. `entries` has two numbers for each
 * entry: its value minus the value of the previous entry, and the same for the id, zigzag-coded.
 * For the first entry, (value, id) of the block is the previous entry. Both are little-endian base
 * 128 numbers.
 *
 * One block is in memory. Changes to it are written when another block is needed, and by
 * sqlite_blocks_flush(), which comes before the end of a transaction. The functions return an
 * SQLite result code.
 */
#pragma once

#include <sqlite3.h>

#include "sqlite_recent.h"

/* With pages of 4 KB, SQLite keeps a row of up to 1,002 bytes within one page. */
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
	bool stored; /* it has a row, with the columns lane, value and id of `key` */
	struct recent_entry key;
	struct recent_entry from; /* the block begins here */
	bool has_end, is_last;	  /* has_end: is_last and end are known */
	struct recent_entry
		end; /* the block ends before this place; is_last: it is the lane's last */
	size_t count;
	struct recent_entry entries[BLOCK_ENTRIES];
};

/* Prepares the statements. table: `due` or `keys`. b is zero. */
int sqlite_blocks_open(struct sqlite_blocks *b, sqlite3 *db, const char *table);
/* Finalizes them, and drops unwritten changes. b may be half open, or zero. */
void sqlite_blocks_close(struct sqlite_blocks *b);
/* Adds or removes an entry. Adding an entry that exists changes nothing, nor does removing one that
 * does not exist. O(log n). If another block is in memory, it writes one block and reads one. */
int sqlite_blocks_add(struct sqlite_blocks *b, const struct recent_entry *entry);
int sqlite_blocks_remove(struct sqlite_blocks *b, const struct recent_entry *entry);
/* Finds the first entry of the place's lane that comes after the place. *ret: NULL: there is none;
 * valid until the next call. */
int sqlite_blocks_after(
	struct sqlite_blocks *b, const struct recent_entry *place, const struct recent_entry **ret);
/* Writes the block in memory, if it was changed. */
int sqlite_blocks_flush(struct sqlite_blocks *b);
/* Drops the block in memory with its changes, after a rollback. */
void sqlite_blocks_drop(struct sqlite_blocks *b);
