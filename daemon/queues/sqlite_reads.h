/* SPDX-License-Identifier: MIT */
/*
 * Jobs: what timerqd's loop asks of the store's thread. This file runs those jobs that only read.
 *
 * A job belongs to the loop until it is queued, then to the thread, and to the loop again once the
 * thread has put it among the finished ones.
 */
#pragma once

#include "sqlite.h"

enum job_type {
	JOB_COMMIT,
	JOB_LOAD,
	JOB_LIST,
	JOB_QUEUES,
	JOB_FIND_PUTS,
	JOB_PURGE,
};

struct job {
	enum job_type type;
	struct job *next;
	struct store_commit *commit;
	struct store_reader *reader;
	uint8_t token[STORE_TOKEN_SIZE];
	uint32_t queue, clock, uid;
	bool parked;
	struct store_position after;
	uint64_t until, now[PROTO_CLOCKS];
	size_t most;
	/* Results. */
	int error;
	struct store_timer *timers; /* their keys and payloads lie in `data` */
	struct store_queue *queues;
	uint8_t *data; /* find_puts: of each put struct sqlite_put_head and its answers */
	size_t n, data_size, data_room;
	struct store_behind behind;
	uint64_t removed, bytes; /* by a purge */
	bool more;
};

/* An answered put in job::data. */
struct sqlite_put_head {
	uint64_t serial, n;
};

/* A job that is zero but for its type. NULL: no memory. */
struct job *job_new(enum job_type type);
/* Frees a job and its results. */
void job_free(struct job *job);

/* Runs a read and puts what it finds into the job's results. It is called on the store's thread.
 * Return: an SQLite result code. O(log n) for each row that it reads. */
int sqlite_read(struct sqlite *q, struct job *job);
