/* SPDX-License-Identifier: MIT */
/*
 * The queues that the store knows, and what each queue and each user holds.
 *
 * All of it is in memory, so that a limit and a listing cost no read of the file. The store's
 * thread changes the counts, with each transaction. Other threads read them: the lock guards that.
 */
#pragma once

#include <pthread.h>

#include "store.h"

/* What a queue or a user holds. */
struct sqlite_counts {
	int64_t timers, parked, bytes;
};

struct sqlite_user {
	uint32_t uid;
	struct sqlite_counts holds;	/* as of the last commit */
	struct sqlite_counts more;	/* by the transaction under way; the thread's alone */
	uint64_t queues;		/* that hold something */
	uint64_t receipts, receipts_of; /* bytes, and sqlite::puts_life then; the thread's alone */
};

struct sqlite_queue {
	uint32_t number, uid;
	char name[PROTO_QUEUE_NAME_MAX + 1];
	struct sqlite_user *user;
	uint32_t references;		   /* of what the loop may still ask */
	struct sqlite_counts holds, more;  /* as of the user */
	bool touched;			   /* it is in sqlite_queues::touched */
	struct sqlite_queue *touched_next; /* sqlite_queues::touched */
};

struct sqlite_queues {
	pthread_mutex_t lock;
	struct sqlite_queue **at; /* by number - 1; NULL: no such number */
	size_t room;
	uint32_t last;		      /* the greatest number that was given */
	uint32_t vacant, vacant_from; /* how many below it are free; where to look for one */
	void *by_name, *by_uid;	      /* tsearch(3) */
	struct sqlite_user all;	      /* of everybody */
	struct sqlite_queue *touched; /* by the transaction under way; the thread's alone */
};

/* Begins with no queue. */
void sqlite_queues_init(struct sqlite_queues *q);
/* Frees everything in q. The store's thread has ended. */
void sqlite_queues_free(struct sqlite_queues *q);

/*
 * The functions from here to sqlite_queues_list() take the lock, and any thread may call them.
 */

/* Enters a queue that has a row, at a start. -ENOMEM; -EBADMSG: the number or the name is used
 * already. */
int sqlite_queues_add(struct sqlite_queues *q, uint32_t number, uint32_t uid, const char *name,
	const struct sqlite_counts *holds);
/* The number of (uid, name), a new one if need be, with a reference. -ENOMEM. */
int sqlite_queues_open(
	struct sqlite_queues *q, uint32_t uid, const char *name, uint32_t *ret_number);
/* One more reference to a queue that has one. */
void sqlite_queues_ref(struct sqlite_queues *q, uint32_t number);
/* Gives a reference back. A queue without references that holds nothing is forgotten, and its
 * number may go to another queue. */
void sqlite_queues_unref(struct sqlite_queues *q, uint32_t number);
/* The queue of that number; NULL: there is none. It stays while it has a reference or a row. */
struct sqlite_queue *sqlite_queues_get(struct sqlite_queues *q, uint32_t number);
/* A user, a new one if need be. It stays as long as q does. NULL: no memory. */
struct sqlite_user *sqlite_queues_user(struct sqlite_queues *q, uint32_t uid);
/* What a user holds as of the last commit. uid PROTO_QUEUE_OWN: what everybody holds. O(1). */
void sqlite_queues_usage(struct sqlite_queues *q, uint32_t uid, struct store_usage *ret);
/* Lists a user's queues (PROTO_QUEUE_OWN: everybody's) whose numbers are above `after`, by number.
 * ret: room for `most`; due, first and the lease are 0. *ret_more: whether others follow. Return:
 * how many. O(all queues). */
size_t sqlite_queues_list(struct sqlite_queues *q, uint32_t uid, uint32_t after,
	struct store_queue *ret, size_t most, bool *ret_more);

/* The store's thread alone calls these two. */

/* The transaction under way adds to what a queue holds. */
void sqlite_queues_touch(
	struct sqlite_queues *q, struct sqlite_queue *queue, const struct sqlite_counts *more);
/* The transaction has ended: what it added counts from now on, or is forgotten. */
void sqlite_queues_end(struct sqlite_queues *q, bool committed);
