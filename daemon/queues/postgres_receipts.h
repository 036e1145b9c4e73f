/* SPDX-License-Identifier: MIT */
/* Receipts: the stored answers to clients' puts. timerd.commit() writes them. */
#pragma once

#include <libpq-fe.h>

#include "postgres.h"

/* Queues statements after a commit that delete the oldest receipts of users who have too many.
 * Return: whether that succeeded. */
bool pg_receipts_bound(struct store_postgres *s, const struct store_commit *commit, PGconn *c);
