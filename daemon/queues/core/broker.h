/* SPDX-License-Identifier: MIT */
/*
 * The broker: who gets which wake. Pure: it reads no clock, holds no descriptor, and meets the
 * world in two places only, the store (store.h) and an outlet for packets. So the same code runs in
 * timerqd, against a model, and under a simulation that kills it at any step.
 *
 * The shell's turn:
 *
 * 	now = clocks; for each client that can be read and that broker_reads(): broker_handle();
 * 	store->process() if its descriptor is readable;
 * 	while (broker_serve(b, now)) ; // bounded work each
 * 	sleep until broker_next() of each clock, a client, or the store
 *
 * What is in memory: queues with consumers, and for each of their lanes (queue, clock) the first
 * rows of the store. A wake is loaded before it is due, so that it waits for no disk then. It is
 * "unacked" from its delivery on, which nothing writes down; it leaves memory when the store has
 * said that its row has changed. Everything else is in the store alone: memory does not grow with
 * what is stored.
 *
 * Errors: a negative errno is fatal for the broker; enum proto_status and proto_queue_status are
 * results for a client. Not thread-safe.
 */
#pragma once

#include "../store.h"
#include "clocks.h"
#include "queue_codec.h"

/* Rows of a lane that are kept in memory ahead of their due, and bytes of their keys and payloads;
 * and the same where a backlog is due already. */
#ifndef BROKER_AHEAD /* tests make it small, so that little is much */
#	define BROKER_AHEAD   256
#	define BROKER_BACKLOG 4096
#endif
#define BROKER_AHEAD_BYTES   ((size_t)256 << 10)
#define BROKER_BACKLOG_BYTES ((size_t)8 << 20)

/* Bytes that one user's clients may have waiting for the store, with what they take in here. */
#define BROKER_PENDING_PER_USER ((size_t)32 << 20)

/* How long a store that has failed, or has no space, is left alone, microseconds. */
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
	/* Return: 0; -EAGAIN: the client has to read first, then broker_writable(); another
	 * negative
	 * errno: it has gone, and the shell will disconnect it. */
	int (*send)(void *userdata, uint32_t client, const void *packet, size_t size);
	/* A packet came back from the store, or room became free: the client may be read from. */
	void (*resume)(void *userdata, uint32_t client);
	/* The client is to be disconnected. NULL: its packets' handlers say it alone. */
	void (*end)(void *userdata, uint32_t client);
	/* The limits of the user `uid`. client: a client of this user, which has its groups; 0:
	 * none. NULL: no user has own limits. */
	struct broker_own (*own)(void *userdata, uint32_t client, uint32_t uid);
	void *userdata;
};

struct broker_config {
	struct broker_limits limits;
	uint32_t pid;
	uint64_t instance; /* names this life of timerqd */
	uint64_t started;  /* real boottime */
	bool can_wake_system;
	uint32_t overflow_uid; /* it owns no queue; 0: it is a user like any other */
	const char *version;   /* kept, not copied */
};

/* One reading: the clocks of durable timers, and one that no reboot and no setting concerns. */
struct broker_now {
	uint64_t at[PROTO_CLOCKS];
	uint64_t wide; /* how much later it may be: spans count from there. 0 on one host */
	bool held[PROTO_CLOCKS];
	uint64_t real;		     /* the kernel's boottime */
	struct clocks_stored clocks; /* to be stored with the next commit */
};

struct broker;

/* store, outlet: borrowed. Return: 0, -ENOMEM. */
int broker_new(struct broker **ret, const struct broker_config *config, struct store *store,
	const struct broker_outlet *outlet);
struct broker *broker_free(struct broker *b);

/* A client has connected. max_clients: its user's own limit; 0: none. Return: PROTO_OK and its
 * number, from 1; or why it is refused. */
uint32_t broker_connect(struct broker *b, uint32_t uid, uint32_t max_clients, uint32_t *ret_client);

/* Puts other limits in force, except for max_clients. Who holds more than they allow keeps it. */
void broker_set_limits(struct broker *b, const struct broker_limits *limits);

/* It has gone: what it had not acknowledged goes back; its oldest wake's attempt is counted. */
void broker_disconnect(struct broker *b, uint32_t client, const struct broker_now *now);

/* Whether a packet of the client may be read now: not while too much of what it asked for waits. */
bool broker_reads(const struct broker *b, uint32_t client);

/* Handles one packet. Return: 0; 1: the client is to be disconnected, after what was sent to it. */
int broker_handle(struct broker *b, uint32_t client, const void *packet, size_t size,
	const struct broker_now *now);

/* The client has read what was sent to it. */
void broker_writable(struct broker *b, uint32_t client);

/* Begins a commit if none is under way, starts loads, and delivers a slice of what is due.
 * Return: whether there is more to do at once. */
bool broker_serve(struct broker *b, const struct broker_now *now);

/* When broker_serve() has something to do, on a clock of durable timers; PROTO_FOREVER: never.
 * wake_system: among timers that wake the machine. O(1). */
uint64_t broker_next(const struct broker *b, unsigned int clock, bool wake_system);
/* The same on broker_now.real. */
uint64_t broker_next_real(const struct broker *b);
/* Whether anything is stored, so that the clocks matter. */
bool broker_holds_timers(const struct broker *b);
/* On broker_now.real: when the clocks should be stored, if the machine is awake anyway. */
uint64_t broker_next_aside(const struct broker *b);

/* All that was asked for is answered: a clean stop may go on. */
bool broker_idle(const struct broker *b);
