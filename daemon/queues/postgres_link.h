/* SPDX-License-Identifier: MIT */
/*
 * One connection to PostgreSQL that never blocks, and the jobs that travel over it.
 *
 * A job is one transaction: settings for this transaction, its statements, and a Sync. Jobs are
 * sent one after another without waiting for results (libpq's pipeline mode), and end in that
 * order. On each new connection the queries of postgres_schema.h come first, and a database that
 * does not fit is not used. Nothing depends on the state of a database session, so a connection may
 * go through a pooler of transactions.
 *
 * After a connection breaks, the link connects again at once, and then after spans that double. The
 * spans have jitter, so that the hosts of a fleet do not all connect at the same time. Jobs wait
 * two seconds for the connection. After that the database counts as away, and jobs are refused
 * until it is back.
 */
#pragma once

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "postgres_schema.h"

/* Errors with which a job ends. */
#define PG_AWAY	   (-ENOTCONN)	  /* it was not sent */
#define PG_UNKNOWN (-EINPROGRESS) /* it was sent, and the connection broke before the answer */
#define PG_LOCKED  (-EDEADLK)	  /* it waited too long for a lock: no effect */
#define PG_AGAIN   (-EAGAIN)	  /* it failed because of a concurrent transaction: no effect */

struct pg_job {
	struct pg_job *next;
	/* Queues the statements. Return: whether that succeeded. */
	bool (*send)(struct pg_job *job, PGconn *c);
	/* Takes the rows of one statement. The first statement has the number 0. */
	void (*result)(struct pg_job *job, unsigned int statement, const PGresult *r);
	/* The job has ended. The callee frees it. */
	void (*end)(struct pg_job *job, int error);
	unsigned int results;
	bool sets_itself; /* its only statement contains pg_link::settings */
	int error;
	/* CLOCK_BOOTTIME. awaited: when the last job before this one ended. */
	uint64_t sent, awaited;
};

struct pg_jobs {
	struct pg_job *first, *last;
};

enum pg_link_state {
	PG_LINK_DOWN,	    /* until retry_at */
	PG_LINK_LOOKING_UP, /* the names of the hosts */
	PG_LINK_CONNECTING,
	PG_LINK_GREETING, /* connected: the first queries are under way */
	PG_LINK_READY,
};

struct pg_link {
	const char *uri;
	bool has_names;		/* the URI has host names to look up, or several hosts */
	unsigned int first;	/* the index of the address that the next attempt tries first */
	struct pg_names *names; /* the lookup under way; NULL: there is none */
	int epoll;		/* it watches the socket */
	enum pg_link_state state;
	PGconn *c;
	int fd;
	uint64_t deadline, retry_at;
	uint64_t away_at;      /* if it is not ready by then, it counts as away */
	unsigned int failures; /* failed attempts since it was last ready */
	bool misfit;	       /* the database was reached, and does not fit */
	struct pg_jobs sent, waiting, ended;
	struct pg_greeting greeting;
	bool listens; /* for notifications */
	char settings[512];
	char why[320];
	/* The link became ready, or was lost. */
	void (*changed)(void *userdata, bool ready);
	/* A notification has arrived. NULL: the owner ignores notifications. */
	void (*notified)(void *userdata, const char *payload);
	void *userdata;
};

/* CLOCK_BOOTTIME, microseconds. */
uint64_t pg_now(void);

/* Begins without a connection; pg_link_run() makes one. uri: borrowed. epoll: a descriptor that
 * stays open as long as the link. The caller then sets the callbacks. */
void pg_link_init(struct pg_link *l, const char *uri, int epoll);
/* Closes the connection, and ends all jobs with PG_UNKNOWN or PG_AWAY. */
void pg_link_close(struct pg_link *l);

/* Gives a job to the link until its end(). Return: 0; PG_AWAY: the database counts as away, and the
 * caller keeps the job. */
int pg_link_submit(struct pg_link *l, struct pg_job *job);

/* Sends waiting data until the socket is full. Reads nothing, and calls only changed(). */
void pg_link_send(struct pg_link *l);
/* Connects, sends and receives as far as possible without blocking. Ended jobs wait for
 * pg_link_hand_out(). */
void pg_link_run(struct pg_link *l);
/* Calls end() of the jobs that have ended, in order. end() may submit other jobs. */
void pg_link_hand_out(struct pg_link *l);
/* Closes the connection: jobs that were sent end with PG_UNKNOWN, and pg_link_run() connects again
 * later. l->why gets the first line of `why`. */
void pg_link_break(struct pg_link *l, const char *why);

/* How long a job may take, microseconds. Then the connection is given up. */
uint64_t pg_link_patience(const struct pg_link *l);

/* The latest time for the next pg_link_run(), even if the socket is not ready: CLOCK_BOOTTIME,
 * microseconds; 0: now. O(1). */
uint64_t pg_link_next(const struct pg_link *l);

/* Whether the database counts as away: jobs no longer wait for it. */
bool pg_link_is_away(const struct pg_link *l);
