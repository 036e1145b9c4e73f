/* SPDX-License-Identifier: MIT */
/* Commits on PostgreSQL: one transaction for all changes that timerqd has gathered. */
#pragma once

#include "postgres.h"

/* As store_ops::commit(): sends the commit and returns. process() calls done() later. A transaction
 * that fails because of a concurrent one is tried again. Return: 0; -EBUSY: a commit is under way;
 * -ENOMEM; PG_AWAY: the database is known to be away. O(changes). */
int pg_commit(struct store *store, struct store_commit *commit);
