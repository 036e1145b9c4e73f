/* SPDX-License-Identifier: MIT */
/*
 * Reads and purges on PostgreSQL. The functions are operations of struct store_ops (store.h), which
 * says what each one does.
 */
#pragma once

#include "postgres.h"

/* As the operations find_puts(), load(), list(), queues() and purge(). Each sends one statement. A
 * read whose connection breaks is sent again; a purge is not. O(n). */
int pg_find_puts(struct store *store, const uint8_t *token, struct store_reader *r);
int pg_load(struct store *store, uint32_t queue, const struct store_position *after, uint64_t until,
	size_t n, struct store_reader *r);
int pg_list(struct store *store, uint32_t queue, bool parked, const struct store_position *after,
	size_t n, struct store_reader *r);
int pg_list_queues(struct store *store, uint32_t uid, uint32_t after, size_t n,
	const uint64_t now[static PROTO_CLOCKS], struct store_reader *r);
int pg_purge(struct store *store, uint32_t queue, bool parked, size_t n, struct store_reader *r);

/* Begins to read the usage of all users, for pg_queues_usage(). Does nothing if the database is
 * away or there is no memory. */
void pg_read_usage(struct store_postgres *s);
