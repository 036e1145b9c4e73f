/* SPDX-License-Identifier: MIT */
/*
 * The broker decides which client gets which wake. It is pure: it reads no clock and holds no
 * descriptor. It calls out in two ways only: to the store (store.h) and to an outlet for packets.
 * So the same code runs in timerqd, against a model, and under a simulation that kills it at any
 * step.
 *
 * The shell's turn:
 *
 * 	now = clocks; for each client that can be read and that broker_reads(): broker_handle();
 * 	store->process() if its descriptor is readable;
 * 	while (broker_serve(b, now)) ; // bounded work each
 * 	sleep until broker_next() of each clock, a client, or the store
 *
 * Memory holds the queues that have consumers and, for each lane (a queue's rows on one clock), the
 * first rows of the store. A wake is loaded before it is due, so that its delivery waits for no
 * disk. A delivered wake is "unacked"; only memory knows that. A wake leaves memory when the store
 * has reported that its row has changed. All other rows are only in the store, so memory does not
 * grow with their number.
 *
 * Errors: a negative errno is fatal for the broker; enum proto_status and proto_queue_status are
 * results for a client. Not thread-safe. Times are in microseconds. `now` is the shell's last
 * reading and is copied; `real` never goes back.
 */
#pragma once

#include "broker_types.h"

struct broker;

/*
 * Makes a broker without clients. It allocates a table of config->limits.max_clients.
 *   config: copied, except for the string of the version.
 *   store, outlet: borrowed until broker_free(). The store may be closed before that.
 * Return: 0, -ENOMEM.
 */
int broker_new(struct broker **ret, const struct broker_config *config, struct store *store,
	const struct broker_outlet *outlet);

/* Frees the broker with all of its clients; it sends nothing and asks the store for nothing. NULL
 * is allowed. Return: NULL. O(everything in memory). */
struct broker *broker_free(struct broker *b);

/*
 * A client has connected. broker_serve() ends it if it sends no hello within
 * PROTO_HELLO_TIMEOUT_US while the broker reads from it.
 *   max_clients: the limit for this user's clients; 0: that of broker_limits.
 *   ret_client: its number, from 1. The smallest free one is used.
 * Return: PROTO_OK; PROTO_E_CLIENTS, PROTO_E_CLIENTS_USER, PROTO_E_DESCRIPTORS (no memory): the
 * client is refused. O(clients).
 */
enum proto_status broker_connect(struct broker *b, uint32_t uid, uint32_t max_clients,
	const struct broker_now *now, uint32_t *ret_client);

/* Counts a client of that user that was refused, for the status. */
void broker_refused_client(struct broker *b, uint32_t uid);

/* Puts other limits in force, except for max_clients. A user who holds more than that keeps it.
 * O(1). */
void broker_set_limits(struct broker *b, const struct broker_limits *limits);

/* A client's connection has ended. Its unacknowledged wakes go back to their queues, and an attempt
 * counts for the oldest one of each consumer. Its requests are still carried out. Its number
 * becomes free when the store reads nothing more for it. O(its unacknowledged wakes). */
void broker_disconnect(struct broker *b, uint32_t client, const struct broker_now *now);

/* Whether the shell may read a packet from the client. It may not while too many requests of
 * the client or of its user wait; broker_outlet::resume() says when it may again. O(1). */
bool broker_reads(const struct broker *b, uint32_t client);

/* Handles one packet of a client, byte for byte as the peer sent it. Return: 0; 1: the shell must
 * disconnect the client after it has sent the packets in the outlet. O(records of the packet). */
int broker_handle(struct broker *b, uint32_t client, const void *packet, size_t size,
	const struct broker_now *now);

/* The client has read what was sent to it. O(its consumers). */
void broker_writable(struct broker *b, uint32_t client);

/* Begins a commit if none is under way, starts loads, and delivers a slice of the due wakes.
 * Return: whether there is more to do at once. The work of one call is bounded. */
bool broker_serve(struct broker *b, const struct broker_now *now);

/* The next instant at which broker_serve() has something to do, on a clock of durable timers;
 * PROTO_FOREVER: never. wake_system: only for timers that wake the machine. O(1). */
uint64_t broker_next(const struct broker *b, unsigned int clock, bool wake_system);

/* The same on broker_now.real: for retries, wakes that become overdue, and clients without a hello.
 * O(1). */
uint64_t broker_next_real(const struct broker *b);

/* Whether the store holds any timer. If it holds none, the clocks do not matter. O(1). */
bool broker_holds_timers(const struct broker *b);

/* When a commit should store the clocks, if the machine is awake then: an instant of
 * broker_now.real; PROTO_FOREVER: never. O(1). */
uint64_t broker_next_aside(const struct broker *b);

/* Whether all requests that change something are answered, so that a clean stop may go on. O(1). */
bool broker_idle(const struct broker *b);
/* Whether the only changes under way wait for locks of other sessions of the database.
 * O(1). */
bool broker_waits_for_locks(const struct broker *b);
