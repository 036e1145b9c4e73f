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
 * A file that is refused, and its log, are left byte for byte as they were. What is found has been
 * synced. Return: 0; or a negative errno, with *ret_why set.
 */
int sqlite_open(struct sqlite *q, char **ret_why);
/* What a failed result of an open file says. Return: -ENOSPC: there is no space, and what was to be
 * written was not; -ENOMEM: the same of memory; -EIO: what is on disk is not known. */
int sqlite_errno(const struct sqlite *q, int result);
/* Has q told of each transaction in the log. */
void sqlite_hook(struct sqlite *q);
/* Writes nothing. */
void sqlite_close(struct sqlite *q);
/* Copies the log into the file. The next transaction begins the log anew. */
int sqlite_checkpoint(struct sqlite *q);
/* The same for a stop: the log is empty afterwards, and a start has none to read. */
int sqlite_empty_log(struct sqlite *q);
/* Makes all queues known that have a row. */
int sqlite_read_queues(struct sqlite *q);
