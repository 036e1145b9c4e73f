/* SPDX-License-Identifier: MIT */
/*
 * The store of durable timers: the interface that the SQLite and the PostgreSQL store implement.
 *
 * The interface is asynchronous. The caller starts an operation; process() hands out its result
 * once the store's descriptor is readable. At most one commit is under way at a time; changes that
 * arrive meanwhile go into the next one. So a thousand clients share one sync, and there is no
 * timer and no window to tune.
 *
 * A commit is a list of changes. The store accepts or refuses each change by itself. Either all
 * accepted changes of a commit are on disk, or none is. Reads see whole commits only.
 *
 * A row is a wake to come: (queue, id, number). `due` is the instant that the client asked for;
 * `ready` is the instant from which the wake may be delivered, which a retry moves. The rows of a
 * queue on one clock are a lane. A lane is delivered in the order of (ready, id). Delivery itself
 * changes nothing in the store.
 *
 * Results are handed out in the order in which they took effect: a read sees the changes of exactly
 * those commits whose done() was called before it is answered.
 *
 * Instants are microseconds of the timer's clock as timerqd counts it: see clocks.h. They are at
 * most INT64_MAX, which SQL can hold; PROTO_FOREVER stands for "none".
 *
 * Not thread-safe: one thread owns a store. An implementation may keep a thread behind it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/clocks.h"
#include "queue.h"

/* A durable timer with its next wake, or one parked wake of it. */
struct store_timer {
	uint64_t id;	/* of the row; at most PROTO_ID_BITS; a store never uses one again */
	uint64_t timer; /* the id that clients know. It differs from id only for a revived wake of a
			 * timer that has further wakes */
	uint64_t due, ready, slack, every, max_late;
	uint32_t queue;	  /* the store's number of it, from 1 */
	uint32_t number;  /* of the wake to come, from 1 */
	uint32_t attempt; /* deliveries of that wake that were counted */
	uint32_t count, max_attempts;
	uint8_t clock, flags; /* PROTO_WAKE_SYSTEM */
	bool parked;
	uint16_t key_size;
	uint32_t payload_size;
	char label[PROTO_LABEL_MAX];
	const char *key;     /* key_size bytes, not terminated */
	const void *payload; /* payload_size bytes; NULL in a listing */
};

/* A queue, as a listing shows it. */
struct store_queue {
	uint32_t number, uid;
	char name[PROTO_QUEUE_NAME_MAX + 1];
	uint64_t timers; /* without parked ones */
	uint64_t due;	 /* of these, ready at the instants in the request */
	uint64_t parked;
	uint64_t bytes;		      /* of keys and payloads, parked ones included */
	uint64_t first[PROTO_CLOCKS]; /* `ready` of each lane's first row; PROTO_FOREVER: none */
	uint64_t next[PROTO_CLOCKS];  /* the same of its first row that is not due */
	uint64_t term;		      /* of the lease; 0: nobody holds one */
	const char *host;	      /* the name of the lease's holder, for people; NULL: none */
};

/* What a user holds. */
struct store_usage {
	uint64_t queues, timers, parked; /* timers: without parked ones */
	uint64_t bytes;
};

enum store_state {
	STORE_OK,
	STORE_FULL,   /* no space: puts are refused, deletions may still go through */
	STORE_FAILED, /* a write or a sync failed: nothing is answered as stored any more */
	STORE_AWAY,   /* the database cannot be reached, or does not take writes now */
};

enum store_change_type {
	STORE_PUT,	  /* a new row; keep: an existing row with that key stays as it is */
	STORE_CANCEL,	  /* by id or key: removes the timer; by id also its parked wakes */
	STORE_RESCHEDULE, /* by id or key: due, slack, every and count. Attempts start at 0, and the
			   * number grows by one, so that no answer to the old wake changes the new
			   * one. Not allowed for a revived wake */
	/* These name a wake by queue, id and number. */
	STORE_REMOVE,  /* acknowledged, and no wake follows */
	STORE_ADVANCE, /* acknowledged: the next wake is number + 1, at due = ready */
	STORE_DELAY,   /* retried, or given back with an attempt: sets ready and attempt */
	STORE_PARK,    /* parked; due is that of the next wake, PROTO_FOREVER: none follows */
	STORE_REVIVE,  /* by id only: its parked wakes are ready at `ready`, attempt 0 */
};

struct store_change {
	enum store_change_type type;
	bool keep;
	bool relative;		  /* reschedule: due is a span from now[the timer's clock] */
	struct store_timer timer; /* key and payload are borrowed until done() */
	uint64_t term; /* of a wake: of the lease under which it was loaded; 0 on one host */
	const struct store_timer *known; /* remove: all of the row as it was loaded; may be NULL */
	uint64_t now[PROTO_CLOCKS];
	uint32_t limit_timers; /* put: of the owner of the queue; 0: no limit */
	uint64_t limit_bytes;
	/* Results, which the store writes before done(). */
	uint32_t status;   /* enum proto_status, enum proto_queue_status */
	uint32_t flags;	   /* enum proto_queue_stored_flag */
	uint64_t id, due;  /* of the row that exists now, or that was removed */
	uint64_t replaced; /* put: the replaced row; 0: none. reschedule: the row that moved */
	uint32_t removed;  /* cancel, revive: the number of rows */
	uint8_t clock, timer_flags; /* of the row */
	/* Another session of the database has locked the queue, or a row that the change names. So
	 * the change had no effect, and no change of its put packet had one. A caller that tries
	 * the change again leaves this set. */
	bool locked;
	struct proto_queue_stored *answer; /* the store also writes this answer; may be NULL */
	struct store_change *next;
};

/* A token identifies a client among all clients so far. In the store it begins with the client's
 * uid, little-endian, so that no user can name another user's puts. */
#define STORE_TOKEN_SIZE (4 + PROTO_QUEUE_TOKEN_SIZE)

/* A client's put packet, whose changes are in the commit: see proto_queue_hello. A store keeps its
 * answers for a day. If a user has very many, it may delete the oldest ones earlier. */
struct store_put {
	uint8_t token[STORE_TOKEN_SIZE];
	uint64_t serial;
	const struct proto_queue_stored *answers; /* of all records, refused ones included */
	size_t count;
	struct store_put *next;
};

/* The most unanswered put packets of a client, and the number that the store keeps for a token. */
#define STORE_PUTS 64

struct store_commit {
	struct store_change *changes;
	struct store_put *puts;
	struct clocks_stored clocks;
	/* Called by process(). error: 0; -EINPROGRESS: it is not known whether the commit took
	 * effect; another negative errno: it did not. */
	void (*done)(struct store_commit *commit, int error);
	void *userdata;
};

struct store;

/* The rows of a lane after those of a load: `ready` of the first row, and of the first one that
 * wakes the machine. PROTO_FOREVER: there is none. */
struct store_beyond {
	uint64_t ready, wake_system;
};

/* Answers to reads, called by process(). What they point to is valid during the call. error: 0, or
 * a negative errno, and n is 0 then. */
struct store_reader {
	/* load: rows in order, and the rows beyond them. list: more: there are more rows. */
	void (*rows)(struct store_reader *r, const struct store_timer *rows, size_t n,
		const struct store_beyond *beyond, bool more, int error);
	void (*queues)(struct store_reader *r, const struct store_queue *queues, size_t n,
		bool more, int error);
	/* find_puts: the answers to one put packet; then once with n 0 and the last serial. */
	void (*put)(struct store_reader *r, uint64_t serial,
		const struct proto_queue_stored *answers, size_t n, int error);
	/* purge: n: how many rows were removed. */
	void (*purged)(struct store_reader *r, uint64_t n, uint64_t bytes, bool more, int error);
	void *userdata;
};

/* A listing or a load continues after this row. All zero: it begins. */
struct store_position {
	uint64_t ready, id;
	uint32_t clock, number;
};

/* What the store of a fleet reports, besides answers. Called by process(). */
struct store_watcher {
	/* This host has got the lease of the queue (perhaps again, after its time was over) under
	 * that term, or does not hold it any more. */
	void (*lease)(void *userdata, uint32_t queue, bool held, uint64_t term);
	/* Another host may have changed rows of the queue; 0: of each queue. */
	void (*changed)(void *userdata, uint32_t queue);
	/* history() has changed. */
	void (*history)(void *userdata);
	void *userdata;
};

/* The database's clock. Each of its readings lies between `at` and `at` + `uncertainty`. */
struct store_clock {
	uint64_t at, uncertainty;
	int64_t host_off; /* the host's wall clock - the database's, as it was measured last */
};

/* Further operations of the store of a fleet. Its realtime and boottime timers are on the
 * database's clock, and it has no monotonic clock. */
struct store_fleet {
	/* Sets the watcher, which is copied. */
	void (*watch)(struct store *s, const struct store_watcher *watcher);
	/* Sets the function that logs a line at each change of a lease. */
	void (*log)(struct store *s, void (*log_line)(void *userdata, const char *line),
		void *userdata);
	/* wanted: this host has consumers for the queue and asks for the lease. Otherwise it has no
	 * consumers any more and releases the lease. */
	void (*want)(struct store *s, uint32_t queue, bool wanted);
	/* Whether a wake of the queue may be sent now. real: the kernel's boottime. ret_term: the
	 * term of the lease; set only if the wake may be sent. */
	bool (*delivers)(const struct store *s, uint32_t queue, uint64_t real, uint64_t *ret_term);
	/* Reads the database's clock without I/O. real: the kernel's boottime. Return: false: the
	 * database has never been reached. */
	bool (*read_clock)(const struct store *s, uint64_t real, struct store_clock *ret);
	/* Returns the number of the database's history. It changes with a failover, which may have
	 * lost commits. 0: not known now. */
	uint32_t (*history)(const struct store *s);
};

/*
 * What an implementation provides. Each function but close() returns at once. A function that
 * starts an operation returns 0 or a negative errno: -ENOMEM; -ENOTCONN: the database is known to
 * be away. After an error nothing was started, and no callback follows. A read that was started
 * ends with a call of its reader, which the caller keeps until then. Reads of one store are
 * answered in order.
 */
struct store_ops {
	/* A clean stop: ends what is under way, writes the clocks, frees the store. NULL: like a
	 * crash. */
	void (*close)(struct store *s, const struct clocks_stored *clocks);
	/* A descriptor that is readable while process() has results to hand out. Borrowed. */
	int (*get_fd)(const struct store *s);
	/* Hands out the results so far: calls done() and readers, which may start other
	 * operations. */
	void (*process)(struct store *s);
	/* No I/O. ret_why: a sentence; valid until the next call of process(). */
	enum store_state (*state)(const struct store *s, const char **ret_why);

	/* Why a write or a sync failed, once for each failure, also if the store has recovered
	 * meanwhile; valid until the next call. NULL: there is no new failure. NULL instead of
	 * the function: the store has no state STORE_FAILED. */
	const char *(*failure)(struct store *s);

	/* Begins a transaction. The caller leaves the commit and all that it points to untouched
	 * until done(). changes NULL: only the clocks are stored. -EBUSY: a commit is under way. */
	int (*commit)(struct store *s, struct store_commit *commit);

	/* Gives the number of (uid, name), with a reference to it. The number stays valid while it
	 * has a reference or the queue holds something; afterwards another queue may get it. The
	 * caller keeps a reference while an operation on the queue is under way. A queue that holds
	 * nothing leaves nothing on disk. Without I/O. */
	int (*open_queue)(struct store *s, uint32_t uid, const char *name, uint32_t *ret_number);
	void (*ref_queue)(struct store *s, uint32_t number); /* there is one already */
	void (*unref_queue)(struct store *s, uint32_t number);

	/* The usage of a user (PROTO_QUEUE_OWN: of all users), as of the last commit. No I/O. */
	void (*usage)(const struct store *s, uint32_t uid, struct store_usage *ret);

	/* Reads the puts of a token (STORE_TOKEN_SIZE bytes) that the store still knows, the oldest
	 * first. */
	int (*find_puts)(struct store *s, const uint8_t *token, struct store_reader *r);

	/* Reads rows of a lane, with keys and payloads. The lane is that of the clock of `after`.
	 * The rows come after the ready and id of `after`, and are ready by `until`. Reads at most
	 * n rows, which may be 0, and fewer if they would take more than 4 MB. */
	int (*load)(struct store *s, uint32_t queue, const struct store_position *after,
		uint64_t until, size_t n, struct store_reader *r);

	/* Reads at most n rows of a queue after a position, waiting or parked ones, without
	 * payloads. */
	int (*list)(struct store *s, uint32_t queue, bool parked,
		const struct store_position *after, size_t n, struct store_reader *r);

	/* Reads at most n queues of a user (PROTO_QUEUE_OWN: of all users) whose numbers are above
	 * `after`, by number. now: the instants that decide which timers are due. */
	int (*queues)(struct store *s, uint32_t uid, uint32_t after, size_t n,
		const uint64_t now[static PROTO_CLOCKS], struct store_reader *r);

	/* Removes at most n rows of a queue: all rows, or only parked ones. */
	int (*purge)(
		struct store *s, uint32_t queue, bool parked, size_t n, struct store_reader *r);

	const struct store_fleet *fleet; /* NULL: the store of one host */
};

/* The head of an implementation's own struct. */
struct store {
	const struct store_ops *ops;
};
