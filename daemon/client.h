/* SPDX-License-Identifier: MIT */
/*
 * One connection: the socket of a client, and the worker's session of the same number.
 *
 * timerd keeps no output for a client. Before it reads a request, it makes sure that the answer has
 * room: it asks the kernel how many bytes the client has not read yet (SIOCOUTQ). Linux accepts a
 * packet of any size while that number is below the size of the send buffer. Wakes stay in the
 * worker until the socket has accepted them. So a client that does not read costs the buffer of its
 * socket and nothing else. Such a client is "blocked": timerd neither reads from it nor sends to it
 * until the kernel reports that the client has read.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "fdstore_queue.h"
#include "log.h"
#include "meter.h"
#include "peer.h"
#include "turns.h"
#include "worker.h"

struct client {
	int fd;		     /* 0: none; main() makes sure that no connection gets number 0 */
	uint32_t unread;     /* upper bound of the bytes that the client has not read */
	bool blocked;	     /* no reads and no writes until the client has read */
	bool until_read_all; /* blocked until the client has read everything */
	bool reported;	     /* epoll has reported an event since the last read */
	bool queued;	     /* in clients::turns: there may be a packet or an end of file */
	struct turns_link turn;
};

struct clients {
	struct worker *worker;
	struct log *log;
	int epoll;	     /* borrowed */
	uint64_t epoll_data; /* the data of a client's epoll event is this plus its session */
	struct client *by_session;
	uint32_t count;		 /* of by_session */
	struct turns_list turns; /* users with clients in a queue to be read from */
	struct turns_user *turns_by_user;
	struct meter meter;
	bool cut_off_pending;  /* some sessions of users who are cut off may be open */
	uint32_t cut_off_next; /* the first session that is not checked yet */
	uint8_t *in, *out;     /* one packet each */
	struct fdstore_queue fdstore_queue;
	struct peer_rules peer_rules;
	const struct config *config; /* borrowed: rules for users and groups */
	uint32_t relimit_next; /* the first session that may have limits of an earlier config */
	uint32_t *gids;	       /* PEER_GROUPS_MAX: of one client */
};

/*
 * Takes over an accepted connection: asks the kernel who the client is, and opens a session. If the
 * client is refused, tells it why and closes the connection. Return: whether a session was opened.
 */
bool client_accept(struct clients *clients, int fd, const struct now *now);

/* Refuses an accepted connection: tells the client why and closes the connection. */
void client_refuse(
	struct clients *clients, int fd, enum proto_status status, const struct now *now);

/* Handles an epoll event of the session: queues the session to be read from. If the session is
 * blocked and its client has read, unblocks the session instead. */
void client_event(
	struct clients *clients, uint32_t session, uint32_t events, const struct now *now);

/* Reads and handles at most one packet of the session, and queues the session again if there may be
 * more. The session must just have left the queue. Return: the cost, in cancel records. */
uint32_t client_handle_next(struct clients *clients, uint32_t session, const struct now *now);

/* Serves the session whose turn it is: see worker_serve(). ret_size: of the packet that was
 * sent, in bytes; 0: none was. Return: whether there was such a session. */
bool client_serve(struct clients *clients, const struct now *now, size_t *ret_size);
