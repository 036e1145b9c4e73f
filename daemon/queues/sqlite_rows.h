/* SPDX-License-Identifier: MIT */
/*
 * Rows of timers, with their entries in the indexes and the counts of their queue.
 *
 * Every function returns an SQLite result code, unless it says otherwise. Changes are part of the
 * caller's transaction; if one fails, the caller rolls the transaction back.
 */
#pragma once

#include "sqlite.h"

/* Return: the queue of that number; NULL: there is none. O(1). */
struct sqlite_queue *sqlite_queue_of(struct sqlite *q, uint32_t number);

/* Reads the waiting row of an id. SQLITE_ROW: *ret borrows the key and the payload from the
 * statement SQL_FIND until the caller resets it; SQLITE_DONE: there is no such row. */
int sqlite_find(struct sqlite *q, uint64_t id, struct store_timer *ret);

/* Reads rows one after another; it searches only for a row whose id does not follow the last one.
 * last: 0 at first. Nothing is written in between, and the caller resets SQL_FIND_FROM at the end.
 * Return: as sqlite_find(), with SQL_FIND_FROM. */
int sqlite_find_next(struct sqlite *q, uint64_t *last, uint64_t id, struct store_timer *ret);

/* Reads the current row of a statement that selects the columns of a timer. It borrows
 * the key and the payload from the statement. */
void sqlite_column_timer(sqlite3_stmt *statement, struct store_timer *ret);

/* Finds the waiting row of a key. *ret: its id; 0: there is none. */
int sqlite_find_key(struct sqlite *q, uint32_t queue, const char *key, size_t size, uint64_t *ret);

/* Inserts a row. t->id is greater than all ids so far. */
int sqlite_insert(struct sqlite *q, const struct store_timer *t);

/* Removes a row. t: the whole row as it is now. */
int sqlite_remove(struct sqlite *q, const struct store_timer *t);

/* Removes a row if it still equals t, without reading it first. *ret_removed: whether it did. */
int sqlite_remove_known(struct sqlite *q, const struct store_timer *t, bool *ret_removed);

/* Removes the rows of n changes, whose ids follow one another in one queue, if all of them still
 * equal what is known. *ret_removed: whether they did; else nothing has changed. */
int sqlite_remove_run(
	struct sqlite *q, const struct store_change *first, size_t n, bool *ret_removed);

/* Copies a row into the table of parked wakes. The waiting row stays. */
int sqlite_park(struct sqlite *q, const struct store_timer *t);

/* Sets due, ready, slack, every, count, number and attempt of the row `was` to those of t. */
int sqlite_update(struct sqlite *q, const struct store_timer *was, const struct store_timer *t);

/* Adds to the counts of a queue. They apply when the transaction commits. bytes: of keys and
 * payloads. */
int sqlite_touch(struct sqlite *q, uint32_t queue, int64_t timers, int64_t parked, int64_t bytes);
