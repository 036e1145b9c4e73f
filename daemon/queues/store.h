/* SPDX-License-Identifier: MIT */
/*
 * The store of durable timers: what timerqd asks of SQLite, and later of PostgreSQL.
 *
 * The interface is asynchronous: an operation is started, and its result comes from store_process()
 * when the store's descriptor is readable. At most one commit is under way at a time; what arrives
 * meanwhile is the next one. So a thousand clients share one sync, and there is no timer and no
 * window to tune.
 *
 * A commit is a list of changes. Each change succeeds or is refused by itself; the commit as a whole
 * is on disk, or nothing of it is. Reads (load, list, queues) may run between commits and see whole
 * commits only.
 *
 * Instants are microseconds of the timer's clock as timerqd counts it: `realtime` since the Unix
 * epoch, `boottime` and `monotonic` as clocks.h carries them over reboots.
 *
 * A row is a wake to come: (queue, id, number). `due` is the instant for which the wake is; `ready`
 * is the instant from which it may be delivered, later than due after a retry. Rows of one lane
 * (queue, clock) are delivered in the order of (ready, id, number). Delivery itself changes nothing
 * in the store.
 *
 * Not thread-safe: one thread owns a store. An implementation may have a thread of its own behind
 * it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue.h"

/* A durable timer, or one parked wake of it. */
struct store_timer {
	uint64_t id; /* at most 53 bits; never used again by the same store */
	uint64_t due, ready, slack, every, max_late;
	uint32_t queue;	 /* the store's number of it, from 1 */
	uint32_t number; /* of the wake to come, from 1 */
	uint32_t attempt; /* deliveries of that wake that were counted */
	uint32_t count, max_attempts;
	uint8_t clock, flags; /* PROTO_WAKE_SYSTEM */
	bool parked;
	uint16_t key_size;
	uint32_t payload_size;
	char label[PROTO_LABEL_MAX];
	const char *key;     /* key_size bytes, not terminated */
	const void *payload; /* payload_size bytes; a listing leaves it NULL */
};

/* A queue, with counts that the store keeps in the same transactions. */
struct store_queue {
	uint32_t number, uid;
	char name[PROTO_QUEUE_NAME_MAX + 1];
	uint64_t timers; /* that wait; without parked ones */
	uint64_t parked;
	uint64_t bytes; /* of keys and payloads, parked ones included */
	/* First (ready) of each clock; PROTO_FOREVER: none. */
	uint64_t first[PROTO_CLOCKS];
	/* The same among timers with PROTO_WAKE_SYSTEM. */
	uint64_t first_wake_system[PROTO_CLOCKS];
};

enum store_state {
	STORE_OK,
	STORE_FULL,   /* no space: puts are refused, deletions may still go through */
	STORE_FAILED, /* a write or a sync failed: nothing is answered as stored any more */
	STORE_AWAY,   /* the database cannot be reached */
};

enum store_change_type {
	STORE_PUT,	  /* timer: a new row; keep: a row of that key stays */
	STORE_CANCEL,	  /* by id or key: all rows of that timer go, by id also its parked ones */
	STORE_RESCHEDULE, /* by id or key: due, slack, every, count of timer */
	/* The next three name a wake: timer.queue, .id, .number. */
	STORE_REMOVE,	  /* acknowledged, the last: the row goes */
	STORE_ADVANCE,	  /* acknowledged: becomes the wake `number + 1` at due = ready = timer.due */
	STORE_DELAY,	  /* retried or given back: ready and attempt of timer */
	STORE_PARK,	  /* parked; timer.due: of the next wake, PROTO_FOREVER if it was the last */
	STORE_REVIVE,	  /* by id: parked wakes wait again, ready at timer.ready, attempt 0 */
};

struct store_change {
	enum store_change_type type;
	bool keep;
	struct store_timer timer; /* key and payload are borrowed until the commit is done */
	uint64_t limit_timers, limit_bytes; /* put: of the queue's user; 0: none */
	/* Results, written by the store before done() is called. */
	uint32_t status;  /* enum proto_status or proto_queue_status */
	uint32_t flags;	  /* enum proto_queue_stored_flag */
	uint64_t id, due; /* of the row that stands now, or that went */
	uint32_t removed; /* rows that went */
	struct store_change *next; /* the commit's list, in order */
};

/* A client's put packet: see proto_queue_hello. */
struct store_put_serial {
	uint8_t token[PROTO_QUEUE_TOKEN_SIZE];
	uint64_t serial;
	struct store_change *first, *last; /* its changes, a part of the commit's list */
	struct store_put_serial *next;
};

/* What clocks.h needs to know after a boot. */
struct store_clocks {
	uint8_t boot_id[16];
	uint64_t realtime, boottime, monotonic; /* at the same moment, of timerqd's own counting */
	bool clean;				/* written by a clean stop */
};

struct store_commit {
	struct store_change *changes;
	struct store_put_serial *puts;
	struct store_clocks clocks; /* stored with each commit */
	/* Called from store_process(). error: 0, or -ENOSPC, -EIO, …: then nothing of it stands. */
	void (*done)(struct store_commit *commit, int error, void *userdata);
	void *userdata;
};

/* A page of rows; valid during the call. The callback keeps what it needs. */
typedef void (*store_rows)(const struct store_timer *rows, size_t n, bool more, int error,
	void *userdata);
typedef void (*store_queues)(const struct store_queue *queues, size_t n, bool more, int error,
	void *userdata);

struct store;

/* What an implementation provides. Each function returns 0 or a negative errno at once; results
 * come through callbacks, from within process() only. */
struct store_ops {
	void (*close)(struct store *s);
	/* A descriptor that is readable when process() has results to hand out. */
	int (*get_fd)(struct store *s);
	void (*process)(struct store *s);
	enum store_state (*state)(const struct store *s, const char **ret_why);

	/* Starts a commit. -EBUSY: one is under way. The commit and all that it points to stay
	 * untouched until done(). */
	int (*commit)(struct store *s, struct store_commit *commit);

	/* The number of (uid, name), made if need be. It lasts for this process; a queue that is
	 * empty leaves nothing on disk. Synchronous and without I/O. */
	int (*open_queue)(struct store *s, uint32_t uid, const char *name, uint32_t *ret_number);

	/* What answered an earlier put of that token and serial, before a restart: writes n answers.
	 * ret_last: the last serial that is stored for the token. Read at a hello. */
	int (*find_put)(struct store *s, const uint8_t *token, uint64_t answered,
		void (*found)(uint64_t serial, const struct proto_queue_stored *answers, size_t n,
			uint64_t last, int error, void *userdata),
		void *userdata);

	/* Rows of a lane after (ready, id, number) and up to `until`, in order, at most n, with keys
	 * and payloads, at most 4 MB in all. */
	int (*load)(struct store *s, uint32_t queue, unsigned int clock,
		const struct store_timer *after, uint64_t until, size_t n, store_rows rows,
		void *userdata);

	/* Rows of a queue in the order of id after `after`, waiting or parked. */
	int (*list)(struct store *s, uint32_t queue, bool parked, uint64_t after, size_t n,
		store_rows rows, void *userdata);

	/* Queues of a user (PROTO_QUEUE_OWN: everybody's), after number `after`. */
	int (*queues)(struct store *s, uint32_t uid, uint32_t after, size_t n, store_queues queues,
		void *userdata);

	/* Removes rows of a queue, at most n. rows() gets how many as n, and whether there are more.
	 * Counts as a commit: -EBUSY while one is under way. */
	int (*purge)(struct store *s, uint32_t queue, bool parked, size_t n, store_rows rows,
		void *userdata);
};

struct store {
	const struct store_ops *ops;
};
