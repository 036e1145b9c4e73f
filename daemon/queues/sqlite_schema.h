/* SPDX-License-Identifier: MIT */
/*
 * The schema of the SQLite file and the statements that run on it. Every function returns an SQLite
 * result code.
 */
#pragma once

#include "sqlite.h"

/* Makes the schema of a new file. The caller has begun a transaction, and ends it. */
int sqlite_schema_make(struct sqlite *q);

/* Brings a file of an older version up to date, in one transaction. SQLITE_CORRUPT: its version is
 * none that this timerqd knows. */
int sqlite_schema_upgrade(struct sqlite *q);

/* Prepares all statements, those of the indexes' blocks included. The schema is in place. */
int sqlite_prepare(struct sqlite *q);

/* Finalizes them. q may be half open. */
void sqlite_unprepare(struct sqlite *q);

/* Makes a statement ready for its values. Return: the statement; it stays q's. */
sqlite3_stmt *sqlite_use(struct sqlite *q, enum sqlite_statement statement);

/* Steps a statement to its end, passes over rows, and resets it. */
int sqlite_finish(sqlite3_stmt *statement);

/* Runs a statement that takes no values. */
int sqlite_run(struct sqlite *q, enum sqlite_statement statement);

/* Reads the one number that a query answers. *ret is untouched where it fails; SQLITE_DONE: the
 * query has no row. */
int sqlite_read_number(struct sqlite *q, const char *text, int64_t *ret);
