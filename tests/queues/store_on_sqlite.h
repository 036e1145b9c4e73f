/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the SQLite store set before they open it.
 */
#pragma once

#include "disk.h"

/* The disk that holds the store under test, and the store's tuning. */
extern struct disk disk;
extern const struct sqlite_tuning tuning;
