/* SPDX-License-Identifier: MIT */
/* The row that timerd.commit() returns: what became of each change, queue and user. */
#pragma once

#include "postgres_commit_job.h"

/* Reads the row into the changes of a commit, and into what this host remembers of its queues and
 * users. Return: whether it is such a row. O(changes). */
bool pg_commit_read(struct commit_job *j, const PGresult *r);

/* Writes the answers of clients from the changes. O(changes). */
void pg_commit_answer(const struct commit_job *j);
