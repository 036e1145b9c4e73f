/* SPDX-License-Identifier: MIT */
/*
 * The table meta: named values. Every function returns an SQLite result code; a write is part
 * of the caller's transaction.
 */
#pragma once

#include "sqlite.h"

/* Reads a value into size bytes at ret. SQLITE_DONE: there is no such value. SQLITE_CORRUPT: it has
 * another size. ret is untouched in both cases. */
int sqlite_read_meta(struct sqlite *q, const char *name, void *ret, size_t size);
/* Writes a value, which replaces the old one. */
int sqlite_write_meta(struct sqlite *q, const char *name, const void *value, size_t size);

/* The same for a number. */
int sqlite_read_counter(struct sqlite *q, const char *name, uint64_t *ret);
int sqlite_write_counter(struct sqlite *q, const char *name, uint64_t value);

/* The same for the clocks. A file without clocks reads as all zero, with SQLITE_OK. */
int sqlite_read_clocks(struct sqlite *q, struct clocks_stored *ret);
int sqlite_write_clocks(struct sqlite *q, const struct clocks_stored *clocks);
