/* SPDX-License-Identifier: MIT */
/*
 * Connections of timerqd: a socket for each client, and the answers that its client had no room
 * for.
 *
 * Every socket is non-blocking. An answer that finds no room is kept until its client has read; as
 * long as one is kept, timerqd reads nothing more from that client. A wake that finds no room stays
 * in the broker.
 *
 * The owner of a socket can make our calls on it slow: see meter.h. Each call on a client's socket
 * is measured, and a user whose calls take too long is cut off, as by timerd.
 *
 * The functions belong to the thread of the event loop.
 */
#pragma once

#include <systemd/sd-event.h>

#include "../log.h"
#include "../meter.h"
#include "../peer.h"
#include "core/broker.h"
#include "queue_setup.h"

struct connection;

struct connections {
	sd_event *event;		 /* borrowed */
	struct log *log;		 /* borrowed */
	const struct queue_setup *setup; /* borrowed: for the limits of one user */
	struct broker *broker;		 /* borrowed; set before the first client connects */
	struct peer_rules peers;
	struct meter meter;
	struct connection **at; /* by the broker's client number - 1; NULL: no such client */
	uint32_t room;
	uint32_t ended_count; /* of connections, until connections_reap() */
	uint32_t *gids;	      /* PEER_GROUPS_MAX: of the client that is looked at */
	uint8_t *in;	      /* one packet */
	/* Reads the clocks. */
	const struct broker_now *(*now)(void *userdata);
	/* Has broker_serve() and connections_reap() called soon. */
	void (*wants_turn)(void *userdata);
	void *userdata; /* of these two */
};

/* Allocates what so many clients need. The borrowed members and the two functions are set; the rest
 * is zero. Return: 0, -ENOMEM; connections_free() in either case. */
int connections_init(struct connections *cs, uint32_t max_clients);

/* Frees what connections_init() has allocated. connections_close() comes first. */
void connections_free(struct connections *cs);

/* Accepts a slice of the clients that wait at a listener. It is a handler for sd_event_add_io();
 * userdata: struct connections. Return: 0. */
int connections_accept(sd_event_source *source, int fd, uint32_t events, void *userdata);

/* Disconnects clients whose connections have ended, as many as a slice of time allows; the rest in
 * the next turn, which it asks for. It comes between two turns, since the broker may not lose a
 * client while it serves. now: the last reading. O(1) if none has ended, else O(room). */
void connections_reap(struct connections *cs, const struct broker_now *now);

/* Tells all clients that timerqd stops, and closes their connections. The broker still knows them.
 */
void connections_close(struct connections *cs);

/* For struct broker_outlet, which says what they do; userdata: struct connections. */
int connections_send(void *userdata, uint32_t client, const void *packet, size_t size);
void connections_resume(void *userdata, uint32_t client);
void connections_end(void *userdata, uint32_t client);
struct broker_own connections_own(void *userdata, uint32_t client, uint32_t uid);
