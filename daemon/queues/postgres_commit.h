/* SPDX-License-Identifier: MIT */
/* Commits on PostgreSQL: one transaction for all changes that timerqd has gathered. */
#pragma once

#include "postgres.h"

int pg_commit(struct store *store, struct store_commit *commit);
