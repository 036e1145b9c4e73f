/* SPDX-License-Identifier: MIT */
/*
 * A world around one worker: virtual clocks, clients that speak in packets, and the loop's turn.
 * It does in memory what the daemon's shell does. A test asks the core as a client would, and time
 * passes when the test says so.
 *
 * Anything that a test cannot intend (a request that ends its session, an answer of the wrong
 * size) fails the test at once.
 */
#pragma once

#include "worker.h"

/* Packets that a client's socket holds unread. */
#define WORLD_ROOM 3

/* How a client behaves. */
struct world_client {
	bool stalled; /* it does not read */
	bool blocked;
	uint32_t unread; /* packets */
	uint64_t serial; /* of its last request */
};

/* One record that the daemon sent unasked. */
struct world_event {
	uint32_t session;
	uint16_t opcode;
	struct proto_wake wake;
	struct proto_cancelled cancelled;
	struct proto_error error;
};

/* What became of serving one session. */
struct world_served {
	uint32_t session; /* 0: nobody was ready */
	bool sent, blocked, closed;
};

struct world {
	struct worker worker;
	void *block;
	struct now now;
	struct world_client *clients; /* by session */
	struct proto_header answer;
	const void *answer_packet;  /* in the arena */
	struct world_event *events; /* sent since world_forget() */
	size_t n_events, events_room;
	uint64_t rings; /* turns in which an alarm rang */
	_Alignas(8) uint8_t in[PROTO_PACKET_MAX];
	_Alignas(8) uint8_t out[PROTO_PACKET_MAX];
};

/* All clocks start at different times, so that none can pass for another. */
#define WORLD_MONOTONIC UINT64_C(1000000000)
#define WORLD_BOOTTIME	UINT64_C(3000000000)
#define WORLD_REALTIME	UINT64_C(1800000000000000)

/* A daemon with these limits, which may wake the system. */
struct world *world_new(const struct limits *limits);
void world_free(struct world *world);

/* Limits that are not in the way. */
struct limits world_limits(uint32_t timers, uint32_t clients);

/* Connects; without a hello. */
enum proto_status world_try_connect(struct world *world, uint32_t uid, uint32_t *ret_session);

/* Connects and says hello. */
uint32_t world_connect(struct world *world, uint32_t uid);
void world_hello(struct world *world, uint32_t session);
void world_disconnect(struct world *world, uint32_t session);

/*
 * One request of so many records of the opcode's struct. The answer's header is left in
 * world->answer, its records are for world_answer().
 */
void world_request(struct world *world, uint32_t session, enum proto_opcode opcode,
	const void *records, uint32_t count, uint64_t cursor);
void world_answer(const struct world *world, uint32_t i, void *ret);

/* Hands over a packet as it is. Return: the status it ends the session with; 0: it does not. */
enum proto_status world_packet(
	struct world *world, uint32_t session, const void *packet, size_t size);

/* Requests of one record. */
struct proto_registered world_register(
	struct world *world, uint32_t session, const struct proto_register *r);
struct proto_registered world_rearm(
	struct world *world, uint32_t session, const struct proto_rearm *r);
enum proto_status world_cancel(struct world *world, uint32_t session, uint64_t id);
struct proto_status_answer world_status(struct world *world, uint32_t session);

/* A timer of that clock, due in that time; its id. */
uint64_t world_timer(struct world *world, uint32_t session, uint8_t clock, uint64_t in);

/* The whole list, asked for with as many requests as it takes. Return: how many; most is enough. */
size_t world_list(struct world *world, uint32_t session, uint32_t flags, struct proto_listed *ret,
	size_t most);

/* All clocks go on. */
void world_pass(struct world *world, uint64_t span);

/* Serves the session whose turn it is. What is sent is added to the events. */
struct world_served world_serve(struct world *world);

/* A whole turn of the loop: all that is due is sent. */
void world_turn(struct world *world);

/* Sleeps until the next alarm and turns. Return: whether there was one before that time on the
 * monotonic clock; else it is that time now. */
bool world_sleep(struct world *world, uint64_t until);

/* The client reads all there is. */
void world_read(struct world *world, uint32_t session);

void world_forget(struct world *world);
