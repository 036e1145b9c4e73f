/* SPDX-License-Identifier: MIT */
#include "clocks.h"

#include <string.h>

static uint64_t plus(uint64_t at, int64_t offset)
{
	uint64_t ret;

	if (offset < 0)
		return at < (uint64_t)-offset ? 0 : at - (uint64_t)-offset;
	return __builtin_add_overflow(at, (uint64_t)offset, &ret) ? INT64_MAX : ret;
}

/* a - b. Instants are at most INT64_MAX, so the difference fits. */
static int64_t difference(uint64_t a, uint64_t b)
{
	if (a >= b)
		return a - b > INT64_MAX ? INT64_MAX : (int64_t)(a - b);
	return b - a > INT64_MAX ? -INT64_MAX : -(int64_t)(b - a);
}

/* Trusts the wall clock from now on: boottime continues by the time that the wall clock has
 * advanced. */
static void trust(struct clocks *c, const struct clocks_reading *kernel)
{
	uint64_t wall = kernel->at[PROTO_CLOCK_REALTIME];
	uint64_t boottime = kernel->at[PROTO_CLOCK_BOOTTIME];
	uint64_t passed = wall > c->stored[PROTO_CLOCK_REALTIME]
		? wall - c->stored[PROTO_CLOCK_REALTIME]
		: 0;
	uint64_t ours = plus(c->stored[PROTO_CLOCK_BOOTTIME], difference(passed, 0));
	uint64_t counted = plus(boottime, c->offset[PROTO_CLOCK_BOOTTIME]);

	/* boottime has counted the time since the boot already, and does not go back. */
	if (ours > counted)
		c->offset[PROTO_CLOCK_BOOTTIME] = difference(ours, boottime);
	c->trusted = true;
}

/* The wall clock of this boot is still not trusted. This boot has stored the pair of instants with
 * which it began, plus the time since the boot: see clocks_store(). */
static void restore_pair(struct clocks *c)
{
	uint64_t start = plus(0, c->offset[PROTO_CLOCK_BOOTTIME]);
	int64_t elapsed = difference(c->stored[PROTO_CLOCK_BOOTTIME], start);

	c->stored[PROTO_CLOCK_BOOTTIME] = start;
	c->stored[PROTO_CLOCK_REALTIME] = plus(c->stored[PROTO_CLOCK_REALTIME], -elapsed);
}

void clocks_start(struct clocks *c, const struct clocks_stored *stored,
	const uint8_t boot_id[static 16], uint64_t patience, const struct clocks_reading *kernel)
{
	static const uint8_t none[16];

	*c = (struct clocks){.trusted = true};
	memcpy(c->boot_id, boot_id, sizeof(c->boot_id));
	if (!memcmp(stored->boot_id, none, sizeof(none)))
		return;
	memcpy(c->stored, stored->now, sizeof(c->stored));
	if (!memcmp(stored->boot_id, boot_id, sizeof(c->boot_id))) {
		memcpy(c->offset, stored->offset, sizeof(c->offset));
		c->trusted = stored->trusted;
		if (!c->trusted)
			restore_pair(c);
	} else {
		c->offset[PROTO_CLOCK_MONOTONIC] = difference(
			stored->now[PROTO_CLOCK_MONOTONIC], 0);
		c->offset[PROTO_CLOCK_BOOTTIME] = difference(stored->now[PROTO_CLOCK_BOOTTIME], 0);
		c->trusted = false;
	}
	c->give_up = plus(kernel->at[PROTO_CLOCK_BOOTTIME], difference(patience, 0));
}

struct clocks_stored clocks_store(const struct clocks *c, const uint64_t now[static PROTO_CLOCKS])
{
	struct clocks_stored stored = {.trusted = c->trusted};

	memcpy(stored.boot_id, c->boot_id, sizeof(stored.boot_id));
	memcpy(stored.now, now, sizeof(stored.now));
	memcpy(stored.offset, c->offset, sizeof(stored.offset));
	/* The next boot must not compare its wall clock with one that was not trusted. So this
	 * stores the pair of instants with which this boot began, plus the time since the boot: at
	 * least that much has passed on both clocks. The next boot continues from this pair. */
	if (!c->trusted)
		stored.now[PROTO_CLOCK_REALTIME] = plus(c->stored[PROTO_CLOCK_REALTIME],
			difference(now[PROTO_CLOCK_BOOTTIME], c->stored[PROTO_CLOCK_BOOTTIME]));
	return stored;
}

bool clocks_now(
	struct clocks *c, const struct clocks_reading *kernel, uint64_t ret[static PROTO_CLOCKS])
{
	bool was = c->trusted;

	if (!c->trusted) {
		bool passed = kernel->at[PROTO_CLOCK_REALTIME] >= c->stored[PROTO_CLOCK_REALTIME];

		c->impatient = !passed && !kernel->synchronised &&
			kernel->at[PROTO_CLOCK_BOOTTIME] >= c->give_up;
		if (passed || kernel->synchronised || c->impatient)
			trust(c, kernel);
	}
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
		ret[i] = plus(kernel->at[i], c->offset[i]);
	return !was && c->trusted;
}

uint64_t clocks_next_check(const struct clocks *c)
{
	return c->trusted ? PROTO_FOREVER : c->give_up;
}

uint64_t clocks_to_kernel(const struct clocks *c, unsigned int clock, uint64_t at)
{
	if (at == PROTO_FOREVER)
		return at;
	return plus(at, -c->offset[clock]);
}
