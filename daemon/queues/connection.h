/* SPDX-License-Identifier: MIT */
/*
 * Connections of timerqd: a socket for each client, and the answers that the socket did not take.
 *
 * Every socket is non-blocking. If a socket is full, timerqd keeps the answer until the client has
 * read. While it keeps an answer, it reads nothing more from that client. A wake that the socket
 * does not take stays in the broker.
 *
 * The owner of a socket can make our calls on it slow: see meter.h. Each call on a client's socket
 * is measured, and a user whose calls take too long is cut off, as by timerd.
 *
 * The functions belong to the thread of the event loop.
 */
#pragma once

#include <sys/epoll.h>
#include <systemd/sd-event.h>

#include "../log.h"
#include "../core/turns.h"
#include "../meter.h"
#include "../peer.h"
#include "core/broker.h"
#include "queue_setup.h"

/* How many listeners timerqd can have. */
#define CONNECTIONS_LISTENERS 8

struct connection;

/* A user who has connections. */
struct connection_user {
	struct turns_user ready;
	uint32_t uid;
	uint32_t connections; /* 0: the entry is free */
};

struct connections {
	sd_event *event;		 /* borrowed */
	struct log *log;		 /* borrowed */
	const struct queue_setup *setup; /* borrowed: for the limits of one user */
	struct broker *broker;		 /* borrowed; set before the first client connects */
	struct peer_rules peers;
	struct meter meter;
	struct connection **at; /* by the broker's client number - 1; NULL: no such client */
	uint32_t room;
	/* Listeners that accept no connection until paused_until, an instant of broker_now.real. */
	sd_event_source *paused[CONNECTIONS_LISTENERS];
	unsigned int paused_count;
	uint64_t paused_until;
	uint32_t ended_count; /* of connections, until connections_reap() */
	uint32_t *gids;	      /* PEER_GROUPS_MAX: of one client */
	uint8_t *in;	      /* one packet */
	/* One epoll set for all connections. sd-event would call epoll_wait() for each connection
	 * that is ready, and each call looks at all that are ready. */
	int epoll; /* -1: none */
	sd_event_source *source;
	/* Connections that epoll_wait() has reported, in turns. */
	struct turns_list ready;
	bool batch_follows;	       /* this pass has read a long packet */
	struct connection_user *users; /* room + 1; entry 0 is nobody's */
	uint32_t users_top;	       /* above all entries that are in use */
	struct turns_link *turns;      /* room + 1; by the broker's client number */
	/* Reads the clocks. */
	const struct broker_now *(*now)(void *userdata);
	/* Asks for a call of broker_serve() and connections_reap() soon. */
	void (*wants_turn)(void *userdata);
	void *userdata; /* of these two */
};

/* Allocates memory for max_clients. The caller has set the borrowed members and the two functions,
 * and zeroed the rest. Return: 0, -ENOMEM; connections_free() in either case. */
int connections_init(struct connections *cs, uint32_t max_clients);

/* Frees what connections_init() has allocated. connections_close() comes first. */
void connections_free(struct connections *cs);

/* Accepts a slice of the clients that wait at a listener. It is a handler for sd_event_add_io();
 * userdata: struct connections. Return: 0. */
int connections_accept(sd_event_source *source, int fd, uint32_t events, void *userdata);

/* Lets paused listeners accept again if their pause is over. now: broker_now.real. Return: when the
 * pause ends; PROTO_FOREVER: no listener is paused. */
uint64_t connections_listen_again(struct connections *cs, uint64_t now);

/* Disconnects clients whose connections have ended, until a slice of time is over. If some remain,
 * it asks for another turn. The caller calls it between two turns, because the broker may not lose
 * a client while it serves. now: the last reading. O(1) if none has ended, else O(room). */
void connections_reap(struct connections *cs, const struct broker_now *now);

/* Tells all clients that timerqd stops, and closes their connections. Their clients stay in the
 * broker. */
void connections_close(struct connections *cs);

/* For struct broker_outlet, which says what they do; userdata: struct connections. */
int connections_send(void *userdata, uint32_t client, const void *packet, size_t size);
void connections_resume(void *userdata, uint32_t client);
void connections_end(void *userdata, uint32_t client);
struct broker_own connections_own(void *userdata, uint32_t client, uint32_t uid);
