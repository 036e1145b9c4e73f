/* SPDX-License-Identifier: MIT */
/*
 * The queues and users that this process knows. A queue gets a number in this process, so that
 * opening it needs no I/O. In the database, a queue is identified by (uid, name).
 */
#pragma once

#include "core/lease.h"
#include "store.h"

struct pg_queue {
	uint32_t number, uid;
	char name[PROTO_QUEUE_NAME_MAX + 1];
	uint64_t references;
	int32_t row; /* its number in the database; 0: not known; -1: it has an unknown one */
	struct lease lease;
	uint64_t logged_term; /* the log says that this host serves it under this term; 0: no */
	bool logged_standby;  /* the log says that another host serves it */
	bool logged_locked;   /* the log says that its lease cannot be renewed */
	int64_t changes;      /* by other hosts, as counted in the last round */
	bool has_changes;     /* `changes` is known */
	uint64_t mark;	      /* the commit for which `index` is valid */
	uint32_t index;	      /* in the arrays of that commit, from 1 */
};

struct pg_user {
	uint32_t uid;
	struct store_usage holds;
	uint64_t receipts; /* bytes written since their sum was last read */
	bool receipts_seen;
};

struct pg_queues {
	struct pg_queue **at; /* by number - 1 */
	uint32_t count, room; /* entries below count may be free: NULL */
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
/* Drops one reference. With the last one, a name that is not in the database is forgotten. */
void pg_queues_unref(struct pg_queues *q, struct pg_queue *queue);
/* The queue of that number; NULL: there is none. O(1). */
struct pg_queue *pg_queues_get(const struct pg_queues *q, uint32_t number);
/* The user, or a new one. NULL: no memory. */
struct pg_user *pg_queues_user(struct pg_queues *q, uint32_t uid);
/* The usage of a user, as last read by pg_read_usage(). uid PROTO_QUEUE_OWN: of all users,
 * O(users).
 */
void pg_queues_usage(const struct pg_queues *q, uint32_t uid, struct store_usage *ret);
