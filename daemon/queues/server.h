/* SPDX-License-Identifier: MIT */
/*
 * The shell of timerqd: an event loop of libsystemd around the broker, the store, and timerd.
 *
 * A turn reads the clocks, gives packets to the broker, and calls broker_serve(). The broker's
 * answers and wakes go to the connections (connection.h).
 *
 * All functions belong to the thread of the event loop.
 */
#pragma once

#include <systemd/sd-event.h>

#include "../log.h"
#include "../reload.h"
#include "../socket_file.h"
#include "connection.h"
#include "core/broker.h"
#include "queue_setup.h"
#include "store_report.h"
#include "wakeups.h"

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
	struct wakeups wakeups;
	struct socket_file file;
	int listeners[CONNECTIONS_LISTENERS];
	unsigned int listener_count;
	struct connections connections;
	sd_event_source *serve, *real, *store_source;
	struct store_report report;
	bool reloading; /* the service manager waits for the end of a reload */
	bool clock_off_logged;
};

/* setup, reload: borrowed. store: taken over. stored: the clocks as the store has them. Return: 0,
 * or a negative errno after it was logged; server_close() in either case. */
int server_init(struct server *s, struct queue_setup *setup, struct reload *reload,
	struct store *store, const struct clocks_stored *stored);

/* Serves until SIGTERM or SIGINT. Return: 0, or a negative errno after it was logged. */
int server_run(struct server *s);

/* Answers the requests under way, stores the clocks, and frees everything. */
void server_close(struct server *s);
