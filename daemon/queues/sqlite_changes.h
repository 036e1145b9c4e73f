/* SPDX-License-Identifier: MIT */
/* Changes that clients asked for, in transactions of the SQLite file. */
#pragma once

#include "sqlite.h"

/*
 * Writes a commit in one transaction: its changes, its puts and its clocks. It fills in the results
 * of the changes, but does not call done().
 * Return: SQLITE_OK: all of it is on disk. Else an SQLite result code: nothing of it is, unless
 * q->unsure is set. One sync, and O(log n) for each change.
 */
int sqlite_commit(struct sqlite *q, struct store_commit *commit);

/*
 * Removes at most n rows of a queue in one transaction: waiting and parked ones; with
 * `parked` only parked ones.
 *   ret_n, ret_bytes: how many rows were removed, and the bytes of their keys and payloads.
 *   ret_more: whether rows may remain: n were removed.
 * Return: an SQLite result code; on an error nothing is removed.
 */
int sqlite_purge(struct sqlite *q, uint32_t queue, bool parked, size_t n, uint64_t *ret_n,
	uint64_t *ret_bytes, bool *ret_more);
