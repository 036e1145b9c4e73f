/* SPDX-License-Identifier: MIT */
/*
 * Many clients with a period each, in a few processes: what crowd.c and wakeups.c share. Each
 * client is a connection of its own to timerd, or has a timerfd of its own; its process waits for
 * all of its clients in one epoll.
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
		*plans;	    /* clients of them, in shared memory: read when they register */
	size_t wakes;	    /* of all plans together */
	uint64_t *lateness; /* room for wakes in shared memory, filled */
	size_t *woken;	    /* in shared memory: how many of these there are */
};

/* Starts the processes. When it returns, all is connected; nothing is registered. */
void clients_start(const struct clients_run *run);

/* Lets them register; when it returns, all is. */
void clients_register(void);

/* Waits until each process has had all its wakes. */
void clients_wait(void);
