/* SPDX-License-Identifier: MIT */
/*
 * What the store's thread is asked for, and the reads among it.
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

struct job *job_new(enum job_type type);
void job_free(struct job *job);

/* Runs a read, on the thread. Return: an SQLite result code. */
int sqlite_read(struct sqlite *q, struct job *job);
