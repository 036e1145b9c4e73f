/* SPDX-License-Identifier: MIT */
/*
 * Changes that the store has left out, because another session of the database has locked what
 * they change. They wait aside, and with them all later changes of the same queues. So the changes
 * of a queue stay in order, and other queues do not wait.
 */
#pragma once

#include "state.h"

/* Takes the changes that the store has left out off a transaction's list. Changes that have waited
 * too long, and are no changes of wakes, stay in the list: the caller refuses them. Return: the
 * list. */
struct change *locked_keep(struct broker *b, struct change *list);

/* Before each transaction: lets the changes that wait aside go first if it is time to try again.
 * Otherwise takes later changes of their queues off broker::first. O(changes) while one waits. */
void locked_sift(struct broker *b);
