/* SPDX-License-Identifier: MIT */
/*
 * All connections, as a whole: see client.h for each of them.
 */
#pragma once

#include "client.h"

/* Allocates the table, of one entry for each session that there may be, and the two packet buffers.
 * Return: 0, -ENOMEM. */
int clients_init(struct clients *clients, struct worker *worker, struct log *log,
	struct store *store, int epoll, uint64_t data);

/*
 * After worker_adopt(): joins the connections that an earlier process left with their sessions,
 * sends the answer that it may not have sent, and ends what has no counterpart.
 */
void clients_adopt(struct clients *clients);

/* After a block was found to be of no use: tells those whose connections are left to register
 * again. */
void clients_turn_away(struct clients *clients);

/* Gives the next client its turn, by user and then by session. Return: the work, in the shortest
 * records; 0: none waits. */
uint32_t clients_turn(struct clients *clients, const struct now *now);

/* Ends a session of a user who is cut off. Only one: it may take long. Return: whether there may be
 * more. */
bool clients_cut(struct clients *clients);

/* At the end of a turn: if a connection is to be stored, WORKER_STORE will come up. */
void clients_tend(struct clients *clients, const struct now *now);

/* Stores the next of the connections whose time has come. For WORKER_STORE. */
void clients_store(struct clients *clients, const struct now *now);

/* Ends all connections: stores what can be, tells the others that the daemon stops. */
void clients_close(struct clients *clients);

/* After a packet of the session: one that has got its first timer is to be stored, if it still has
 * one in a while. */
void clients_note(struct clients *clients, uint32_t session, const struct now *now);
