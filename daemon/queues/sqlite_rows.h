/* SPDX-License-Identifier: MIT */
/*
 * Rows of timers, with their entries in the indexes and the counts of their queue. Every function
 * returns an SQLite result code, unless it says otherwise.
 */
#pragma once

#include "sqlite.h"

/* The queue of that number; NULL: there is none. */
struct sqlite_queue *sqlite_queue_of(struct sqlite *q, uint32_t number);

/* Reads a row into *ret; its key and payload are valid until the statement is reset. SQLITE_ROW, or
 * SQLITE_DONE: there is none. The caller resets SQL_FIND. */
int sqlite_find(struct sqlite *q, uint64_t id, struct store_timer *ret);
void sqlite_column_timer(sqlite3_stmt *statement, struct store_timer *ret);
/* The waiting row of a key; 0: there is none. */
int sqlite_find_key(struct sqlite *q, uint32_t queue, const char *key, size_t size, uint64_t *ret);
int sqlite_insert(struct sqlite *q, const struct store_timer *t);
int sqlite_remove(struct sqlite *q, const struct store_timer *t);
/* The same for a row that is known as it was read: ret_removed: false: it is no more as t says. */
int sqlite_remove_known(struct sqlite *q, const struct store_timer *t, bool *ret_removed);
int sqlite_park(struct sqlite *q, const struct store_timer *t);
/* Gives a row another due, ready, slack, every, count, number and attempt. */
int sqlite_update(struct sqlite *q, const struct store_timer *was, const struct store_timer *t);
int sqlite_touch(struct sqlite *q, uint32_t queue, int64_t timers, int64_t parked, int64_t bytes);
