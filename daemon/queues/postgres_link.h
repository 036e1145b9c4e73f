/* SPDX-License-Identifier: MIT */
/*
 * One connection to PostgreSQL that never blocks, and the jobs that travel over it.
 *
 * A job is one transaction: settings that end with it, its statements, and a Sync. Jobs are sent
 * one behind the other without waiting (libpq's pipeline mode), and end in that order. Each new
 * connection begins with the questions of postgres_schema.h: a database that does not fit is not
 * used. Nothing relies on what a session keeps, so a pooler of transactions may stand in between.
 *
 * A connection that breaks is made again at once, then after spans that double, with jitter, so
 * that a fleet does not come back all at once. Jobs wait two seconds for it. From then on the
 * database is known to be away, and jobs are refused until it is back.
 */
#pragma once

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "postgres_schema.h"

/* How a job ended, beside 0. */
#define PG_AWAY	   (-ENOTCONN)	  /* it was not sent */
#define PG_UNKNOWN (-EINPROGRESS) /* it was sent, and the connection broke before the answer */
#define PG_AGAIN   (-EAGAIN)	  /* it met another transaction: nothing of it stands */

struct pg_job {
	struct pg_job *next;
	/* Queues the statements. Return: whether they could be. */
	bool (*send)(struct pg_job *job, PGconn *c);
	/* The rows of one of the statements, the first of which has number 0. */
	void (*result)(struct pg_job *job, unsigned int statement, const PGresult *r);
	/* It has ended, and the callee frees it. */
	void (*end)(struct pg_job *job, int error);
	unsigned int results;
	bool sets_itself; /* its one statement holds the settings: pg_link::settings */
	int error;
	/* CLOCK_BOOTTIME. awaited: since when no job before it is under way. */
	uint64_t sent, awaited;
};

struct pg_jobs {
	struct pg_job *first, *last;
};

enum pg_link_state {
	PG_LINK_DOWN,	    /* until retry_at */
	PG_LINK_LOOKING_UP, /* the names of the hosts */
	PG_LINK_CONNECTING,
	PG_LINK_GREETING, /* connected: it is asked whether it fits */
	PG_LINK_READY,
};

struct pg_link {
	const char *uri;
	bool has_names;		/* of hosts that are to be looked up, or several hosts */
	unsigned int first;	/* which of the addresses the next attempt begins with */
	struct pg_names *names; /* a lookup; NULL: there is none */
	int epoll;		/* that watches the socket */
	enum pg_link_state state;
	PGconn *c;
	int fd;
	uint64_t deadline, retry_at;
	uint64_t away_at;      /* from then on it is away, if it is not ready */
	unsigned int failures; /* attempts since it was ready last */
	bool misfit;	       /* the database was reached, and does not fit */
	struct pg_jobs sent, waiting, ended;
	struct pg_greeting greeting;
	bool listens; /* for notifications */
	char settings[512];
	char why[320];
	/* It became ready; it was lost. */
	void (*changed)(void *userdata, bool ready);
	/* NULL: of no interest. */
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

/* The job belongs to the link until its end(). Return: 0; PG_AWAY: the database is known to be
 * away, and the job is still the caller's. */
int pg_link_submit(struct pg_link *l, struct pg_job *job);

/* Sends what waits, as far as the socket takes it. Reads nothing, and calls nobody but
 * changed(). */
void pg_link_send(struct pg_link *l);
/* Connects, sends and receives as far as it goes without waiting. It calls no end(): ended jobs
 * wait for pg_link_hand_out(). */
void pg_link_run(struct pg_link *l);
/* Calls end() of the jobs that have ended, in order. A job may submit others meanwhile. */
void pg_link_hand_out(struct pg_link *l);
/* Gives the connection up: jobs that were sent end with PG_UNKNOWN, and pg_link_run() connects
 * again when it is time. The first line of `why` goes to l->why. */
void pg_link_break(struct pg_link *l, const char *why);

/* When pg_link_run() is to be called though the socket is silent: CLOCK_BOOTTIME, microseconds;
 * 0: now. O(1). */
uint64_t pg_link_next(const struct pg_link *l);

/* Whether the database has been silent for so long that nothing waits for it any more. */
bool pg_link_is_away(const struct pg_link *l);
