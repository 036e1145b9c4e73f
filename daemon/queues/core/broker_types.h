/* SPDX-License-Identifier: MIT */
/*
 * What the shell gives to the broker: limits, an outlet for packets, and readings of the clocks.
 */
#pragma once

#include "../store.h"
#include "clocks.h"
#include "queue_codec.h"

/* How many rows of a lane memory holds before they are due, and how many bytes of keys and
 * payloads; and the same for a lane that has a backlog. */
#ifndef BROKER_AHEAD /* tests make these small, so that a few timers reach them */
#	define BROKER_AHEAD   256
#	define BROKER_BACKLOG 4096
#endif
#define BROKER_AHEAD_BYTES   ((size_t)256 << 10)
#define BROKER_BACKLOG_BYTES ((size_t)8 << 20)

/* Bytes that the requests of one user's clients may take while they wait for the store. About 2500
 * small timers, for which other users wait: 6 ms of the store, or 40 ms where each has a key. */
#define BROKER_PENDING_PER_USER ((size_t)1 << 20)

/* How long the broker waits before it tries a store again that has failed or has no space,
 * microseconds. */
#define BROKER_RETRY_US UINT64_C(1000000)

struct broker_limits {
	uint32_t max_timers_per_user;
	uint64_t max_bytes_per_user;
	uint32_t max_clients, max_clients_per_user; /* root is bound by the total alone */
};

/* Defaults: see timerqd(8). */
#define BROKER_TIMERS_PER_USER	100000
#define BROKER_BYTES_PER_USER	(UINT64_C(256) << 20)
#define BROKER_CLIENTS		4096
#define BROKER_CLIENTS_PER_USER 64

/* The limits that the configuration file gives to one user, or to the members of a group, in place
 * of those for every user. */
struct broker_own {
	uint32_t max_timers, max_clients; /* 0: as for every user */
	uint64_t max_bytes;
};

/* Where packets go. */
struct broker_outlet {
	/* Return: 0; -EAGAIN: the client has to read first, and broker_writable() follows; another
	 * negative errno: the client has gone, and the shell will disconnect it. */
	int (*send)(void *userdata, uint32_t client, const void *packet, size_t size);
	/* The store has answered a packet, or room became free: the client may be read from again.
	 */
	void (*resume)(void *userdata, uint32_t client);
	/* The shell is to disconnect the client. NULL: only broker_handle() tells it so. */
	void (*end)(void *userdata, uint32_t client);
	/* The limits of the user `uid`. client: a client of this user, which has its groups; 0:
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
	/* How far ahead of its instant a wake is loaded, microseconds; 0: as soon as there is room.
	 * In a fleet other hosts change what lies ahead. */
	uint64_t load_ahead;
	uint32_t overflow_uid; /* this uid owns no queue; 0: no uid is special */
	const char *version;   /* kept, not copied */
};

/* One reading of the clocks of durable timers, and of one that only this boot concerns. */
struct broker_now {
	uint64_t at[PROTO_CLOCKS];
	uint64_t
		wide; /* the clocks may be this much later; spans count from there. 0 on one host */
	bool held[PROTO_CLOCKS];
	uint64_t real;		     /* the kernel's boottime */
	int64_t clock_off;	     /* for the status: struct proto_queue_status_answer */
	struct clocks_stored clocks; /* to be stored with the next commit */
};
