/* SPDX-License-Identifier: MIT */
/*
 * The handle: how a call takes and releases its lock, and how a thread waits.
 *
 * One mutex guards everything. A thread that waits for the daemon either leads or follows. The
 * leader waits on the connection, with the mutex released, and receives the packets for all
 * threads. A follower waits until the leader reports progress. When the leader leaves, one of the
 * followers becomes the leader. While there is a leader, no other thread receives, so that the
 * leader never sleeps for a packet that another thread has taken. Every thread may send.
 *
 * User code (a handler, a signal handler, a cancelled thread) may fork, or never return. Three
 * rules keep the handle usable:
 *  - No lock is held while user code runs, and no flag needs a normal return to be reset: see
 *    dispatch.h.
 *  - A thread can be cancelled only where it sleeps. Each sleep has a function that undoes what the
 *    thread began.
 *  - After each sleep and each handler, the library checks again that it is not in a forked child.
 *    In a child, the call returns -ECHILD. It takes no lock and writes to no shared descriptor.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "session.h"
#include "toytimer.h"

/* The kind of a handle: for timers at timerd, or for durable queues at timerqd. The lock is held
 * during each call. */
struct handle_kind {
	const struct connection_kind *connection;
	/* The connection is lost: finishes the requests that need no daemon, and queues the others
	 * again. */
	void (*lost)(struct session *s);
	/* Applies the packet in connection.in. Return: as answers_take(). */
	int (*take)(struct session *s);
	/* Sends the queued requests until the socket is full. */
	void (*send)(struct session *s);
	/* Whether send() could send a request now, although neither an answer nor EPOLLOUT is
	 * expected that would call it. */
	bool (*ready)(struct session *s);
	/* Whether an answer is expected. */
	bool (*awaits)(const struct session *s);
	/* Whether there is an event to hand out. */
	bool (*has_event)(struct session *s);
	/* Hands out the oldest event. Return: as handler_call_next(). */
	int (*dispatch)(struct toytimer *t, int *ret_result);
	/* Whether toytimer_run() has nothing to wait for. */
	bool (*run_ends)(const struct session *s);
	/* Frees the members of this kind. The connection is closed. */
	void (*destroy)(struct session *s);
};

struct toytimer {
	const struct handle_kind *kind;
	atomic_uint references;
	pthread_mutex_t lock;
	uint64_t timeout;
	int cancel_state;     /* of the thread that holds the lock, from before it took it */
	bool leading;	      /* a thread waits on the connection */
	bool others_process;  /* while one thread leads, another called toytimer_process() */
	bool socket_off;      /* `epoll` does not report `connection.epoll` */
	bool out_of_memory;   /* for a packet, which waits in `connection` */
	bool more;	      /* there may be more packets: the last call took as many as it may */
	bool signalled;	      /* `signal` is readable */
	bool run_over;	      /* `over` is readable */
	unsigned int runners; /* threads that sleep in toytimer_run() */
	unsigned int stopped; /* of these, threads that toytimer_stop() is to wake */
	uint64_t stops;	      /* calls of toytimer_stop() */
	bool stop_next;	      /* the last toytimer_stop() has not ended a toytimer_run() yet */
	int epoll;	      /* the caller's: connection.epoll and signal */
	int signal;	      /* eventfd, see handle_leave() */
	int over;	      /* eventfd: tells runners that toytimer_run() may end */
	struct session session;
};

/* Takes the lock and disables the cancellation of this thread. Return: 0, -EINVAL for NULL, -ECHILD
 * in a forked child. */
int handle_enter(struct toytimer *t);

/*
 * Makes the caller's descriptor readable if toytimer_process() has something to do, releases the
 * lock, and restores the cancellation of this thread. In a forked child it only restores the
 * cancellation.
 */
void handle_leave(struct toytimer *t);

/* Release the lock for the time of a handler, and take it again. The descriptor does not change.
 * handle_retake() returns 0, or -ECHILD without the lock. */
int handle_release(struct toytimer *t);
int handle_retake(struct toytimer *t, int cancel_state);

/* The deadline of a blocking call that starts now; TOYTIMER_FOREVER: none. */
uint64_t handle_deadline(const struct toytimer *t);

/* Undoes what a thread began that is cancelled in its sleep. Called with the lock held. */
typedef void (*handle_undo)(struct toytimer *t, void *userdata);

/*
 * Sends, receives, and waits for progress of any kind, with the lock released while it sleeps. The
 * caller then checks its own condition. A cancellation point: a cancelled thread calls undo, which
 * may be NULL, and releases the lock.
 * Return: 0; after the deadline -ETIMEDOUT, or the error that prevents a connection; -ENOMEM;
 * -ECHILD without the lock.
 */
int handle_await(struct toytimer *t, uint64_t deadline, handle_undo undo, void *userdata);

/* Waits until no other thread runs a handler of that timer. Return: 0, -ETIMEDOUT or -ECHILD. */
int handle_await_handler(struct toytimer *t, uint64_t timer, uint64_t deadline);

/*
 * Waits until the caller's descriptor is readable or, with `runs`, toytimer_run() may end. The lock
 * is released meanwhile. A cancellation point.
 * Return: 1, 0 (timed out), -EINTR, -EBADF, or -ECHILD without the lock.
 */
int handle_sleep(struct toytimer *t, uint64_t timeout, bool runs);

/*
 * Sends, receives and reconnects, without waiting.
 *   one_event: stop when an event is queued
 * Return: 0, or -ENOMEM: the packet stays for the next call.
 */
int handle_pump(struct toytimer *t, bool one_event);

/* For a thread that processes while another thread leads. Only the leader receives, so until it
 * has finished, packets do not make the caller's descriptor readable. */
void handle_yield_to_leader(struct toytimer *t);

/*
 * Builds a handle with one reference, and connects.
 *   t: zeroed memory of calloc(), with `kind` and what only this kind has set up; freed on failure
 * Return: 0 or a negative errno.
 */
int handle_open(struct toytimer *t, const char *path);

/* Frees a handle, also a half-built one. In a forked child the parent's handle does not change. */
void handle_free(struct toytimer *t);
