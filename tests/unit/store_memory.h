/* SPDX-License-Identifier: MIT */
/*
 * A store in memory behind store_ops, for tests of the broker. Work waits in one list, in order;
 * process() does all of it, store_memory_step() the first piece. A crash does some of what waits
 * and answers nothing: what was committed stays, as on a disk.
 */
#pragma once

#include "store.h"

#define STORE_MEMORY_KEY  PROTO_QUEUE_KEY_MAX
#define STORE_MEMORY_DATA 64 /* of a payload, so much is kept */

struct store_memory_row {
	struct store_timer t; /* key and payload point to the row */
	char key[STORE_MEMORY_KEY];
	uint8_t payload[STORE_MEMORY_DATA];
};

struct store_memory_job;
struct store_memory_put;

struct store_memory_queue {
	uint32_t uid, references;
	char name[PROTO_QUEUE_NAME_MAX + 1];
};

struct store_memory {
	struct store base;
	enum store_state state;
	int commit_error; /* that commits meet, until it is 0 */
	int read_error;	  /* likewise */
	uint32_t locked;  /* a queue of which another session has locked something; 0: none */
	bool deletions;	  /* a commit that only deletes succeeds all the same */
	struct store_memory_row *rows;
	size_t count, room;
	struct store_memory_queue *queues; /* by number - 1 */
	uint32_t queue_count;
	uint64_t next_id;
	struct store_memory_job *first, *last;
	struct store_memory_put *puts;
	struct clocks_stored clocks;
	uint64_t commits;
	/* Sees each change of a row, as it was, before it happens. NULL: nobody. */
	void (*watch)(void *userdata, const struct store_change *c, const struct store_timer *was);
	/* Sees each row that a put makes. NULL: nobody. */
	void (*stored)(void *userdata, const struct store_timer *t);
	void *userdata;
};

void store_memory_init(struct store_memory *m);
void store_memory_free(struct store_memory *m);

/* Forgets all rows, behind everybody's back. */
void store_memory_clear(struct store_memory *m);

/* Does the first piece of work that waits. Return: whether there was one. */
bool store_memory_step(struct store_memory *m);

/* The first n pieces of what waits are done, nothing is answered, the rest is forgotten. */
void store_memory_crash(struct store_memory *m, size_t n);

/* The waiting row of that id; NULL: there is none. */
const struct store_timer *store_memory_find(const struct store_memory *m, uint64_t id);
