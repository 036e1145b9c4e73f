/* SPDX-License-Identifier: MIT */
/*
 * The queues and users that this process has heard of. A queue has a number of its own here,
 * because naming one needs no I/O; the database is asked by (uid, name).
 */
#pragma once

#include "core/lease.h"
#include "store.h"

struct pg_queue {
	uint32_t number, uid;
	char name[PROTO_QUEUE_NAME_MAX + 1];
	uint64_t references;
	int32_t row; /* its number in the database; 0: not known, -1: there is one */
	struct lease lease;
	uint64_t said_term; /* under which it is served, as the log says; 0: it is not */
	bool said_standby;  /* the log says that another host serves it */
	int64_t changes;    /* through other hosts, as the last round said */
	bool has_changes;   /* that is known */
	uint64_t mark;	    /* of the commit in which it has an index */
	uint32_t index;	    /* there, from 1 */
};

struct pg_user {
	uint32_t uid;
	struct store_usage holds;
	uint64_t receipts; /* bytes that were written since their number was looked at */
	bool receipts_seen;
};

struct pg_queues {
	struct pg_queue **at; /* by number - 1 */
	uint32_t count, room; /* some below count may be free: NULL */
	uint32_t free_count;
	struct pg_user **users;
	size_t user_count, user_room;
	void *by_name, *by_uid; /* trees of tsearch(3) */
};

/* Frees everything in q, which may be zero. */
void pg_queues_free(struct pg_queues *q);
/* The queue of that name; NULL: there is none. */
struct pg_queue *pg_queues_find(struct pg_queues *q, uint32_t uid, const char *name);
/* The queue of that name, or a new one. NULL: no memory. */
struct pg_queue *pg_queues_open(struct pg_queues *q, uint32_t uid, const char *name);
/* One reference less. A name that the database has not heard of is forgotten with its last one. */
void pg_queues_unref(struct pg_queues *q, struct pg_queue *queue);
/* The queue of that number; NULL: there is none. O(1). */
struct pg_queue *pg_queues_get(const struct pg_queues *q, uint32_t number);
/* The user, or a new one. NULL: no memory. */
struct pg_user *pg_queues_user(struct pg_queues *q, uint32_t uid);
/* What a user holds, as pg_read_usage() found it last. uid PROTO_QUEUE_OWN: what everybody holds:
 * O(users). */
void pg_queues_usage(const struct pg_queues *q, uint32_t uid, struct store_usage *ret);
