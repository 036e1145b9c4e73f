/* SPDX-License-Identifier: MIT */
#pragma once

#include "disk.h"

/* The disk that holds the store under test, and the store's tuning. */
extern struct disk disk;
extern const struct sqlite_tuning tuning;
