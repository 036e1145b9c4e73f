/* SPDX-License-Identifier: MIT */
/*
 * The loop: it sleeps in epoll_wait() until a client, a clock or a signal needs something.
 *
 * One turn reads the clocks, handles one packet of each client that has sent something, sends what
 * is due, and arms the alarm. While an alarm is near (alarm_near()) and no client has sent
 * anything, a turn only reads the clocks again. No turn is unbounded. Between two slices of
 * requests the loop sends what has become due, so nobody's wake waits for somebody else's batch.
 *
 * An invariant, the fairness of users: one user's requests, connections and sockets delay another
 * user's wake by at most two slices. A slice has three parts, each of at most 300 us and one call
 * more. A turn of the loop is one slice, and looks at everything that a wake waits for. Sessions
 * take their turns by user and then by session (turns.h). Where a peer chooses how long a call
 * takes, the time is measured and its user is cut off (meter.h).
 */
#pragma once

#include "alarm.h"
#include "clients.h"
#include "listener.h"
#include "population.h"
#include "reload.h"
#include "setup.h"

struct loop {
	int epoll, signals;
	struct log *log;
	struct listener listener;
	struct fdstore fdstore;
	struct clients clients;
	struct alarm alarm;
	struct worker worker;
	void *block; /* the worker's arena */
	size_t block_size;
	struct population population;
	struct now now;
	struct setup *setup; /* borrowed */
	struct reload reload;
	unsigned int listeners_ready; /* those with waiting connections, a bit each */
	uint64_t watchdog_timeout;    /* microseconds; 0: systemd has no watchdog for us */
	bool retry_scheduled;	      /* WORKER_WATCHDOG_AGAIN will fire */
	bool reloading;		      /* systemd waits for the end of a reload */
	bool watches_listeners;	      /* epoll reports waiting connections */
	bool busy;		      /* there is more work: the next turn must not sleep */
	bool near;		      /* see alarm_near() */
	bool stopping;
};

/*
 * Takes the descriptors that systemd passed, adopts the state of an earlier process or starts with
 * an empty one, and blocks SIGTERM, SIGINT and SIGHUP to receive them in the loop. If systemd
 * passed no listener, the caller opens one next.
 *   reload: taken over. setup: borrowed.
 * Return: 0, or a negative errno after it was logged. loop_close() in either case.
 */
int loop_init(struct loop *loop, struct log *log, const struct worker_config *config,
	struct setup *setup, const struct reload *reload);

/* Serves until SIGTERM or SIGINT. Return: 0, or a negative errno after it was logged. */
int loop_run(struct loop *loop);

/* Tells the clients that the daemon stops, and releases everything. */
void loop_close(struct loop *loop);
