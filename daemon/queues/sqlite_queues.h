/* SPDX-License-Identifier: MIT */
/*
 * The queues that the store knows, and the counts of each queue and each user.
 *
 * All of this is in memory, so that a limit or a listing reads nothing from the file. The store's
 * thread changes the counts with each transaction, and other threads read them: the lock guards
 * them.
 */
#pragma once

#include <pthread.h>

#include "store.h"

/* How much a queue or a user holds. */
struct sqlite_counts {
	int64_t timers, parked, bytes;
};

struct sqlite_user {
	uint32_t uid;
	struct sqlite_counts holds; /* as of the last commit */
	struct sqlite_counts added; /* by the transaction under way; for the store's thread only */
	uint64_t queues;	    /* number of queues that are not empty */
	uint64_t receipts,
		receipts_of; /* bytes, and sqlite::puts_life when they were counted; for the
					 * store's thread only */
};

struct sqlite_queue {
	uint32_t number, uid;
	char name[PROTO_QUEUE_NAME_MAX + 1];
	struct sqlite_user *user;
	uint32_t references;		   /* the loop may still ask for it */
	struct sqlite_counts holds, added; /* as in sqlite_user */
	bool touched;			   /* it is in sqlite_queues::touched */
	struct sqlite_queue *touched_next; /* sqlite_queues::touched */
};

struct sqlite_queues {
	pthread_mutex_t lock;
	struct sqlite_queue **at; /* by number - 1; NULL: no such number */
	size_t room;
	uint32_t last; /* the greatest number in use so far */
	uint32_t vacant,
		vacant_from; /* how many numbers up to `last` are free; where to search for one */
	void *by_name, *by_uid; /* tsearch(3) */
	struct sqlite_user all; /* of all users */
	struct sqlite_queue
		*touched; /* by the transaction under way; for the store's thread only */
};

/* Begins with no queue. */
void sqlite_queues_init(struct sqlite_queues *q);
/* Frees everything in q. The store's thread has ended. */
void sqlite_queues_free(struct sqlite_queues *q);

/*
 * The functions from here to sqlite_queues_list() take the lock, and any thread may call them.
 */

/* Adds a queue that has a row, when the store starts. -ENOMEM; -EBADMSG: the number or the name is
 * used already. */
int sqlite_queues_add(struct sqlite_queues *q, uint32_t number, uint32_t uid, const char *name,
	const struct sqlite_counts *holds);
/* The number of (uid, name), with a reference. It makes a new queue if there is none. -ENOMEM. */
int sqlite_queues_open(
	struct sqlite_queues *q, uint32_t uid, const char *name, uint32_t *ret_number);
/* One more reference to a queue that has one. */
void sqlite_queues_ref(struct sqlite_queues *q, uint32_t number);
/* Drops a reference. An empty queue without references is removed, and its number may be used for
 * another queue. */
void sqlite_queues_unref(struct sqlite_queues *q, uint32_t number);
/* The queue of that number; NULL: there is none. It stays while it has a reference or a row. */
struct sqlite_queue *sqlite_queues_get(struct sqlite_queues *q, uint32_t number);
/* The user of that uid, or a new one. It is valid as long as q. NULL: no memory. */
struct sqlite_user *sqlite_queues_user(struct sqlite_queues *q, uint32_t uid);
/* The usage of a user as of the last commit. uid PROTO_QUEUE_OWN: of all users. O(1). */
void sqlite_queues_usage(struct sqlite_queues *q, uint32_t uid, struct store_usage *ret);
/* Lists a user's queues (PROTO_QUEUE_OWN: those of all users) whose numbers are above `after`, by
 * number. ret: room for `most`; due, first and the lease are 0. *ret_more: whether others follow.
 * Return: how many. O(all queues). */
size_t sqlite_queues_list(struct sqlite_queues *q, uint32_t uid, uint32_t after,
	struct store_queue *ret, size_t most, bool *ret_more);

/* Only the store's thread calls these two. */

/* The transaction under way adds `more` to the counts of a queue. */
void sqlite_queues_touch(
	struct sqlite_queues *q, struct sqlite_queue *queue, const struct sqlite_counts *more);
/* The transaction has ended: applies what it added, or drops it after a rollback. */
void sqlite_queues_end(struct sqlite_queues *q, bool committed);
