/* SPDX-License-Identifier: MIT */
/* The rows of the store in memory, and what changes do to them: for store_memory.c alone. */
#pragma once

#include "store_memory.h"

struct store_memory_put {
	struct store_memory_put *next;
	uint8_t token[STORE_TOKEN_SIZE];
	uint64_t serial;
	size_t n;
	struct proto_queue_stored answers[];
};

/* Ends the program where p is NULL: there is no memory. Return: p. */
void *store_memory_checked(void *p);

/* Applies all changes of a commit, and keeps its puts and clocks. Return: for its done(). */
int store_memory_commit(struct store_memory *m, struct store_commit *commit);

/* Forgets a row. The last row takes its place. */
void store_memory_remove(struct store_memory *m, struct store_memory_row *row);

/* What a user's queues hold. uid PROTO_QUEUE_OWN: everybody's. */
void store_memory_usage(const struct store_memory *m, uint32_t uid, struct store_usage *ret);
