/* SPDX-License-Identifier: MIT */
/*
 * Connections: a socket each, and what is between it and the worker's session of the same number.
 *
 * No output is ever kept here. An answer has its room before its request is read: the socket is
 * asked how much its client has not read yet (SIOCOUTQ), and Linux takes a packet whenever that is
 * below the send buffer's size, whatever the packet's own. Wakes stay in the worker until the socket
 * took them. So a client that does not read costs its socket's buffer and nothing else; it is
 * "blocked": neither read from nor sent to until the kernel tells that it has read again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "log.h"
#include "worker.h"

struct client {
	int fd;		 /* -1: none */
	uint32_t unread; /* bytes that it may not have read yet, an upper bound */
	bool blocked;
	bool drain; /* blocked until it has read everything */
};

struct clients {
	struct worker *worker;
	struct log *log;
	int epoll;		     /* borrowed */
	uint64_t data;		     /* what epoll tells of a client, plus its session */
	struct client *of;	     /* by session */
	uint32_t count;		     /* elements of it */
	uint8_t *in, *out;	     /* one packet each */
	bool overflow_uid_is_nobody; /* see clients_init() */
	uint32_t overflow_uid;
};

/* Allocates the table and the two packet buffers: 16 bytes a client allowed. Return: 0, -ENOMEM. */
int clients_init(struct clients *clients, struct worker *worker, struct log *log, int epoll,
	uint64_t data, uint32_t max_clients);

/* Tells every client that the daemon stops, then closes all. */
void clients_close(struct clients *clients);

/*
 * Takes over an accepted connection: asks the kernel who it is, opens a session, or tells it why not
 * and closes it. Return: 0, or the negative errno of epoll_ctl(), after the connection was refused.
 */
int client_accept(struct clients *clients, int fd, const struct now *now);

/* Refuses a connection that there is no session for, and closes it. */
void client_refuse(int fd, enum proto_status status);

/* epoll reported these events for the session. Reads and handles one packet at most. Return: how many
 * records it had, as a measure of the work. */
uint32_t client_event(
	struct clients *clients, uint32_t session, uint32_t events, const struct now *now);

/* Sends the session, which worker_ready() gave, one packet of what is due, and settles it. */
void client_serve(struct clients *clients, uint32_t session, const struct now *now);
