/* SPDX-License-Identifier: MIT */
/*
 * The queue of sessions whose connections systemd is to keep, or to drop.
 *
 * A session joins the queue when it has its first timer. Its connection is stored if it still has a
 * timer FDSTORE_AFTER_US later. The queue runs at a bounded rate, by the worker's internal timer
 * WORKER_FDSTORE, because each stored connection costs PID 1 time.
 *
 * A stored connection leaves systemd's fd store before it is closed. If systemd's queue is full at
 * that moment, the removal stays pending and its session's number joins the queue: a new connection
 * of that session must not be stored under the same name before the old one is removed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fdstore.h"
#include "worker.h"

struct fdstore_entry {
	int fd;		      /* the connection to store; 0: none */
	bool stored;	      /* systemd keeps the session's connection */
	bool removal_pending; /* systemd still keeps an earlier connection under this number */
	bool queued;
	uint32_t next;	    /* the next session in the queue; 0: none */
	uint64_t queued_at; /* monotonic microseconds, when fd was set */
};

struct fdstore_queue {
	struct fdstore *store;
	struct worker *worker;
	struct fdstore_entry *entries; /* by session */
	uint32_t first, last;	       /* sessions; 0: the queue is empty */
	bool scheduled;		       /* WORKER_FDSTORE will fire */
};

/* Allocates one entry for each of `count` sessions. Return: 0, -ENOMEM; fdstore_queue_free() in
 * either case. */
int fdstore_queue_init(
	struct fdstore_queue *queue, struct fdstore *store, struct worker *worker, uint32_t count);
void fdstore_queue_free(struct fdstore_queue *queue);

/* Adds the session, whose connection is fd, if it has a timer and its connection is neither stored
 * nor queued. Does nothing without systemd. */
void fdstore_queue_add(
	struct fdstore_queue *queue, uint32_t session, int fd, const struct now *now);

/* systemd keeps the session's connection already: an earlier process stored it. */
void fdstore_queue_set_stored(struct fdstore_queue *queue, uint32_t session);
bool fdstore_queue_is_stored(const struct fdstore_queue *queue, uint32_t session);

/* The session ends: removes its connection from systemd's fd store, now or later. */
void fdstore_queue_remove(struct fdstore_queue *queue, uint32_t session);

/* Starts WORKER_FDSTORE if the queue is not empty. For the end of each turn of the loop. */
void fdstore_queue_schedule(struct fdstore_queue *queue, const struct now *now);

/* Handles the next few sessions of the queue. For WORKER_FDSTORE. */
void fdstore_queue_run(struct fdstore_queue *queue, const struct now *now);

/* Handles all sessions of the queue, and waits until systemd has received everything, for some
 * seconds at most. Only for the end of the process. */
void fdstore_queue_flush(struct fdstore_queue *queue);
