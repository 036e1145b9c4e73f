/* SPDX-License-Identifier: MIT */
/* Converts the due of a registration to an instant. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto.h"
#include "toytimer.h"

/* The clocks, each read at most once in a call of the library, so that all relative dues of a batch
 * count from the same instant. Zero it first. */
struct instants {
	uint64_t at[PROTO_CLOCKS]; /* rounded up, so that no span ends early */
	bool known[PROTO_CLOCKS];
};

/* The clock must be valid. Return: 0, or -ERANGE: the instant is past the end of the clock. */
int instant_of(struct instants *now, enum toytimer_clock clock, unsigned int flags, uint64_t due,
	uint64_t *ret);
