/* SPDX-License-Identifier: MIT */
/*
 * A client at the level of packets that keeps count: of what it asked for, what it was told, and
 * that each wake is the one that has to come next. It goes on over a daemon's death as
 * timerd-protocol(7) says. What goes wrong in here fails the cmocka test that called it.
 */
#pragma once

#include "wire.h"

#define FOLLOWER_TIMERS_MAX 23

struct follower {
	struct wire wire;
	const unsigned int *starts; /* of daemons so far: each may have had a wake sent again */
	size_t asked;		    /* bytes of the last request, in wire.out */
	uint64_t answered;	    /* the last serial */
	uint64_t resumed;	    /* times */
	unsigned int timers, wakes, again;
	uint8_t clock; /* of what it asks for next; MONOTONIC */
	uint8_t flags;
	struct {
		uint64_t id, due, every;
		uint32_t number;
		bool gone;
	} of[FOLLOWER_TIMERS_MAX]; /* by cookie */
};

void follower_open(struct follower *f, const char *socket, const unsigned int *starts);

/* Takes a packet, whichever it is. Return: whether one came in time. */
bool follower_take(struct follower *f, int timeout_ms);

/* Asks for a timer that is due after a span, in microseconds as `every` is, and does not wait for
 * the answer. */
void follower_ask(struct follower *f, uint64_t span, uint64_t every);
void follower_await_answer(struct follower *f);

/* Both. */
void follower_enroll(struct follower *f, uint64_t span, uint64_t every);

/* Waits until it has been told so many times that its session goes on. */
void follower_await_resumed(struct follower *f, uint64_t times);
