/* SPDX-License-Identifier: MIT */
/* Receipts: what clients were answered to their puts. timerd.commit() writes them. */
#pragma once

#include <libpq-fe.h>

#include "postgres.h"

/* Queues statements behind a commit that bound the receipts of its users. Return: whether they
 * could be queued. */
bool pg_receipts_bound(struct store_postgres *s, const struct store_commit *commit, PGconn *c);
