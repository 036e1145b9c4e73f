/* SPDX-License-Identifier: MIT */
/*
 * What the shell gives to the broker: limits, an outlet for packets, and readings of the clocks.
 */
#pragma once

#include "../store.h"
#include "clocks.h"
#include "queue_codec.h"

/* The most rows of a lane that are in memory before they are due, and the same for a lane with a
 * backlog. BYTES: the most bytes of their keys and payloads. */
#ifndef BROKER_AHEAD /* tests make these small, so that a few timers reach them */
#	define BROKER_AHEAD   256
#	define BROKER_BACKLOG 4096
#endif
#define BROKER_AHEAD_BYTES   ((size_t)256 << 10)
#define BROKER_BACKLOG_BYTES ((size_t)8 << 20)

/* The most bytes of one user's requests that wait for the store. They are about 2500 small timers.
 * Other users wait for these: 6 ms of the store's time, or 40 ms if each timer has a key. */
#define BROKER_PENDING_PER_USER ((size_t)1 << 20)

/* Microseconds after which the broker tries again a store that has failed or has no space. */
#define BROKER_RETRY_US UINT64_C(1000000)

struct broker_limits {
	uint32_t max_timers_per_user;
	uint64_t max_bytes_per_user;
	uint32_t max_clients, max_clients_per_user; /* only max_clients binds root */
};

/* Defaults: see timerqd(8). */
#define BROKER_TIMERS_PER_USER	100000
#define BROKER_BYTES_PER_USER	(UINT64_C(256) << 20)
#define BROKER_CLIENTS		4096
#define BROKER_CLIENTS_PER_USER 64

/* Limits of the configuration file for one user or for the members of a group. They replace those
 * for every user. */
struct broker_own {
	uint32_t max_timers, max_clients; /* 0: as for every user */
	uint64_t max_bytes;
};

/* Where packets go. */
struct broker_outlet {
	/* Return: 0; -EAGAIN: the client has to read first, and broker_writable() follows; another
	 * negative errno: the connection has ended, and the shell will disconnect the client. */
	int (*send)(void *userdata, uint32_t client, const void *packet, size_t size);
	/* The shell may read from the client again: the store has answered, or there is room. */
	void (*resume)(void *userdata, uint32_t client);
	/* Asks the shell to disconnect the client. NULL: only broker_handle() asks for that. */
	void (*end)(void *userdata, uint32_t client);
	/* Returns the limits of the user `uid`. client: one of its clients, whose groups count; 0:
	 * none. NULL: no user has own limits. */
	struct broker_own (*own)(void *userdata, uint32_t client, uint32_t uid);
	void *userdata;
};

struct broker_config {
	struct broker_limits limits;
	uint32_t pid;
	uint64_t instance; /* a number of this run of timerqd */
	uint64_t started;  /* real boottime */
	bool can_wake_system;
	/* A wake is loaded at most this many microseconds before its instant; 0: as soon as there
	 * is room. In a fleet, other hosts may change a wake until it is loaded. */
	uint64_t load_ahead;
	uint32_t overflow_uid; /* this uid owns no queue; 0: no uid is special */
	const char *version;   /* borrowed */
};

/* One reading of the clocks of durable timers, and of the kernel's boottime. */
struct broker_now {
	uint64_t at[PROTO_CLOCKS];
	/* The clocks may be this much later, and spans count from there. 0 on one host. */
	uint64_t uncertainty;
	bool held[PROTO_CLOCKS];
	uint64_t real;		     /* the kernel's boottime */
	int64_t clock_off;	     /* for the status: struct proto_queue_status_answer */
	struct clocks_stored clocks; /* to be stored with the next commit */
};
