/* SPDX-License-Identifier: MIT */
/* From the caller's due to an instant. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto.h"
#include "toytimer.h"

/* Clocks read in one call of the library, each once: all of a batch counts from the same instant.
 * Zero it first. */
struct instants {
	uint64_t at[PROTO_CLOCKS]; /* rounded up: no span from it ends too early */
	bool known[PROTO_CLOCKS];
};

/* Return: 0; -ERANGE: past the end of the clock. The clock is a valid one. */
int instant_of(struct instants *now, enum toytimer_clock clock, unsigned int flags, uint64_t due,
	uint64_t *ret);
