/* SPDX-License-Identifier: MIT */
/*
 * The stage of the broker's scenes: a world (broker_world.h), the wake that came last, and what a
 * client does in nearly every scene. Each step fails the test unless it is answered PROTO_OK.
 */
#pragma once

#include "broker_world.h"

#define MONO   PROTO_CLOCK_MONOTONIC
#define BOOT   PROTO_CLOCK_BOOTTIME
#define REAL   PROTO_CLOCK_REALTIME
#define SECOND UINT64_C(1000000)

extern struct world w;
extern struct proto_queue_wake last;	 /* the wake that came last */
extern struct world_client *last_client; /* who got it */
extern uint64_t wakes;			 /* that have come */

/* A scene begins with an empty store and ends with a check of the broker's invariants. */
int scene_start(void **state);
int scene_end(void **state);
#define SCENE(name) cmocka_unit_test_setup_teardown(name, scene_start, scene_end)

/* A client that has said hello without a token. */
struct world_client *connect_one(uint32_t uid);
/* Stores a timer with the payload "p". */
void store(struct world_client *c, struct proto_queue_put put, const char *key);
/* Consumes the client's queue 1, or that of r. */
void consume(struct world_client *c, uint32_t window);
void consume_with(struct world_client *c, struct proto_queue_consume r);
/* Acknowledges a wake of queue 1; its answer may be another one than PROTO_OK. */
void acknowledge(struct world_client *c, uint64_t id, uint32_t number);
/* Asks for another attempt at the last wake, so many microseconds later. */
void retry(struct world_client *c, uint64_t delay);
/* Lets so many microseconds pass on all clocks. */
void pass(uint64_t span);
