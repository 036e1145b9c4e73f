/* SPDX-License-Identifier: MIT */
/*
 * The handle, and the ways in, out and to wait.
 *
 * One mutex guards everything. A thread that has to wait for the daemon either leads or follows:
 * the leader waits on the connection, with the mutex released, and receives for all; the others
 * wait for it to tell of progress, and one of them takes over when it leaves. While there is a
 * leader, nobody else receives, so that no packet is taken from under a thread that sleeps until it
 * arrives. Sending is anybody's.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "connection.h"
#include "events.h"
#include "requests.h"
#include "timers.h"
#include "toytimer.h"

#define _public_ __attribute__((__visibility__("default")))

struct toytimer {
	atomic_uint references;
	pthread_mutex_t lock;
	pthread_cond_t progress; /* of whatever a thread may wait for; CLOCK_MONOTONIC */
	uint64_t timeout;
	bool leading;	      /* a thread waits on the connection */
	bool dispatching;     /* a handler runs */
	bool starved;	      /* there was no memory for a packet, which waits in `connection` */
	bool signalled;	      /* `signal` is readable */
	pthread_t dispatcher; /* where it does */
	unsigned int runners; /* threads in toytimer_run() */
	int epoll;	      /* the caller's: connection.epoll and signal */
	int signal;	      /* eventfd, see handle_leave() */
	struct connection connection;
	struct timers timers;
	struct events events;
	struct requests requests;
};

/* Takes the lock. Return: 0, -EINVAL for NULL, -ECHILD in a forked child. */
int handle_enter(struct toytimer *t);

/* Lets the caller's descriptor tell what there is for toytimer_process(), and releases the lock. */
void handle_leave(struct toytimer *t);

/* Makes the caller's descriptor unreadable if there is nothing to do. */
void handle_calm(struct toytimer *t);

/* When a blocking call that starts now has to end; TOYTIMER_FOREVER: never. */
uint64_t handle_deadline(const struct toytimer *t);

/*
 * Waits for progress of any kind, sending and receiving, with the lock released while it sleeps.
 * The caller looks whether it has come to what it waits for.
 * Return: 0, or when the deadline has passed, why nothing came: -ETIMEDOUT or what keeps us from
 * the daemon; or -ENOMEM.
 */
int handle_await(struct toytimer *t, uint64_t deadline);

/*
 * Sends, receives and reconnects, as far as it goes without waiting.
 *   one_event: no further than until an event is queued
 * Return: 0 or -ENOMEM; then what did not fit waits for the next call.
 */
int handle_pump(struct toytimer *t, bool one_event);

/*
 * Does what the packet in connection.in says. (answers.c)
 * Return: 0; -ENOMEM: nothing was done, the packet stays; another negative errno: this connection
 * is at its end, for that reason.
 */
int answers_take(struct toytimer *t);
