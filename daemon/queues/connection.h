/* SPDX-License-Identifier: MIT */
/*
 * Connections of timerqd: a socket each, and what was not sent yet.
 */
#pragma once

#include "server.h"

/* A listener can be read from: for sd_event_add_io(). */
int connections_accept(sd_event_source *source, int fd, uint32_t events, void *userdata);

/* Disconnects those that have ended, between turns. */
void connections_reap(struct server *s);

/* Tells all clients that timerqd stops, and closes their connections. */
void connections_close(struct server *s);

/* For struct broker_outlet; userdata: the server. */
int connections_send(void *userdata, uint32_t client, const void *packet, size_t size);
void connection_resume(void *userdata, uint32_t client);
void connection_end(void *userdata, uint32_t client);
struct broker_own connections_own(void *userdata, uint32_t client, uint32_t uid);

/* Of server.c: reads the clocks; has a turn come. */
const struct broker_now *server_now(struct server *s);
void server_wants_turn(struct server *s);
