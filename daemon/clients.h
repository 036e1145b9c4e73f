/* SPDX-License-Identifier: MIT */
/*
 * The table of all connections: see client.h for one of them.
 */
#pragma once

#include "client.h"

/* Allocates the table, one entry for each possible session, and the packet buffers. config,
 * epoll_data: see struct clients. Return: 0, -ENOMEM; clients_close() in either case. */
int clients_init(struct clients *clients, struct worker *worker, struct log *log,
	const struct config *config, struct fdstore *store, int epoll, uint64_t epoll_data);

/* Puts other rules for users and groups in force: for new clients at once, for the others by
 * clients_relimit_next(). */
void clients_relimit(struct clients *clients, const struct config *config);

/* Gives some clients the limits of new rules. Return: whether there may be more such clients. */
bool clients_relimit_next(struct clients *clients);

/*
 * After worker_adopt(): joins each connection that an earlier process stored with its session, and
 * sends the answer that the earlier process may not have sent. Ends each session that has no
 * connection, and closes each connection that has no session.
 */
void clients_adopt(struct clients *clients);

/* After worker_adopt() has failed: tells the client of each connection that an earlier process
 * stored to register again, and closes the connection. */
void clients_dismiss_inherited(struct clients *clients);

/* Handles at most one packet of the next client in turn, by user and then by session.
 * Return: the cost, in cancel records; 0: the queue is empty. */
uint32_t clients_handle_next(struct clients *clients, const struct now *now);

/* Ends at most one session of a user who is cut off, because that may take long.
 * Return: whether there may be more such sessions. */
bool clients_cut_off_next(struct clients *clients);

/* Ends all connections: stores what can be stored, and tells the other clients that the daemon
 * stops. */
void clients_close(struct clients *clients);
