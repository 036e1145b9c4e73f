/* SPDX-License-Identifier: MIT */
/*
 * Translates instants between the clocks of a client in a time namespace and those of the daemon.
 * The monotonic and boottime clocks of the two can differ.
 *
 * The library uses the client's clocks, and translates when it writes or reads a packet. In the
 * first time namespace there is nothing to translate. In another one the library does not know
 * whether the daemon shares the namespace, so it measures. Until the offset of a clock is known,
 * the library sends dues as spans. The daemon answers with the instant that it computed from a
 * span, which gives the offset. This offset is too large by the travel time of the packet, so no
 * timer wakes early.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto.h"

struct clock_offsets {
	bool shifted; /* this process is in a time namespace */
	struct {
		bool known;
		uint64_t by;	/* the daemon's clock - the client's, modulo 2^64 */
		uint64_t since; /* the client's clock at the first span; 0: no span is sent yet */
	} of[PROTO_CLOCKS];
};

void clock_offsets_init(struct clock_offsets *offsets);

/* Translates a due for the daemon. Return: PROTO_RELATIVE if *ret_due is a span, otherwise 0. */
uint8_t clock_offsets_send(
	struct clock_offsets *offsets, uint8_t clock, uint64_t due, uint64_t *ret_due);

/* Learns the offset from the daemon's answer: `answered` is the daemon's instant for `due`. Return:
 * `answered` on the client's clock. */
uint64_t clock_offsets_learn(
	struct clock_offsets *offsets, uint8_t clock, uint64_t due, uint64_t answered);

/* Starts a new base for spans. Call it when no request is in flight, or when all are sent again. */
void clock_offsets_reset(struct clock_offsets *offsets);

/* The due of a listed timer on the client's clock, from the time until the due. Needs no offset. */
uint64_t clock_offsets_listed(
	const struct clock_offsets *offsets, uint8_t clock, uint64_t due, int64_t left);

/* Translates an instant from the daemon. Returns `unknown` while the offset is unknown. */
uint64_t clock_offsets_receive(
	const struct clock_offsets *offsets, uint8_t clock, uint64_t due, uint64_t unknown);
