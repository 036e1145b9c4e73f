/* SPDX-License-Identifier: MIT */
/* Table meta: single values by name. Every function returns an SQLite result code. */
#pragma once

#include "sqlite.h"

/* Reads a value of meta that is size bytes long. SQLITE_OK; SQLITE_DONE: there is none;
 * SQLITE_CORRUPT: it is of another size. */
int sqlite_read_meta(struct sqlite *q, const char *name, void *ret, size_t size);
int sqlite_write_meta(struct sqlite *q, const char *name, const void *value, size_t size);
int sqlite_read_counter(struct sqlite *q, const char *name, uint64_t *ret);
int sqlite_write_counter(struct sqlite *q, const char *name, uint64_t value);
int sqlite_read_clocks(struct sqlite *q, struct clocks_stored *ret);
int sqlite_write_clocks(struct sqlite *q, const struct clocks_stored *clocks);
