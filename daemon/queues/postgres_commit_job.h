/* SPDX-License-Identifier: MIT */
/* A commit under way: what postgres_commit.c sends, and postgres_commit_result.c reads. */
#pragma once

#include "postgres.h"

struct used_queue {
	struct pg_queue *queue;
	uint64_t term, limit_timers, limit_bytes, puts, put_bytes;
	bool others; /* another host owns it */
};

struct commit_job {
	struct pg_job job;
	struct store_postgres *s;
	struct store_commit *commit;
	unsigned int tries;
	bool answered; /* the statement's rows were read */
	bool careful;  /* leaves out queues of which another session has locked something */
	bool is_again; /* it is sent again because of a lock */
	bool expires;
	struct used_queue *queues;
	size_t queue_count;
	struct store_change **changes; /* by number - 1 */
	size_t count;
};
