/* SPDX-License-Identifier: MIT */
/*
 * The state of the PostgreSQL store, for the store's files only. See A FLEET in timerqd(8).
 *
 *   store_postgres      the operations, one descriptor for all events, the end
 *   postgres_commit     one transaction: changes as arrays, and their results
 *   postgres_order      whether the order of a commit's changes matters
 *   postgres_reads      load, list, queues, puts, purge
 *   postgres_leases     rounds of leases, and the database's clock
 *   postgres_hints      hints between hosts, so that a host finds a change sooner
 *   postgres_evict      ends transactions that halted hosts have left open
 *   postgres_timer      when the store has work although no data arrives
 *   postgres_link       a connection and its jobs
 *   postgres_names      addresses of the database's hosts
 *   postgres_queues     names and numbers
 *   postgres_receipts   receipts: stored answers to puts, and their bound
 *   postgres_schema     the tables and functions, and their versions
 *   postgres_values     parameters and results in their binary form
 *
 * There are two connections. Commits and reads travel over one of them, in order, so that a read
 * sees exactly the commits that were answered before it. Rounds travel over the other one, so that
 * a long transaction cannot delay the renewal of a lease.
 */
#pragma once

#include "postgres_link.h"
#include "postgres_queues.h"
#include "postgres_values.h"
#include "store.h"

/* Each host adds to one of this many rows of counts: see the table timerd.counts. */
#define PG_SLOTS 16

/* A host sends hints for at most PG_HINTS queues within PG_HINT_US microseconds. The owners of
 * other queues find the changes when they poll. The payload of a hint is UID/NAME. */
#define PG_HINTS     16
#define PG_HINT_US   UINT64_C(100000)
#define PG_HINT_SIZE (PROTO_QUEUE_NAME_MAX + 12)

/* The payload that says that leases were released. */
#define PG_HINT_RELEASED "released"

struct pg_hints {
	char names[PG_HINTS][PG_HINT_SIZE];
	size_t n;
	bool released; /* leases; this is hinted at, too */
	bool failed;   /* the last hints could not be sent, and this was logged */
	size_t under_way;
	uint64_t sent; /* time of the last hints, CLOCK_BOOTTIME */
};

struct pg_clock {
	bool known;
	int64_t least;	      /* lower bound of the database's clock - CLOCK_BOOTTIME */
	uint64_t uncertainty; /* the upper bound is this much greater */
	uint64_t measured;    /* time of the measurement, CLOCK_BOOTTIME */
	int64_t host_off;
};

struct store_postgres {
	struct store base;
	int epoll, timer;
	uint64_t armed; /* the instant to which the timer is set */
	struct pg_link data, control;
	struct pg_queues queues;
	struct leases leases;
	struct store_watcher watcher;
	void (*log_line)(
		void *userdata, const char *line); /* to the log; NULL: there is none yet */
	void *log_userdata;
	struct pg_clock clock;
	char owner[64]; /* this host: a boot id and a random number */
	char host[64];	/* its name, for people */
	int32_t slot;
	struct pg_hints hints;
	uint64_t polled;      /* when the last round began */
	uint64_t poll_at;     /* the next round at the latest */
	uint64_t round_again; /* after a failed round: no round before this */
	uint64_t logged_hold; /* the hold that was logged: leases::hold_until */
	bool round_under_way;
	uint64_t evict_again; /* no pg_evict_soon() before this */
	bool evicting;
	bool logged_failure; /* of the last round */
	bool committing;
	uint64_t commits;	/* the number of the commit, for pg_queue::mark */
	uint64_t puts_expired;	/* when old receipts were last deleted, by the commit's clock */
	uint64_t usage_read;	/* when the users' usage was last read */
	bool usage_asked;	/* somebody has asked for the usage since then */
	enum store_state state; /* after the last commit */
	char why[320];
	char state_text[640]; /* that state() has returned */
	char *uri;
};

/* The store that an operation is called with. */
static inline struct store_postgres *pg_store_of(const struct store *s)
{
	return (struct store_postgres *)(uintptr_t)s;
}

/* A token begins with its user. */
static inline int64_t pg_uid_of(const uint8_t token[static STORE_TOKEN_SIZE])
{
	return (int64_t)token[0] | (int64_t)token[1] << 8 | (int64_t)token[2] << 16 |
		(int64_t)token[3] << 24;
}

/* How long a round, a purge, or the first attempt of a commit waits for a lock, milliseconds. It is
 * short, because the statement holds the locks of other queues while it waits. */
static inline unsigned long long pg_lock_ms(const struct store_postgres *s)
{
	return s->leases.config.length / 32000 + 1;
}

/* The term under which this host may change wakes of the queue; 0: it may not. */
static inline uint64_t pg_term_of(const struct pg_queue *queue)
{
	bool has = queue->lease.state == LEASE_HELD || queue->lease.state == LEASE_RELEASING;

	return has ? queue->lease.term : 0;
}
