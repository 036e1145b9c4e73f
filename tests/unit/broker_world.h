/* SPDX-License-Identifier: MIT */
/*
 * A broker in a world that a test plays: clients that speak packets, a store in memory, and time.
 * Every packet from the broker is opened by the codec; what goes wrong fails the cmocka test.
 */
#pragma once

#include "queue_codec.h"
#include "store_memory.h"
#include "broker.h"
#include "lanes.h"
#include "queues.h"
#include "state.h"

#define WORLD_CLIENTS 20
#define WORLD_QUEUES  4 /* that a client opens: numbers 1 to 4 */

/* A wake that a consumer has, as the test has seen it. */
struct world_wake {
	uint64_t timer;
	uint32_t number, queue;
};

struct world_client {
	bool connected, ended;
	bool stuck;	 /* its socket has no room for wakes */
	uint32_t number; /* the broker's */
	uint64_t serial, put;
	struct world_wake *wakes; /* not answered yet */
	size_t count, room;
	struct proto_header answer; /* the last one */
	uint32_t status;	    /* of its first record, where it has one */
	uint64_t id;
	uint64_t answers;
};

struct world {
	struct store_memory store;
	struct broker_outlet outlet;
	struct broker *b;
	struct broker_now now;
	struct broker_limits limits;
	uint64_t load_ahead; /* of the broker's configuration */
	struct world_client clients[WORLD_CLIENTS];
	/* Sees each record of a wake. NULL: nobody. */
	void (*woken)(struct world *w, struct world_client *c, const struct proto_queue_wake *r);
	/* Sees each packet, opened. NULL: nobody. */
	void (*seen)(struct world *w, struct world_client *c, const struct queue_codec_packet *p);
	_Alignas(8) uint8_t out[QUEUE_CODEC_BUFFER];
	struct queue_codec_writer writer;
};

void world_start(struct world *w);
/* Frees everything. */
void world_end(struct world *w);
/* The broker dies, n pieces of what the store was to do are done, and a new broker begins. */
void world_restart(struct world *w, size_t n);

/* Connects and says hello; opens queues q1 to q4 if `opens`. The store has to answer before it may
 * put. */
struct world_client *world_connect(struct world *w, uint32_t uid, const uint8_t *token, bool opens);
void world_disconnect(struct world *w, struct world_client *c);

/* A request: begin, records, send. Nothing is sent for a client that has ended. */
void world_begin(struct world *w, struct world_client *c, uint16_t opcode);
void world_send(struct world *w, struct world_client *c, uint64_t cursor);
/* One with one record. */
void world_ask(struct world *w, struct world_client *c, uint16_t opcode, const void *record,
	uint64_t cursor);
/* Bytes as they are. Return: what broker_handle() returned. */
int world_send_bytes(struct world *w, struct world_client *c, const void *bytes, size_t size);

/* A put of one timer, due at an instant. */
struct proto_queue_put world_put(uint32_t queue, unsigned int clock, uint64_t due);
/* Sends it, with key and payload. */
void world_store(struct world *w, struct world_client *c, struct proto_queue_put put,
	const char *key, const char *payload);

/* Serves until there is nothing more to do at once. */
void world_serve(struct world *w);
/* Serves, and has the store do what there is, until neither has more. */
void world_settle(struct world *w);
void world_pass(struct world *w, uint64_t span); /* on all clocks; without serving */

/* Forgets that a client has a wake. Return: whether it had. */
bool world_forget(struct world_client *c, uint64_t timer, uint32_t number);

/* What must be so whenever the broker is at rest: see broker_world.c. idle: broker_serve() has
 * returned false since the last event. */
void world_check(struct world *w, bool idle);
