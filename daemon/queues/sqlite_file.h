/* SPDX-License-Identifier: MIT */
/*
 * How the SQLite file is opened and closed, and how its log is copied into it. See sqlite.h for
 * what the file holds.
 */
#pragma once

#include "sqlite.h"

/*
 * Opens the file, makes it if there is none, and brings its schema up to date.
 *   q: path, host, tuning and queues are set, the rest is zero.
 *   ret_why: a sentence that names the file and what is wrong; to be freed with sqlite3_free().
 * A refused file and its log are not changed. What this process reads from them later has been
 * synced. Return: 0; or a negative errno, with *ret_why set.
 */
int sqlite_open(struct sqlite *q, char **ret_why);

/* Translates a failed result of an open file. Return: -ENOSPC: there is no space, and nothing was
 * written; -ENOMEM: there is no memory, and nothing was written; -EIO: nobody knows what is on
 * disk. */
int sqlite_errno(const struct sqlite *q, int result);

/* Makes SQLite count the log's frames in q->log_frames after each transaction. */
void sqlite_hook(struct sqlite *q);

/* Closes the file and frees what q owns. It writes nothing, and keeps the members that the caller
 * has set. q may be half open, or closed. */
void sqlite_close(struct sqlite *q);

/* Copies the log into the file and syncs the file; q->log_copied says whether all of it was copied.
 * If it was, the next transaction begins the log anew. Return: an SQLite result code. O(pages in
 * the log). */
int sqlite_checkpoint(struct sqlite *q);

/* The same for a stop: the log is empty afterwards, so that the next start has none to read. */
int sqlite_empty_log(struct sqlite *q);

/* Enters into q->queues each queue that has a row. Return: an SQLite result code; SQLITE_CORRUPT: a
 * row is not valid, or exists twice. */
int sqlite_read_queues(struct sqlite *q);
