/* SPDX-License-Identifier: MIT */
/*
 * The two indexes of the timers, by due and by key. Each has a part in memory and a part on disk.
 * Every function returns an SQLite result code, unless it says otherwise.
 */
#pragma once

#include "sqlite.h"

int sqlite_index_start(struct sqlite *q);
/* Reads the recent parts again: a transaction was rolled back, and they have its entries. */
int sqlite_index_restart(struct sqlite *q);
/* Does that now where it failed before. To be called before the indexes are used. */
int sqlite_index_mend(struct sqlite *q);
uint64_t sqlite_hash(const struct sqlite *q, uint32_t queue, const char *key, size_t size);
int sqlite_due_add(struct sqlite *q, const struct sqlite_due *due);
int sqlite_due_remove(struct sqlite *q, const struct sqlite_due *due);
int sqlite_key_add(struct sqlite *q, uint64_t hash, uint64_t id);
int sqlite_key_remove(struct sqlite *q, uint64_t hash, uint64_t id);
/* The next id behind `after` that has this hash, in one part of the index; 0: none. */
int sqlite_key_after(
	struct sqlite *q, bool on_disk, uint64_t hash, uint64_t after, uint64_t *ret_id);
/* Writes what was changed on disk: to be called before a transaction ends. */
int sqlite_index_flush(struct sqlite *q);
/* Entries in the larger part in memory. */
uint64_t sqlite_recent(const struct sqlite *q);
/* Return: whether there is something to merge; sqlite_merge() does a slice of it, in a transaction
 * of its own. */
bool sqlite_wants_merge(const struct sqlite *q);
int sqlite_merge(struct sqlite *q);

/* Goes through both parts of the index by due, in order. The index may change meanwhile. */
struct sqlite_cursor {
	struct sqlite *q;
	struct recent_entry at; /* the last entry that it has told of */
};
void sqlite_cursor_begin(struct sqlite_cursor *c, struct sqlite *q, const struct sqlite_due *after);
/* SQLITE_ROW: *ret is the next; SQLITE_DONE: the lane has no more. */
int sqlite_cursor_next(struct sqlite_cursor *c, struct sqlite_due *ret);
