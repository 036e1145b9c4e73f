/* SPDX-License-Identifier: MIT */
/*
 * Connections: a socket each, and what is between it and the worker's session of the same number.
 *
 * No output is ever kept here. An answer has its room before its request is read: the socket is
 * asked how much its client has not read yet (SIOCOUTQ), and Linux takes a packet whenever that is
 * below the send buffer's size, whatever the packet's own. Wakes stay in the worker until the
 * socket took them. So a client that does not read costs its socket's buffer and nothing else; it
 * is "blocked": neither read from nor sent to until the kernel tells that it has read again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "log.h"
#include "meter.h"
#include "store.h"
#include "turns.h"
#include "worker.h"

struct client {
	int fd;		 /* 0: none; main() sees to it that no connection gets that number */
	uint32_t unread; /* bytes that it may not have read yet, an upper bound */
	bool blocked;
	bool drain;  /* blocked until it has read everything */
	bool stored; /* systemd has it */
	bool left;   /* systemd is to give up the one before it of this session's number */
	bool queued; /* clients::queue */
	bool told;   /* by epoll, since it was last read from */
	bool waits;  /* clients::turns: there may be something to read, or it has gone */
	struct turns_link turn;
	uint32_t queue_next;
	uint64_t queued_at; /* monotonic */
};

struct clients {
	struct worker *worker;
	struct log *log;
	struct store *store;
	int epoll;		     /* borrowed */
	uint64_t data;		     /* what epoll tells of a client, plus its session */
	struct client *of;	     /* by session */
	uint32_t count;		     /* elements of it */
	struct turns_list turns;     /* users with clients that wait for a turn */
	struct turns_user *turns_of; /* by user */
	struct meter meter;
	bool cutting; /* sessions from cut_next on are to end whose user is cut off */
	uint32_t cut_next;
	uint8_t *in, *out;		  /* one packet each */
	uint32_t queue_first, queue_last; /* sessions that are to be stored, by queue_next */
	bool queue_runs;		  /* WORKER_STORE will come up */
	bool overflow_uid_is_nobody;	  /* see clients_init() */
	uint32_t overflow_uid;
};

/*
 * Takes over an accepted connection: asks the kernel who it is, opens a session, or tells it why
 * not and closes it. Return: whether it is a client now.
 */
bool client_accept(struct clients *clients, int fd, const struct now *now);

/*
 * Has the kernel refuse to pass descriptors to this connection, or to those that are made to this
 * listener (since Linux 6.16; else does nothing). One that we drop is closed by us if nobody else
 * has it, and how long that takes is its sender's to decide: a TCP connection may linger for an
 * hour.
 */
void client_forbid_descriptors(int fd);

/* Refuses a connection that there is no session for, tells its client why, and closes it. */
void client_refuse(
	struct clients *clients, int fd, enum proto_status status, const struct now *now);

/* epoll reported these events for the session: has it wait for a turn; or, where it was blocked and
 * its client has read, has wakes sent to it again. */
void client_event(
	struct clients *clients, uint32_t session, uint32_t events, const struct now *now);

/* Gives the session its turn: reads and handles one packet at most. It waits for another turn where
 * there may be more to read. Return: the work, in the shortest records. */
uint32_t client_turn(struct clients *clients, uint32_t session, const struct now *now);

/* Serves the session whose turn it is: worker_serve(). ret_size: of its packet in bytes, a measure of
 * the work; 0: there was none. Return: whether a session waited to be served. */
bool client_serve(struct clients *clients, const struct now *now, size_t *ret_size);

/* For clients.c, and within client.c. */

/* Sends one packet without waiting and without SIGPIPE. Return: 0, or a negative errno. */
int client_send_packet(int fd, const void *packet, size_t size);

/* The same to a client, counting what it has not read and the time that it takes. */
int client_send(struct clients *clients, uint32_t session, const void *packet, size_t size);

/* The queue of those who wait for a turn to be read from. */
struct turns client_turns(struct clients *clients);

/* The session's number is to be looked at when connections are stored. */
void client_queue(struct clients *clients, uint32_t session);

/* Puts a connection into a session's place, which has none; ends a session and closes its
 * connection. */
void client_open(struct clients *clients, uint32_t session, int fd);
void client_close(struct clients *clients, uint32_t session);

/* Has epoll watch for what the client may do now: EPOLL_CTL_ADD or _MOD. Return: 0, a negative
 * errno. */
int client_watch(struct clients *clients, uint32_t session, int operation);

/* The kernel's word for how many bytes the client has not read; as many as can be where it has
 * none. */
uint32_t client_ask_unread(struct client *client);

/* Which socket of this boot it is; 0 where the kernel does not say. */
uint64_t client_socket_cookie(int fd);
