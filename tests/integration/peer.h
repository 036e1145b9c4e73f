/* SPDX-License-Identifier: MIT */
/*
 * A false daemon for tests of the library. The test sends each of its packets, right or wrong.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "codec.h"

/* One connection of the false daemon. */
struct peer {
	int fd;
	uint8_t in[PROTO_PACKET_MAX], out[PROTO_PACKET_MAX + 1];
	struct proto_header header; /* of the request in `in` */
	struct proto_register registered;
};

/* For cmocka_run_group_tests(): create its socket at peer_path, and remove it. */
extern char peer_path[96];
int peer_start(void **state);
int peer_stop(void **state);

/* Accepts the next connection; peer_end() closes it. linger: waits first until the other side has
 * closed. */
struct peer *peer_accept(void);
void peer_end(struct peer *p, bool linger);

/* Connects and closes, so that peer_accept() returns. */
void peer_poke(void);

/* Receives a request. Return: whether a well-formed request came. */
bool peer_receive(struct peer *p);

/* Receives a packet of any kind into `in`. Return: its size; 0 or -1: there is none. */
ssize_t peer_receive_bytes(struct peer *p);

/* Answers hello, and receives a registration. Return: whether one came. */
bool peer_greet(struct peer *p);

/* peer_send() sends the first n bytes of `out`. The others send a packet of n equal records, or of
 * one record. */
void peer_send(struct peer *p, size_t n);
void peer_say(struct peer *p, uint16_t opcode, uint64_t serial, size_t n, const void *record);
void peer_say_hello(struct peer *p, uint32_t magic, uint16_t version);
void peer_say_registered(struct peer *p, uint64_t serial, size_t n, uint64_t id);
void peer_say_wake(struct peer *p, uint64_t cookie, uint32_t number, uint32_t flags);
void peer_say_error(struct peer *p, uint32_t status);
void peer_say_resumed(struct peer *p, uint64_t serial);
