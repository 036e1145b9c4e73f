/* SPDX-License-Identifier: MIT */
/*
 * The monotonic and boottime clocks of a client in a time namespace differ from the daemon's.
 *
 * The library counts on the client's clocks, and translates where a packet is written or read. In
 * the system's own namespace there is nothing to do. In another one it cannot know whether the
 * daemon shares it, so that it measures: until a clock's offset is known, dues are sent as spans.
 * The daemon answers with the instant that it made of a span. The offset that follows is too large
 * by the time that the packet took, so that no timer wakes early.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto.h"

struct clock_offsets {
	bool shifted; /* this process is in a time namespace */
	struct {
		bool known;
		uint64_t by;	/* daemon's - client's, modulo 2^64 */
		uint64_t since; /* unknown: the client's clock at the first span; 0: none is sent */
	} of[PROTO_CLOCKS];
};

void clock_offsets_init(struct clock_offsets *offsets);

/* What to send for a due of the client's. Return: PROTO_RELATIVE if it is a span, else 0. */
uint8_t clock_offsets_send(
	struct clock_offsets *offsets, uint8_t clock, uint64_t due, uint64_t *ret_due);

/* The daemon took a due of the client's for `answered`. Return: what that is on the client's clock. */
uint64_t clock_offsets_learn(
	struct clock_offsets *offsets, uint8_t clock, uint64_t due, uint64_t answered);

/* Nothing is in flight, or all of it is sent again: spans count from a new instant. */
void clock_offsets_reset(struct clock_offsets *offsets);

/* The due of a timer whose time left the daemon told. Needs no offset. */
uint64_t clock_offsets_listed(
	const struct clock_offsets *offsets, uint8_t clock, uint64_t due, int64_t left);

/* An instant of the daemon's on the client's clock; while that is unknown, `unknown`. */
uint64_t clock_offsets_receive(
	const struct clock_offsets *offsets, uint8_t clock, uint64_t due, uint64_t unknown);
