/* SPDX-License-Identifier: MIT */
/* Whether the changes of a commit may be applied in any order, as columns of arrays. */
#pragma once

#include "store.h"

/* Return: whether two changes may name the same timer, so that their order matters. It may also
 * return true for different names with equal hashes, and if there is no memory: that costs only
 * time. O(n log n).
 */
bool pg_order_matters(struct store_change *const *changes, size_t count);
