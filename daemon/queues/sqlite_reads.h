/* SPDX-License-Identifier: MIT */
/*
 * Jobs: work that timerqd's loop gives to the store's thread. This file runs the jobs that only
 * read.
 *
 * The loop owns a job until it queues it. Then the thread owns it until it adds it to the finished
 * jobs, and from then on the loop.
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
	struct store_timer *timers; /* `data` has their keys and payloads */
	struct store_queue *queues;
	uint8_t *data; /* find_puts: for each put a struct sqlite_put_head and its answers */
	size_t n, data_size, data_room;
	struct store_beyond beyond;
	uint64_t removed, bytes; /* by a purge */
	bool more;
};

/* An answered put in job::data. */
struct sqlite_put_head {
	uint64_t serial, n;
};

/* A job of that type; all else is zero. NULL: no memory. */
struct job *job_new(enum job_type type);
/* Frees a job and its results. */
void job_free(struct job *job);

/* Runs a read and puts what it finds into the job's results. The store's thread calls it.
 * Return: an SQLite result code. O(log n) for each row that it reads. */
int sqlite_read(struct sqlite *q, struct job *job);
