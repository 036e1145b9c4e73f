/* SPDX-License-Identifier: MIT */
/*
 * The shell of timerqd: an event loop of libsystemd around the broker, the store, and timerd.
 *
 * A turn reads the clocks, hands packets to the broker, and has it serve. The broker's answers and
 * wakes go to sockets that never block: an answer that finds no room is kept until its client has
 * read, and while one is kept nothing more is read from that client; a wake that finds no room
 * stays in the broker.
 */
#pragma once

#include <systemd/sd-event.h>

#include "../log.h"
#include "../peer.h"
#include "../reload.h"
#include "../socket_file.h"
#include "core/broker.h"
#include "queue_setup.h"
#include "wakeups.h"

#define SERVER_LISTENERS 8

struct connection;

struct server {
	struct log *log;
	struct queue_setup *setup; /* borrowed */
	struct reload *reload;	   /* borrowed */
	sd_event *event;
	struct store *store;
	struct broker *broker;
	struct broker_outlet outlet;
	struct clocks clocks;
	struct broker_now now;
	struct peer_rules peers;
	struct wakeups wakeups;
	struct socket_file file;
	int listeners[SERVER_LISTENERS];
	unsigned int listener_count;
	struct connection **connections; /* by the broker's client number - 1 */
	uint32_t connection_count;
	uint32_t ended_count; /* of connections, until connections_reap() */
	sd_event_source *serve, *real, *store_source;
	bool reloading;	       /* the service manager waits for the end of a reload */
	uint32_t *gids;	       /* PEER_GROUPS_MAX: of one client */
	enum store_state said; /* the store's state that was logged last */
	bool impatience_said;
	bool clock_off_said;
	uint8_t *in; /* one packet */
};

/* setup, reload: borrowed. store: taken over. stored: what it said about the clocks. Return: 0, or
 * a negative errno after it was logged; server_close() in either case. */
int server_init(struct server *s, struct queue_setup *setup, struct reload *reload,
	struct store *store, const struct clocks_stored *stored);

/* Serves until SIGTERM or SIGINT. Return: 0, or a negative errno after it was logged. */
int server_run(struct server *s);

/* Answers what is under way, stores the clocks, and gives everything back. */
void server_close(struct server *s);
