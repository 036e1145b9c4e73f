/* SPDX-License-Identifier: MIT */
/*
 * libtoytimer, durable queues: timers that outlive their client, the daemons and the machine.
 *
 * A handle is one connection to timerqd. It puts timers into named queues, and consumes the wakes
 * of queues. What was put stays when the handle goes. If timerqd goes away and comes back, the
 * handle connects again, opens its queues and attaches its consumers again, without the caller's
 * help. A put whose answer was on its way is sent again and stored once.
 *
 * Errors, threads, fork(), signals, descriptors and the cancelling of threads: as toytimer.h says
 * at its top. Handlers run only inside toytimer_queue_process() and toytimer_queue_run().
 *
 * A queue is named by 1 to 64 characters of A-Z a-z 0-9 . _ - and belongs to the caller's user.
 * Root names another user's queue USER/NAME. A handle may use 1,024 queues.
 *
 * All spans and instants are microseconds. Instants on boottime and monotonic are those of the
 * queues' own clocks, which go on over a reboot, see timerqd(8): only spans are of use there.
 *
 * Errors, beside those of toytimer.h:
 *
 * - -ENOSPC: the store is full, and nothing was stored
 * - -EIO: the store has failed and takes nothing any more
 * - -EHOSTUNREACH: the store cannot be reached
 * - -EINPROGRESS: it is not known whether it was stored
 * - -EDQUOT: the limit of timers of a user (--max-timers-per-user of timerqd)
 * - -ENOBUFS: the limit of bytes of a user (--max-bytes-per-user)
 * - -EMSGSIZE: the payload is longer than TOYTIMER_QUEUE_PAYLOAD_MAX
 * - -EALREADY: this handle consumes the queue already
 * - -ENOTCONN: this handle does not consume the queue
 * - -EACCES: another user's queue, or no such user, or the user is one that may have no queues:
 *   toytimer_get_error() says which
 * - -E2BIG: this handle uses 1,024 queues
 * - -ENOENT: no such timer, or no such wake with this consumer, or it is not parked
 * - -ECONNRESET: the connection broke, and it is not known whether the wake was acknowledged. It
 *   comes again if not. The library then acknowledges it again: nothing is to be done.
 * - -ECONNREFUSED: timerqd cannot be reached
 *
 * toytimer_queue_strerror() has a sentence for each. toytimer_get_error() says which argument was
 * invalid.
 */
#ifndef TOYTIMER_QUEUE_H
#define TOYTIMER_QUEUE_H

#include <stddef.h>
#include <stdint.h>
#include <toytimer.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct toytimer_queue toytimer_queue;

#define TOYTIMER_QUEUE_NAME_MAX	   64
#define TOYTIMER_QUEUE_KEY_MAX	   64
#define TOYTIMER_QUEUE_PAYLOAD_MAX 16384
#define TOYTIMER_QUEUE_WINDOW_MAX  10000

enum toytimer_queue_open_flag {
	TOYTIMER_QUEUE_USER = 1 << 0 /* the user's timerqd: $XDG_RUNTIME_DIR/timerd/queues */
};

/*
 * Connects to timerqd.
 *   path: of the socket; NULL: with TOYTIMER_QUEUE_USER the user's, else $TIMERD_QUEUE_SOCKET
 *     unless that is empty, else /run/timerd/queues. As in toytimer_open().
 *   flags: enum toytimer_queue_open_flag
 * The new handle has one reference. Blocks for at most 25 s, and only for a daemon that is there.
 * -ENOMEDIUM: TOYTIMER_QUEUE_USER, and XDG_RUNTIME_DIR is not set or must not be trusted.
 */
int toytimer_queue_open(toytimer_queue **ret, const char *path, unsigned int flags);

/* As toytimer_ref(), toytimer_unref(). The last reference gives the unacknowledged wakes back, and
 * drops what toytimer_queue_put_async() has not sent: call toytimer_queue_flush() before. */
toytimer_queue *toytimer_queue_ref(toytimer_queue *q);
toytimer_queue *toytimer_queue_unref(toytimer_queue *q);

/* These are as their namesakes of toytimer.h. toytimer_queue_run() ends with 0 when the handle has
 * no consumer and no put whose handler is to be called. */
int toytimer_queue_set_timeout(toytimer_queue *q, uint64_t timeout);
int toytimer_queue_get_fd(toytimer_queue *q);
int toytimer_queue_get_events(toytimer_queue *q);
int toytimer_queue_process(toytimer_queue *q);
int toytimer_queue_wait(toytimer_queue *q, uint64_t timeout);
int toytimer_queue_run(toytimer_queue *q);
int toytimer_queue_stop(toytimer_queue *q);
uint64_t toytimer_queue_get_reconnects(toytimer_queue *q);

/* Why the handle is not connected now, or why a consumer could not be attached again: a negative
 * errno. 0: it is connected, or connecting. */
int toytimer_queue_get_error(toytimer_queue *q);

enum toytimer_queue_flag {
	/* TOYTIMER_RELATIVE and TOYTIMER_WAKE_SYSTEM, and: */
	TOYTIMER_QUEUE_KEEP = 1 << 4 /* a timer that has the key stays as it is */
};

/* A durable timer. Zero it first. */
typedef struct toytimer_queue_timer {
	uint64_t due;	       /* instant on the clock, or with RELATIVE a span from the call */
	uint64_t slack;	       /* how much later still suits */
	uint64_t every;	       /* period; 0 = none */
	uint64_t max_late;     /* a first delivery later than this is missed; 0 = no limit */
	uint32_t count;	       /* how many wakes; 0 = one without a period, no end with one */
	uint32_t max_attempts; /* deliveries until a wake is parked; 0 = no limit */
	enum toytimer_clock clock;
	unsigned int flags;
	const char *label; /* NULL = none; at most TOYTIMER_LABEL_MAX bytes of printable UTF-8 */
	const char *key;   /* NULL = none; 1 to 64 bytes of printable UTF-8, unique in its queue: a
			    * timer that has it is replaced in one step */
	const void *payload; /* copied by the call */
	size_t payload_size;
	uint64_t reserved[4]; /* 0 */
} toytimer_queue_timer;

/* What became of a put. */
typedef struct toytimer_queue_stored {
	int error;    /* 0: stored and synced to disk; or a negative errno, and the rest is 0 */
	int replaced; /* non-zero: a timer of that key went */
	int kept;     /* non-zero: with KEEP, there was one: id and due are its own */
	uint64_t id;
	uint64_t due; /* on its clock */
} toytimer_queue_stored;

/*
 * Puts a timer into a queue, and waits until it is stored.
 *   ret: may be NULL
 * -ETIMEDOUT: it may be stored all the same, once.
 */
int toytimer_queue_put(toytimer_queue *q, const char *queue, const toytimer_queue_timer *timer,
	toytimer_queue_stored *ret);

/*
 * Puts n, in as few packets as hold them.
 *   ret: n results; may be NULL
 * Returns how many were stored, or a negative errno if none was asked for. A refusal concerns its
 * own timer alone.
 */
int toytimer_queue_put_many(toytimer_queue *q, const char *queue,
	const toytimer_queue_timer *timers, size_t n, toytimer_queue_stored *ret);

/* Called when a put is answered. Return: as toytimer_handler. */
typedef int (*toytimer_queue_put_handler)(
	toytimer_queue *q, const toytimer_queue_stored *stored, void *userdata);

/*
 * Queues a put and returns. It is sent with others by toytimer_queue_flush(), _process() or _run(),
 * by any blocking call, or when a packet is full.
 *   handler: called once, when it is answered; NULL: nobody is told
 * The first use of a queue's name waits for timerqd. -EAGAIN: too much is queued already (64
 * packets that are not sent): call toytimer_queue_process().
 */
int toytimer_queue_put_async(toytimer_queue *q, const char *queue,
	const toytimer_queue_timer *timer, toytimer_queue_put_handler handler, void *userdata);

/* Sends what is queued, as far as the socket takes it. Returns 0. */
int toytimer_queue_flush(toytimer_queue *q);

/* Cancels a timer, by its key if `key` is not NULL, else by its id, and waits until that is stored.
 * A parked wake is dropped. -ENOENT: no such timer, or, if the connection broke meanwhile, it was
 * cancelled by this very call. */
int toytimer_queue_cancel(toytimer_queue *q, const char *queue, uint64_t id, const char *key);

/* Gives a timer another due, slack, period and count (of flags, RELATIVE counts), and waits until
 * that is stored. Key, clock, label and payload stay. ret: may be NULL. */
int toytimer_queue_reschedule(toytimer_queue *q, const char *queue, uint64_t id, const char *key,
	const toytimer_queue_timer *timer, toytimer_queue_stored *ret);

/* Names one wake of this handle. To be copied; it stays good after the handler. */
typedef struct toytimer_wake_ref {
	uint64_t id;
	uint64_t term;	 /* of the lease; 0 on one host */
	uint32_t number; /* of the timer's wakes: (id, number) is the same across redelivery */
	uint32_t queue;	 /* the library's own */
} toytimer_wake_ref;

/* A wake; valid during the handler. */
typedef struct toytimer_wake {
	toytimer_wake_ref ref;
	const char *queue; /* as toytimer_queue_consume() was given it */
	uint64_t due;
	uint64_t late;	   /* sent - due */
	uint64_t overruns; /* further periods that had passed when it was sent */
	uint32_t attempt;  /* 1 for the first delivery */
	int last;	   /* non-zero: once acknowledged, the timer is gone */
	enum toytimer_clock clock;
	const char *label; /* "" if none */
	const char *key;   /* "" if none */
	const void *payload;
	size_t payload_size;
} toytimer_wake;

/* Called for each wake. It, or anybody later, acknowledges it, or has it come again. Return: as
 * toytimer_handler. A wake that is with the application still, or that was acknowledged on this
 * handle, is not handed out a second time. */
typedef int (*toytimer_wake_handler)(toytimer_queue *q, const toytimer_wake *wake, void *userdata);

/* How to consume. Zero it first. */
typedef struct toytimer_queue_consumer {
	uint32_t window;       /* unacknowledged wakes at a time, 1 to 10,000; 0 = 1 */
	uint32_t max_attempts; /* as of a timer; the smaller one that is not 0 counts */
	uint64_t ack_within;   /* a wake that is not acknowledged within it goes to another consumer
				* (or comes again); 0 = no limit */
	toytimer_wake_handler handler; /* not NULL */
	void *userdata;
	uint64_t reserved[2]; /* 0 */
} toytimer_queue_consumer;

/* Attaches this handle to a queue as a consumer. */
int toytimer_queue_consume(
	toytimer_queue *q, const char *queue, const toytimer_queue_consumer *consumer);

/* Detaches it: what was not acknowledged goes back, uncounted. No handler of the queue starts after
 * it. */
int toytimer_queue_detach(toytimer_queue *q, const char *queue);

/* Acknowledges a wake, and waits until that is stored: it never comes again. -ENOENT: the timer was
 * cancelled or replaced, or the wake was taken back (ack_within). */
int toytimer_queue_ack(toytimer_queue *q, const toytimer_wake_ref *wake);

/* The same for n. ret_errors: n results; may be NULL. Returns how many were acknowledged. */
int toytimer_queue_ack_many(
	toytimer_queue *q, const toytimer_wake_ref *wakes, size_t n, int *ret_errors);

/* The same without waiting: acknowledgements travel together, as toytimer_queue_put_async() says.
 */
int toytimer_queue_ack_async(toytimer_queue *q, const toytimer_wake_ref *wake);

/* Has a wake come again after `delay`, as a further attempt, and waits until that is stored. */
int toytimer_queue_retry(toytimer_queue *q, const toytimer_wake_ref *wake, uint64_t delay);

enum toytimer_queue_state {
	TOYTIMER_QUEUE_WAITING = 0,
	TOYTIMER_QUEUE_HELD = 1, /* its clock is not believed yet */
	TOYTIMER_QUEUE_DUE = 2,
	TOYTIMER_QUEUE_UNACKED = 3,
	TOYTIMER_QUEUE_PARKED = 4
};

enum toytimer_queue_list_flag {
	TOYTIMER_QUEUE_LIST_PARKED = 1 << 0, /* parked wakes alone */
	TOYTIMER_QUEUE_LIST_ALL = 1 << 1     /* queues: everybody's; for root, else -EACCES */
};

/* A timer as timerqd lists it; valid during the callback. */
typedef struct toytimer_queue_listed {
	uint64_t id;
	const char *key;   /* "" if none */
	const char *label; /* "" if none */
	enum toytimer_clock clock;
	unsigned int flags; /* TOYTIMER_WAKE_SYSTEM */
	enum toytimer_queue_state state;
	uint64_t due;
	int64_t left; /* due - now; negative: late */
	uint64_t slack;
	uint64_t every;
	uint32_t count;
	uint32_t fired;	  /* wakes that are done with */
	uint32_t attempt; /* deliveries of the present wake */
	uint32_t payload_size;
	uint32_t uid;
} toytimer_queue_listed;

/* Calls back for each timer of a queue. A non-zero return ends the listing and is returned. */
int toytimer_queue_list(toytimer_queue *q, const char *queue, unsigned int flags,
	int (*handler)(const toytimer_queue_listed *listed, void *userdata), void *userdata);

/* The same for what is parked: toytimer_queue_list() with TOYTIMER_QUEUE_LIST_PARKED. */
int toytimer_queue_parked(toytimer_queue *q, const char *queue,
	int (*handler)(const toytimer_queue_listed *listed, void *userdata), void *userdata);

/* A parked wake is due again, its attempts counted from 0; by the id of its timer. */
int toytimer_queue_revive(toytimer_queue *q, const char *queue, uint64_t id);

/* Removes all timers of a queue, parked wakes included, or with TOYTIMER_QUEUE_LIST_PARKED what is
 * parked. ret_n: how many; may be NULL. */
int toytimer_queue_purge(toytimer_queue *q, const char *queue, unsigned int flags, uint64_t *ret_n);

/* A queue that has a timer or a consumer; valid during the callback. */
typedef struct toytimer_queue_info {
	const char *name;
	uint32_t uid;
	uint64_t timers, due, unacked, parked, consumers;
	uint64_t oldest; /* how late the oldest is that is due; TOYTIMER_FOREVER: none is */
	uint64_t next;	 /* until the next is due; TOYTIMER_FOREVER: none */
	uint64_t term;	 /* of the lease; 0 on one host */
	const char *host;
} toytimer_queue_info;

/* Calls back for each queue of this user. flags: TOYTIMER_QUEUE_LIST_ALL. */
int toytimer_queue_queues(toytimer_queue *q, unsigned int flags,
	int (*handler)(const toytimer_queue_info *info, void *userdata), void *userdata);

enum toytimer_queue_store {
	TOYTIMER_QUEUE_STORE_OK = 0,
	TOYTIMER_QUEUE_STORE_FULL = 1,
	TOYTIMER_QUEUE_STORE_FAILED = 2,
	TOYTIMER_QUEUE_STORE_AWAY = 3
};

/* timerqd's counters, since its start. */
typedef struct toytimer_queue_status {
	char version[32];
	uint32_t pid;
	enum toytimer_queue_store store;
	uint64_t uptime;
	uint64_t clients, queues, timers, unacked, parked;
	uint64_t stored, delivered, acknowledged, retried, missed, dropped, refused;
	uint64_t reserved[16]; /* 0 */
} toytimer_queue_status;

int toytimer_queue_get_status(toytimer_queue *q, toytimer_queue_status *ret);

/* A sentence for an error of these functions, without a newline; never NULL; constant. */
const char *toytimer_queue_strerror(int error);

#ifdef __cplusplus
}
#endif

#endif
