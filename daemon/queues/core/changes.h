/* SPDX-License-Identifier: MIT */
/* The changes for the next commit. */
#pragma once

#include "state.h"

/* Appends a change. commits.c owns it; the caller fills it in before it returns to the shell.
 * Return: NULL: no memory. O(1). */
struct change *changes_add(struct broker *b, enum store_change_type type);
