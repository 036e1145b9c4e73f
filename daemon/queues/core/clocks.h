/* SPDX-License-Identifier: MIT */
/*
 * The clocks of durable timers, carried over reboots. Pure: the shell reads the kernel's clocks.
 *
 *   realtime   the wall clock, as the kernel says. boottime   elapsed time: within a boot the
 *     kernel's; at a boot it goes on by the difference of realtime to what was stored, never by a
 *     negative one. monotonic  running time: the kernel's, with what was stored at the start of
 *     this boot added.
 *
 * A wall clock that is behind the last stored instant is not believed: the machine's clock was
 * lost. Then realtime and boottime timers are held until it has passed that instant, or is
 * synchronised, or patience has run out. Until then boottime is what was stored, plus what has
 * elapsed since the boot.
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
	bool synchronised; /* the wall clock is, as the system says */
};

/* What the store keeps of the clocks, written with each commit. All zero: nothing was stored. */
struct clocks_stored {
	uint8_t boot_id[16];
	uint64_t now[PROTO_CLOCKS];   /* our clocks at one moment */
	int64_t offset[PROTO_CLOCKS]; /* struct clocks */
	bool believed;
	bool clean; /* written by a clean stop */
};

struct clocks {
	uint8_t boot_id[16];
	uint64_t stored[PROTO_CLOCKS]; /* as they were at the last stop or crash before this boot */
	int64_t offset[PROTO_CLOCKS];  /* ours - the kernel's; of realtime 0 */
	uint64_t give_up; /* the kernel's boottime at which the wall clock is believed anyway */
	bool believed;
	bool impatient; /* it is believed though it is behind: for a warning */
};

/*
 * Begins to count.
 *   stored: what the store has.
 *   boot_id: of this boot, as the kernel says. What was stored by the same boot goes on as it was.
 *   patience: how long a wall clock that is behind is waited for, microseconds.
 */
void clocks_start(struct clocks *c, const struct clocks_stored *stored,
	const uint8_t boot_id[static 16], uint64_t patience, const struct clocks_reading *kernel);

/* Return: what the next commit is to store. now: as clocks_now() gave it. */
struct clocks_stored clocks_store(const struct clocks *c, const uint64_t now[static PROTO_CLOCKS]);

/* Gives our clocks now, microseconds. Return: whether this call has begun to believe the wall
 * clock: the caller looks again at timers that were held. O(1). */
bool clocks_now(
	struct clocks *c, const struct clocks_reading *kernel, uint64_t ret[static PROTO_CLOCKS]);

/* Whether timers of that clock are held. */
static inline bool clocks_holds(const struct clocks *c, unsigned int clock)
{
	return !c->believed && clock != PROTO_CLOCK_MONOTONIC;
}

/* When clocks_now() has to be called again while timers are held, on the kernel's boottime;
 * PROTO_FOREVER: they are not. */
uint64_t clocks_look_again(const struct clocks *c);

/* Turns an instant of our clock into one of the kernel's. PROTO_FOREVER stays as it is. */
uint64_t clocks_to_kernel(const struct clocks *c, unsigned int clock, uint64_t at);
