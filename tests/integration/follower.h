/* SPDX-License-Identifier: MIT */
/*
 * A client at the level of packets. It counts its requests and the events, and checks that each
 * wake is the next one of its timer. If another daemon adopts its session, it repeats requests as
 * timerd-protocol(7) says. A failure in these functions fails the cmocka test.
 */
#pragma once

#include "wire.h"

#define FOLLOWER_TIMERS_MAX 23

struct follower {
	struct wire wire;
	const unsigned int *starts; /* of daemons so far: each start may repeat a wake */
	size_t asked;		    /* bytes of the last request, in wire.out */
	uint64_t answered;	    /* the last serial */
	uint64_t resumed;	    /* times */
	unsigned int timers, wakes, again;
	uint8_t clock; /* of the next timer; 0: monotonic */
	uint8_t flags;
	struct {
		uint64_t id, due, every;
		uint32_t number;
		bool gone;
	} of[FOLLOWER_TIMERS_MAX]; /* by cookie */
};

void follower_open(struct follower *f, const char *socket, const unsigned int *starts);

/* Receives and checks any packet. Return: whether one came in time. */
bool follower_take(struct follower *f, int timeout_ms);

/* Registers a timer that is due after a span, and does not wait for the answer. Microseconds. */
void follower_ask(struct follower *f, uint64_t span, uint64_t every);
void follower_await_answer(struct follower *f);

/* Registers a timer and waits for the answer. */
void follower_enroll(struct follower *f, uint64_t span, uint64_t every);

/* Waits until it has received that many resumed events. */
void follower_await_resumed(struct follower *f, uint64_t times);
