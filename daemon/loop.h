/* SPDX-License-Identifier: MIT */
/*
 * The loop: it sleeps in epoll until a client, a clock or a signal wants something, and gives each
 * its turn.
 *
 * One turn reads the clocks, handles one packet of each client that sent something, sends what is
 * due and arms the alarm; while an alarm is near and nobody has said anything it only looks. No
 * turn is unbounded, and between two slices of requests whatever has become due is sent, so that
 * nobody's wake waits for somebody else's batch.
 */
/*
 * The fairness of users, an invariant: one user's requests, connections and sockets delay another
 * user's wake by at most two slices, each of which has three parts of at most 300 us and one call
 * more. A turn is one slice. It looks at everything that a wake waits for. Turns go round by user,
 * then by session (turns.h). Where a peer chooses how long a call takes, its time is measured and
 * its user is cut off (meter.h).
 */
#pragma once

#include "alarm.h"
#include "clients.h"
#include "listener.h"
#include "population.h"

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
	const char *notice;   /* for the status, behind the counts; the caller's */
	unsigned int calling; /* listeners that have connections waiting, by bit */
	uint64_t watchdog;    /* microseconds; 0: there is none */
	bool pinging;	      /* WORKER_WATCHDOG_AGAIN will come up */
	bool watching;	      /* epoll tells of the listeners */
	bool more;	      /* there is work to be done at once */
	bool near;	      /* an alarm will ring at once: see alarm_near() */
	bool stopping;
};

/*
 * Takes what systemd passed, goes on where an earlier process was killed or starts afresh, and
 * takes over signals. Without a listener from systemd the caller opens one next.
 * Return: 0, or a negative errno after it was logged. loop_close() in either case.
 */
int loop_init(struct loop *loop, struct log *log, const struct worker_config *config);

/* Serves until SIGTERM or SIGINT. Return: 0, or the negative errno of what failed, after it was
 * logged. */
int loop_run(struct loop *loop);

/* Tells the clients, and gives everything back. */
void loop_close(struct loop *loop);
