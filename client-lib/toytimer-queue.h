/* SPDX-License-Identifier: MIT */
/*
 * libtoytimer, durable queues: timers that outlive their client, the daemons and the machine.
 *
 * A handle is one connection to timerqd. It puts timers into named queues, and consumes the wakes
 * of queues. A stored timer stays when the handle is closed. If timerqd restarts, the handle
 * connects again, opens its queues again, and attaches its consumers again. It then repeats each
 * put that has no answer yet, and timerqd stores such a put once.
 *
 * Errors, threads, fork(), signals, descriptors and cancelled threads: see the top of toytimer.h.
 * Handlers run only inside toytimer_queue_process() and toytimer_queue_run().
 *
 * The name of a queue has 1 to 64 characters of A-Z a-z 0-9 . _ - and belongs to the user of the
 * process. Root names another user's queue USER/NAME. A handle can use 1,024 queues.
 *
 * Cost: as toytimer.h says. A call that changes a queue also waits until timerqd has written the
 * change to disk.
 *
 * All spans and instants are microseconds. For BOOTTIME and MONOTONIC use spans. Instants of these
 * clocks are those of timerqd's own clocks, which go on over a reboot (timerqd(8)).
 *
 * Errors, in addition to those of toytimer.h:
 *
 * - -ENOSPC: the store is full, and nothing was stored
 * - -EIO: the store has failed, and timerqd stores nothing until it has recovered
 * - -EHOSTUNREACH: the store cannot be reached
 * - -EINPROGRESS: it is unknown whether the request was stored
 * - -EDQUOT: the limit of timers of a user (--max-timers-per-user of timerqd)
 * - -ENOBUFS: the limit of bytes of a user (--max-bytes-per-user)
 * - -EMSGSIZE: the payload is longer than TOYTIMER_QUEUE_PAYLOAD_MAX
 * - -EALREADY: this handle consumes the queue already
 * - -ENOTCONN: this handle does not consume the queue
 * - -EACCES: the queue belongs to another user, or there is no such user, or this user may not have
 *   queues, or it has no permission for the socket; toytimer_get_error() says which
 * - -E2BIG: this handle already uses 1,024 queues
 * - -ENOENT: there is no such timer, or this consumer does not have that wake, or it is not parked
 * - -ECONNRESET: the connection broke, and it is unknown whether the acknowledgement was stored.
 *   The program does nothing: if the wake comes again, the library acknowledges it.
 * - -EOPNOTSUPP: the monotonic clock cannot wake the system; a fleet has no monotonic clock, and
 *   cannot wake a machine
 * - -EAGAIN: 64 packets of asynchronous puts wait to be sent
 * - -ECONNREFUSED: timerqd cannot be reached
 *
 * toytimer_queue_strerror() returns a sentence for each. toytimer_get_error() returns a sentence
 * that names the invalid argument of the last call.
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
 *   path: of the socket. NULL: with TOYTIMER_QUEUE_USER that of the user's timerqd, otherwise
 *     $TIMERD_QUEUE_SOCKET, or /run/timerd/queues if that variable is empty or not set. A relative
 *     path: as for toytimer_open().
 *   flags: enum toytimer_queue_open_flag
 * The new handle has one reference. The call fails at once if timerqd is absent, and waits up to
 * 25 s for a slow timerqd. -ENOMEDIUM: with TOYTIMER_QUEUE_USER, XDG_RUNTIME_DIR is not set, or the
 * program must not trust it (secure_getenv(3)).
 */
int toytimer_queue_open(toytimer_queue **ret, const char *path, unsigned int flags);

/* Like toytimer_ref() and toytimer_unref(). When the last reference is dropped, unacknowledged
 * wakes go back to their queues, and asynchronous puts that are not sent yet are lost: call
 * toytimer_queue_flush() before. */
toytimer_queue *toytimer_queue_ref(toytimer_queue *q);
toytimer_queue *toytimer_queue_unref(toytimer_queue *q);

/* Like the functions of toytimer.h with the same names. toytimer_queue_run() also returns 0 when
 * the handle has no consumer and no asynchronous put with a handler. */
int toytimer_queue_set_timeout(toytimer_queue *q, uint64_t timeout);
int toytimer_queue_get_fd(toytimer_queue *q);
int toytimer_queue_get_events(toytimer_queue *q);
int toytimer_queue_process(toytimer_queue *q);
int toytimer_queue_wait(toytimer_queue *q, uint64_t timeout);
int toytimer_queue_run(toytimer_queue *q);
int toytimer_queue_stop(toytimer_queue *q);
uint64_t toytimer_queue_get_reconnects(toytimer_queue *q);

/* Returns why the handle is not connected, or why timerqd did not attach a consumer again: a
 * negative errno. Returns 0 if the handle is connected, or is connecting. */
int toytimer_queue_get_error(toytimer_queue *q);

enum toytimer_queue_flag {
	/* Besides TOYTIMER_RELATIVE and TOYTIMER_WAKE_SYSTEM: */
	TOYTIMER_QUEUE_KEEP = 1 << 4 /* keep the timer that has the key, if there is one */
};

/* A durable timer. Zero it first. */
typedef struct toytimer_queue_timer {
	uint64_t due;	   /* the instant on the clock; with RELATIVE the span from the call */
	uint64_t slack;	   /* how much later than due the wake may come */
	uint64_t every;	   /* the period; 0: none */
	uint64_t max_late; /* a wake is missed if it is later at its first delivery; 0: no limit */
	uint32_t count;	   /* how many wakes; 0: one without a period, no end with a period */
	uint32_t max_attempts; /* deliveries until timerqd parks a wake; 0: no limit */
	enum toytimer_clock clock;
	unsigned int flags;
	const char *label; /* NULL: none; at most TOYTIMER_LABEL_MAX bytes of printable UTF-8 */
	const char *key;   /* NULL: none; 1 to 64 bytes of printable UTF-8. This timer replaces the
			    * timer of the queue that has the same key, in one step */
	const void *payload; /* copied by the call */
	size_t payload_size;
	uint64_t reserved[4]; /* 0 */
} toytimer_queue_timer;

/* The result of a put. */
typedef struct toytimer_queue_stored {
	int error;    /* 0: on disk; or a negative errno: all other members are 0 */
	int replaced; /* non-zero: the timer replaced one with the same key */
	int kept;     /* non-zero: KEEP kept a timer; id and due are those of the kept timer */
	uint64_t id;
	uint64_t due; /* on the timer's clock */
} toytimer_queue_stored;

/*
 * Puts a timer into a queue, and waits until it is on disk.
 *   ret: may be NULL
 * -ETIMEDOUT, -EINPROGRESS: timerqd may still store the timer, once.
 */
int toytimer_queue_put(toytimer_queue *q, const char *queue, const toytimer_queue_timer *timer,
	toytimer_queue_stored *ret);

/*
 * Puts n timers into a queue, in as few packets as possible.
 *   ret: n results; may be NULL
 * Returns how many were stored, or a negative errno if it sent nothing. If timerqd refuses a timer,
 * it stores the others all the same.
 */
int toytimer_queue_put_many(toytimer_queue *q, const char *queue,
	const toytimer_queue_timer *timers, size_t n, toytimer_queue_stored *ret);

/* The library calls this handler when timerqd has answered a put. Return: as toytimer_handler. */
typedef int (*toytimer_queue_put_handler)(
	toytimer_queue *q, const toytimer_queue_stored *stored, void *userdata);

/*
 * Queues a put and returns. The library sends queued requests when a packet is full, in
 * toytimer_queue_flush(), in toytimer_queue_process() and in any blocking call.
 *   handler: called once, with the result. NULL: the program does not get the result
 * The first use of a queue's name waits for timerqd. -EAGAIN: 64 packets wait to be sent; call
 * toytimer_queue_process() first. -ENOMEM: nothing is queued.
 */
int toytimer_queue_put_async(toytimer_queue *q, const char *queue,
	const toytimer_queue_timer *timer, toytimer_queue_put_handler handler, void *userdata);

/* Sends queued requests until the socket is full. Does not wait for answers. Returns 0. */
int toytimer_queue_flush(toytimer_queue *q);

/* Cancels a timer by its key, or by its id if `key` is NULL, and waits until that is on disk. The
 * id of a parked wake's timer drops the parked wake. -ENOENT: there is no such timer. After a
 * broken connection it can also mean that this call has cancelled the timer. */
int toytimer_queue_cancel(toytimer_queue *q, const char *queue, uint64_t id, const char *key);

/* Gives a timer a new due, slack, period and count, and waits until that is on disk. Of the flags,
 * only RELATIVE has an effect. Key, clock, label and payload stay. ret: may be NULL. */
int toytimer_queue_reschedule(toytimer_queue *q, const char *queue, uint64_t id, const char *key,
	const toytimer_queue_timer *timer, toytimer_queue_stored *ret);

/* Names one wake of this handle. The program can use a copy after the handler has returned. */
typedef struct toytimer_wake_ref {
	uint64_t id;
	uint64_t term;	 /* of the lease; 0 on one host */
	uint32_t number; /* counts the timer's wakes: a repeated wake has the same id and number */
	uint32_t queue;	 /* for the library */
} toytimer_wake_ref;

/* A wake. It is valid until the handler returns. */
typedef struct toytimer_wake {
	toytimer_wake_ref ref;
	const char *queue; /* the name that toytimer_queue_consume() got */
	uint64_t due;
	uint64_t late;	   /* how much later than due timerqd sent the wake */
	uint64_t overruns; /* further periods that had passed when timerqd sent the wake */
	uint32_t attempt;  /* 1 for the first delivery */
	int last;	   /* non-zero: the acknowledgement of this wake ends the timer */
	enum toytimer_clock clock;
	const char *label; /* "" if none */
	const char *key;   /* "" if none */
	const void *payload;
	size_t payload_size;
} toytimer_wake;

/* The library calls this handler for each wake. The handler, or the program later, acknowledges the
 * wake or asks for a retry. If a wake comes again that the program still has, or has acknowledged
 * through this handle, the library does not call the handler again. Return: as toytimer_handler. */
typedef int (*toytimer_wake_handler)(toytimer_queue *q, const toytimer_wake *wake, void *userdata);

/* How to consume. Zero it first. */
typedef struct toytimer_queue_consumer {
	uint32_t window;       /* unacknowledged wakes at a time, 1 to 10,000; 0 means 1 */
	uint32_t max_attempts; /* like that of the timer; the smaller one that is not 0 counts */
	uint64_t ack_within;   /* if a wake is not acknowledged within this span, timerqd takes it
				* back and sends it again, to any consumer; 0: no limit */
	toytimer_wake_handler handler; /* not NULL */
	void *userdata;
	uint64_t reserved[2]; /* 0 */
} toytimer_queue_consumer;

/* Attaches this handle to a queue as a consumer. */
int toytimer_queue_consume(
	toytimer_queue *q, const char *queue, const toytimer_queue_consumer *consumer);

/* Detaches this handle from a queue. Unacknowledged wakes go back to the queue, and timerqd counts
 * no attempt for them. When it returns 0 or -ETIMEDOUT, no handler of the queue starts any more.
 * -ENOMEM: the consumer stays attached. */
int toytimer_queue_detach(toytimer_queue *q, const char *queue);

/* Acknowledges a wake, and waits until that is on disk. The wake then never comes again. -ENOENT:
 * the timer was cancelled or replaced, or timerqd took the wake back (ack_within). */
int toytimer_queue_ack(toytimer_queue *q, const toytimer_wake_ref *wake);

/* Acknowledges n wakes, with one wait for the disk. ret_errors: n results; may be NULL. Returns how
 * many were acknowledged. */
int toytimer_queue_ack_many(
	toytimer_queue *q, const toytimer_wake_ref *wakes, size_t n, int *ret_errors);

/* Acknowledges a wake without waiting. The library sends the request like a put of
 * toytimer_queue_put_async(). Returns 0 or a negative errno. -ENOMEM: the wake is not acknowledged.
 */
int toytimer_queue_ack_async(toytimer_queue *q, const toytimer_wake_ref *wake);

/* Asks for a wake again after `delay`, as its next attempt, and waits until that is on disk. */
int toytimer_queue_retry(toytimer_queue *q, const toytimer_wake_ref *wake, uint64_t delay);

enum toytimer_queue_state {
	TOYTIMER_QUEUE_WAITING = 0,
	TOYTIMER_QUEUE_HELD = 1, /* timerqd does not trust the wall clock yet, see timerqd(8) */
	TOYTIMER_QUEUE_DUE = 2,
	TOYTIMER_QUEUE_UNACKED = 3,
	TOYTIMER_QUEUE_PARKED = 4
};

enum toytimer_queue_list_flag {
	TOYTIMER_QUEUE_LIST_PARKED = 1 << 0, /* only parked wakes */
	TOYTIMER_QUEUE_LIST_ALL = 1 << 1     /* the queues of all users; only for root */
};

/* A timer as timerqd lists it. It is valid until the handler returns. */
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
	uint32_t fired;	  /* wakes before the current one */
	uint32_t attempt; /* deliveries of the current wake */
	uint32_t payload_size;
	uint32_t uid;
} toytimer_queue_listed;

/*
 * Calls the handler for each timer of a queue, ordered by clock and due. If the handler returns a
 * number other than 0, the listing ends and the call returns that number. The library receives some
 * hundred timers at a time, so memory does not grow with their number. The listing may miss a timer
 * that is stored or ends while it runs. -ECONNRESET: after the handler was called for some timers,
 * the connection ended, or more than seven other listings of this handle began; list again.
 */
int toytimer_queue_list(toytimer_queue *q, const char *queue, unsigned int flags,
	int (*handler)(const toytimer_queue_listed *listed, void *userdata), void *userdata);

/* The same for parked wakes: toytimer_queue_list() with TOYTIMER_QUEUE_LIST_PARKED. */
int toytimer_queue_parked(toytimer_queue *q, const char *queue,
	int (*handler)(const toytimer_queue_listed *listed, void *userdata), void *userdata);

/* Makes the parked wakes of a timer due again, by the id of the timer. Their attempts start at 0.
 */
int toytimer_queue_revive(toytimer_queue *q, const char *queue, uint64_t id);

/* Removes all timers and parked wakes of a queue; with TOYTIMER_QUEUE_LIST_PARKED only the parked
 * wakes. ret_n: how many it removed; may be NULL. */
int toytimer_queue_purge(toytimer_queue *q, const char *queue, unsigned int flags, uint64_t *ret_n);

/* A queue that has a timer or a consumer. It is valid until the handler returns. */
typedef struct toytimer_queue_info {
	const char *name;
	uint32_t uid;
	uint64_t timers, due, unacked, parked, consumers;
	uint64_t oldest;  /* how late the oldest due wake is; TOYTIMER_FOREVER: none is due */
	uint64_t next;	  /* the time until the next due; TOYTIMER_FOREVER: there is none */
	uint64_t term;	  /* of the lease; 0 on one host */
	const char *host; /* which holds the lease; "" if no host does */
} toytimer_queue_info;

/* Calls the handler for each queue of this user, as toytimer_queue_list() does.
 *   flags: TOYTIMER_QUEUE_LIST_ALL, or 0. -EACCES: LIST_ALL, and the caller is not root. */
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
	/* In a fleet: this host's wall clock minus the database's in microseconds, at the last
	 * measurement. INT64_MIN: there is only one host, or no measurement yet. */
	int64_t clock_off;
	/* In a fleet: queues that consumers of this host wait for, because another host serves
	 * them. */
	uint64_t standby;
	uint64_t reserved[14]; /* 0 */
} toytimer_queue_status;

int toytimer_queue_get_status(toytimer_queue *q, toytimer_queue_status *ret);

/* Returns a sentence for an error of these functions, without a newline. Never NULL, and constant.
 */
const char *toytimer_queue_strerror(int error);

#ifdef __cplusplus
}
#endif

#endif
