/* SPDX-License-Identifier: MIT */
/*
 * The schema of the SQLite file and the statements that run on it. Every function returns an SQLite
 * result code.
 */
#pragma once

#include "sqlite.h"

/* Makes the schema of a new file. The caller has begun a transaction, and ends it. */
int sqlite_schema_make(struct sqlite *q);

/* Brings a file of an older version up to date, in one transaction. SQLITE_CORRUPT: this timerqd
 * does not know its version. */
int sqlite_schema_upgrade(struct sqlite *q);

/* Prepares all statements, those of the indexes' blocks included. The schema is in place. */
int sqlite_prepare(struct sqlite *q);

/* Finalizes them. q may be half open. */
void sqlite_unprepare(struct sqlite *q);

/* Makes a statement ready for its values. Return: the statement, borrowed. */
sqlite3_stmt *sqlite_use(struct sqlite *q, enum sqlite_statement statement);

/* Runs a statement to its end, ignores its rows, and resets it. */
int sqlite_finish(sqlite3_stmt *statement);

/* Runs a statement that takes no values. */
int sqlite_run(struct sqlite *q, enum sqlite_statement statement);

/* Reads the only number in the result of a query. *ret is untouched on failure; SQLITE_DONE: the
 * result has no row. */
int sqlite_read_number(struct sqlite *q, const char *text, int64_t *ret);
