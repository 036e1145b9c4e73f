/* SPDX-License-Identifier: MIT */
/*
 * The handle, and the ways in, out and to wait.
 *
 * One mutex guards everything. A thread that has to wait for the daemon either leads or follows:
 * the leader waits on the connection, with the mutex released, and receives for all; the others
 * wait for it to tell of progress, and one of them takes over when it leaves. While there is a
 * leader, nobody else receives, so that no packet is taken from under a thread that sleeps until it
 * arrives. Sending is anybody's.
 *
 * User code (a handler, a signal handler, the cancelling of a thread) may fork, or never return.
 * Three rules keep the handle usable:
 *  - No lock is held while user code runs, and no flag waits for it to return normally: see
 *    dispatch.h.
 *  - A thread can be cancelled only where it sleeps. Each sleep names what has to be undone then.
 *  - After each sleep and each handler, the library checks again that it is not in a forked child.
 *    A child returns -ECHILD, and neither locks nor writes to a descriptor that it shares.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "session.h"
#include "toytimer.h"

/* What a handle is about: timers at timerd, or durable queues at timerqd. The lock is held during
 * each call. */
struct handle_kind {
	const struct connection_kind *connection;
	/* The connection is lost: settles what can be settled here and queues the rest again. */
	void (*lost)(struct session *s);
	/* Does what the packet in connection.in says. Return: as answers_take(). */
	int (*take)(struct session *s);
	/* Sends what is queued, as far as the socket takes it. */
	void (*send)(struct session *s);
	/* Whether send() could send something that no answer and no EPOLLOUT will call it for. */
	bool (*ready)(struct session *s);
	/* Whether an answer is on its way. */
	bool (*awaits)(const struct session *s);
	/* Whether there is an event to hand out. */
	bool (*has_event)(struct session *s);
	/* Hands out the oldest event. Return: as handler_call_next(). */
	int (*dispatch)(struct toytimer *t, int *ret_result);
	/* Whether toytimer_run() has nothing to wait for. */
	bool (*run_ends)(const struct session *s);
	/* Frees what only this kind has. The connection is at its end. */
	void (*destroy)(struct session *s);
};

struct toytimer {
	const struct handle_kind *kind;
	atomic_uint references;
	pthread_mutex_t lock;
	uint64_t timeout;
	int cancel_state;     /* of the thread that holds the lock, from before it took it */
	bool leading;	      /* a thread waits on the connection */
	bool watched;	      /* another thread was seen to process meanwhile */
	bool muted;	      /* `epoll` does not tell of `connection.epoll` */
	bool starved;	      /* there was no memory for a packet, which waits in `connection` */
	bool more;	      /* packets may be left: the last call took as many as it may */
	bool signalled;	      /* `signal` is readable */
	bool run_over;	      /* `over` is readable */
	unsigned int runners; /* threads that sleep in toytimer_run() */
	unsigned int stopped; /* of these, threads that toytimer_stop() is to wake */
	uint64_t stops;	      /* calls of toytimer_stop() */
	bool stop_next;	      /* no toytimer_run() has ended for the last of them yet */
	int epoll;	      /* the caller's: connection.epoll and signal */
	int signal;	      /* eventfd, see handle_leave() */
	int over;	      /* eventfd: tells runners that toytimer_run() may end */
	struct session session;
};

/* Takes the lock and holds off the cancelling of this thread. Return: 0, -EINVAL for NULL, -ECHILD
 * in a forked child. */
int handle_enter(struct toytimer *t);

/*
 * Lets the caller's descriptor tell whether there is something for toytimer_process(), releases the
 * lock, and lets this thread be cancelled as before. In a forked child it does none but the last.
 */
void handle_leave(struct toytimer *t);

/* The same without a look at the descriptor, for the time of a handler; and the way back.
 * handle_retake() returns 0, or -ECHILD without the lock. */
int handle_release(struct toytimer *t);
int handle_retake(struct toytimer *t, int cancel_state);

/* When a blocking call that starts now has to end; TOYTIMER_FOREVER: never. */
uint64_t handle_deadline(const struct toytimer *t);

/* What a thread that is cancelled in its sleep leaves to be undone. Called with the lock held. */
typedef void (*handle_undo)(struct toytimer *t, void *userdata);

/*
 * Waits for progress of any kind, sending and receiving, with the lock released while it sleeps.
 * The caller looks whether it has come to what it waits for. A cancellation point: then undo, which
 * may be NULL, is called, and the lock is released.
 * Return: 0, or when the deadline has passed, why nothing came: -ETIMEDOUT or what keeps us from
 * the daemon; -ENOMEM; -ECHILD without the lock.
 */
int handle_await(struct toytimer *t, uint64_t deadline, handle_undo undo, void *userdata);

/* Waits until no other thread runs a handler of that timer. Return: 0, -ETIMEDOUT or -ECHILD. */
int handle_await_handler(struct toytimer *t, uint64_t timer, uint64_t deadline);

/*
 * Waits until the caller's descriptor is readable or, with `runs`, toytimer_run() may end. The lock
 * is released meanwhile. A cancellation point.
 * Return: 1, 0 (timed out), -EINTR, or -ECHILD without the lock.
 */
int handle_sleep(struct toytimer *t, uint64_t timeout, bool runs);

/*
 * Sends, receives and reconnects, as far as it goes without waiting.
 *   one_event: no further than until an event is queued
 * Return: 0 or -ENOMEM; then what did not fit waits for the next call.
 */
int handle_pump(struct toytimer *t, bool one_event);

/* For a thread that processes while another leads: whatever arrives is the leader's to take, and
 * the caller's descriptor is silent about it until the leader is done. */
void handle_yield_to_leader(struct toytimer *t);

/*
 * Builds a handle with one reference, and connects.
 *   t: zeroed memory of calloc(), with `kind` and what only this kind has set up; freed on failure
 * Return: 0 or a negative errno.
 */
int handle_open(struct toytimer *t, const char *path);

/* Frees a handle, also a half-built one. In a forked child it leaves the parent's alone. */
void handle_free(struct toytimer *t);
