/* SPDX-License-Identifier: MIT */
/* How the store goes on after a write or a sync has failed. */
#pragma once

#include "sqlite.h"

/*
 * Goes on after a write or a sync has failed. What the kernel's cache says about the files is not
 * to be believed then, and nothing may be added to them. So the cache is dropped, and what was
 * answered as stored is read from the disk, checked, written to a new file and synced, which takes
 * the place of the old one. No sync is tried again.
 *
 * What was answered is the file with the first log_frames frames of its log. The transaction that
 * failed is not part of it. A crash on the way loses nothing: see the implementation.
 *
 * Return: 0: q is open, and holds what was answered. A negative errno: q is closed, and another
 * call may follow. ret_why: as in sqlite_open(), where it fails.
 */
int sqlite_recover(struct sqlite *q, char **ret_why);
