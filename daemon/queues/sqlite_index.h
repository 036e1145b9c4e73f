/* SPDX-License-Identifier: MIT */
/*
 * The two indexes of the timers, by due and by key. Each has a part in memory and a part on disk:
 * sqlite.h says why.
 *
 * Every function returns an SQLite result code, unless it says otherwise. A change is part of the
 * caller's transaction: sqlite_index_flush() comes before its end, sqlite_index_restart() after its
 * rollback. Costs are in entries: a look-up or a change is O(log n), and may read one block.
 */
#pragma once

#include "sqlite.h"

/* Fills the parts in memory from the rows that are not in the tables on disk. O(such rows). */
int sqlite_index_start(struct sqlite *q);

/* Fills them again after a rollback, because they hold entries of the transaction. If that fails,
 * sqlite_index_restart_if_lost() must do it. */
int sqlite_index_restart(struct sqlite *q);

/* Repeats a failed sqlite_index_restart(). The caller calls it before each use of the indexes. O(1)
 * if there is nothing to repeat. */
int sqlite_index_restart_if_lost(struct sqlite *q);

/* The hash of a key, by which the index is ordered: below 2^63. It never
 * changes for a file. */
uint64_t sqlite_hash(const struct sqlite *q, uint32_t queue, const char *key, size_t size);

/* Adds or removes an entry. SQLITE_NOMEM: nothing has changed. Removing an entry that
 * does not exist is no error. */
int sqlite_due_add(struct sqlite *q, const struct sqlite_due *due);
int sqlite_due_remove(struct sqlite *q, const struct sqlite_due *due);
int sqlite_key_add(struct sqlite *q, uint64_t hash, uint64_t id);
int sqlite_key_remove(struct sqlite *q, uint64_t hash, uint64_t id);

/* Finds the smallest id above `after` that has this hash, in one part of the index. *ret_id: 0:
 * there is none, or an error. An id may be in both parts. */
int sqlite_key_after(
	struct sqlite *q, bool on_disk, uint64_t hash, uint64_t after, uint64_t *ret_id);

/* Writes the blocks that were changed. The caller calls it before the end of each transaction. */
int sqlite_index_flush(struct sqlite *q);

/* Return: how many entries the larger part in memory has. O(1). */
uint64_t sqlite_recent(const struct sqlite *q);

/* Return: whether there is something to merge. O(1). */
bool sqlite_wants_merge(const struct sqlite *q);

/* Moves one slice of entries to disk, in a transaction of its own. sqlite_tuning::merge_slice
 * bounds the work. On an error nothing is moved. */
int sqlite_merge(struct sqlite *q);

/* A cursor goes through both parts of the index by due, in order, within one lane. The index may
 * change meanwhile. It need not be freed. */
struct sqlite_cursor {
	struct sqlite *q;
	struct recent_entry at; /* the entry that the cursor returned last */
};
/* after: the cursor begins after this place. */
void sqlite_cursor_begin(struct sqlite_cursor *c, struct sqlite *q, const struct sqlite_due *after);
/* SQLITE_ROW: ret->ready and ret->id are the next entry's; SQLITE_DONE: the lane has no more. */
int sqlite_cursor_next(struct sqlite_cursor *c, struct sqlite_due *ret);
