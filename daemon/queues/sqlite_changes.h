/* SPDX-License-Identifier: MIT */
/* Changes that a client asked for, in transactions. Both functions return an SQLite result code. */
#pragma once

#include "sqlite.h"

/* One transaction: all of the commit's changes, and its clocks. SQLITE_OK: it is on disk. Else
 * nothing of it is. */
int sqlite_commit(struct sqlite *q, struct store_commit *commit);
int sqlite_purge(struct sqlite *q, uint32_t queue, bool parked, size_t n, uint64_t *ret_n,
	uint64_t *ret_bytes, bool *ret_more);
