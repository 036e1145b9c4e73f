/* SPDX-License-Identifier: MIT */
/* Recovery of the store after a failed write or sync. */
#pragma once

#include "sqlite.h"

/*
 * Recovers after a failed write or sync. The kernel's cache may then differ from the disk, and
 * nothing may be added to the files. So this function drops the cache and reads from the disk what
 * was answered as stored. It checks this data, writes it to a new file, syncs that, and replaces
 * the old file. It does not repeat a failed sync.
 *
 * What was answered is the file with the first log_frames frames of its log. The failed transaction
 * is not part of it. A crash in between loses nothing: see the implementation.
 *
 * Return: 0: q is open, and holds what was answered. A negative errno: q is closed, and the caller
 * may try again. ret_why: set on failure, as in sqlite_open().
 */
int sqlite_recover(struct sqlite *q, char **ret_why);
