/* SPDX-License-Identifier: MIT */
/* Changes of the store that are gathered for the next commit. */
#pragma once

#include "state.h"

/* Appends a change. The caller fills it in before it returns to the shell; commits.c owns it.
 * Return: NULL: no memory. O(1). */
struct change *changes_add(struct broker *b, enum store_change_type type);
