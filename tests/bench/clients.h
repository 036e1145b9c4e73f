/* SPDX-License-Identifier: MIT */
/*
 * Many clients in a few processes, for crowd.c and wakeups.c. Each client has one periodic timer,
 * with a connection to timerd or a timerfd of its own. A process waits for all its clients in one
 * epoll.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client_plan {
	uint64_t first, every, slack; /* us */
	uint32_t count;
};

struct clients_run {
	const char *socket; /* NULL: timerfds */
	size_t processes, clients;
	const struct client_plan
		*plans;	    /* one for each client, in shared memory; read at the registration */
	size_t wakes;	    /* of all plans together */
	uint64_t *lateness; /* of each wake, in shared memory */
	size_t *woken;	    /* how many wakes there were, in shared memory */
};

/* Starts the processes. When it returns, all clients are connected and none has registered. */
void clients_start(const struct clients_run *run);

/* Makes the clients register, and waits until all have done so. */
void clients_register(void);

/* Waits until each process has had all its wakes. */
void clients_wait(void);
