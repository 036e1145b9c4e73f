/* SPDX-License-Identifier: MIT */
/*
 * Changes that the store has left out, because another session of the database has locked what
 * they change. They wait aside, and with them all later changes of the same queues. So the changes
 * of a queue stay in order, and other queues do not wait.
 */
#pragma once

#include "state.h"

/* Takes the changes that the store has left out off a transaction's list. A client's change that
 * has waited too long stays in the list, and the caller refuses it. A change of a wake waits
 * without limit. Return: the list. */
struct change *locked_keep(struct broker *b, struct change *list);

/* Call it before each transaction. If it is time to try again, puts the changes that wait aside
 * before all others in broker::first. Otherwise takes later changes of their queues off
 * broker::first. O(changes) while a change waits, else O(1). */
void locked_sift(struct broker *b);
