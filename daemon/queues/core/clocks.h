/* SPDX-License-Identifier: MIT */
/*
 * The clocks of durable timers, carried over reboots. Pure: the shell reads the kernel's clocks.
 *
 *   realtime   The kernel's wall clock.
 *   boottime   Elapsed time. At a boot it continues from the stored value, plus the time that
 *		realtime has advanced since then (never less than 0).
 *   monotonic  Running time: the kernel's, plus the value that was stored before this boot.
 *
 * If the wall clock is behind the last stored instant, it is not trusted: the machine has lost the
 * time. Then realtime and boottime timers are held until the wall clock has passed that instant, or
 * is synchronised, or patience has run out. Until then boottime is the stored value plus the time
 * since the boot.
 *
 * Nothing here is thread-safe, fails or allocates. Times are in microseconds.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto.h"

/* One reading of the kernel's clocks, microseconds. */
struct clocks_reading {
	uint64_t at[PROTO_CLOCKS];
	bool synchronised; /* the kernel says that the wall clock is synchronised */
};

/* The stored state of the clocks, written with each commit. All zero: nothing was stored. */
struct clocks_stored {
	uint8_t boot_id[16];
	uint64_t now[PROTO_CLOCKS];   /* these clocks at one moment */
	int64_t offset[PROTO_CLOCKS]; /* struct clocks */
	bool trusted;
	bool clean; /* a clean stop has written it */
};

struct clocks {
	uint8_t boot_id[16];
	uint64_t stored[PROTO_CLOCKS]; /* as they were at the last stop or crash before this boot */
	int64_t offset[PROTO_CLOCKS];  /* this clock - the kernel's; of realtime 0 */
	uint64_t give_up; /* the kernel's boottime at which the wall clock is trusted in any case */
	bool trusted;
	bool impatient; /* patience ran out: the clock is trusted although it is behind */
};

/*
 * Begins to count.
 *   stored: what the store has.
 *   boot_id: the kernel's, of this boot. Within the same boot the stored offsets stay valid.
 *   patience: how long to wait for a wall clock that is behind, microseconds.
 */
void clocks_start(struct clocks *c, const struct clocks_stored *stored,
	const uint8_t boot_id[static 16], uint64_t patience, const struct clocks_reading *kernel);

/* Return: the state that the next commit stores. now: from clocks_now(). */
struct clocks_stored clocks_store(const struct clocks *c, const uint64_t now[static PROTO_CLOCKS]);

/* Computes the clocks in microseconds. Return: true if the wall clock is trusted from this call on:
 * the caller then updates the timers that were held. O(1). */
bool clocks_now(
	struct clocks *c, const struct clocks_reading *kernel, uint64_t ret[static PROTO_CLOCKS]);

/* Whether timers of that clock are held. */
static inline bool clocks_holds(const struct clocks *c, unsigned int clock)
{
	return !c->trusted && clock != PROTO_CLOCK_MONOTONIC;
}

/* When to call clocks_now() again because timers are held: an instant of the kernel's boottime;
 * PROTO_FOREVER: no timers are held. */
uint64_t clocks_next_check(const struct clocks *c);

/* Converts an instant of a clock of this module into one of the kernel's clock. PROTO_FOREVER stays
 * as it is. */
uint64_t clocks_to_kernel(const struct clocks *c, unsigned int clock, uint64_t at);
