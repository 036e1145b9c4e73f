/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <sys/stat.h>

#include "clock_offset.h"
#include "toytimer.h"

/* The inode of the first time namespace is a constant of the kernel. */
#define FIRST_NAMESPACE UINT64_C(0xeffffffa)

/* A longer round trip measures the offset too imprecisely. */
#define ROUND_TRIP_MAX_US UINT64_C(100000)

/* The daemon reads its clock at most this long before it reads a packet. */
#define READING_AGE_MAX_US UINT64_C(1000)

void clock_offsets_init(struct clock_offsets *offsets)
{
	struct stat st;

	/* Without /proc, or before Linux 5.6, the file is missing: assume the first namespace. */
	*offsets = (struct clock_offsets){
		.shifted = fstatat(AT_FDCWD, "/proc/self/ns/time", &st, 0) == 0 &&
			st.st_ino != FIRST_NAMESPACE,
	};
}

static bool applies(const struct clock_offsets *offsets, uint8_t clock)
{
	return offsets->shifted && clock != PROTO_CLOCK_REALTIME && clock < PROTO_CLOCKS;
}

uint8_t clock_offsets_send(
	struct clock_offsets *offsets, uint8_t clock, uint64_t due, uint64_t *ret_due)
{
	*ret_due = due;
	if (!applies(offsets, clock))
		return 0;
	if (!offsets->of[clock].known) {
		/* All spans count from the same instant, so equal dues keep their order. */
		if (!offsets->of[clock].since)
			offsets->of[clock].since = toytimer_now((enum toytimer_clock)clock) + 1;
		*ret_due = due > offsets->of[clock].since ? due - offsets->of[clock].since : 0;
		return PROTO_RELATIVE;
	}
	*ret_due = due + offsets->of[clock].by;
	/* Past an end of the daemon's clock: the timer fires at once, or never. */
	if ((int64_t)offsets->of[clock].by < 0 && *ret_due > due)
		*ret_due = 0;
	else if ((int64_t)offsets->of[clock].by >= 0 &&
		(*ret_due < due || *ret_due == PROTO_FOREVER))
		*ret_due = PROTO_FOREVER - 1;
	return 0;
}

static void learn(struct clock_offsets *offsets, uint8_t clock, uint64_t due, uint64_t answered)
{
	uint64_t since = offsets->of[clock].since;
	uint64_t now = toytimer_now((enum toytimer_clock)clock);

	if (!since || due <= since || now - since > ROUND_TRIP_MAX_US)
		return;
	offsets->of[clock].known = true;
	offsets->of[clock].by = answered - due;
	/* If the offset is within the round trip, the daemon shares the namespace and the clock.
	 * The daemon reads its clock before it reads packets. */
	if (answered - due + READING_AGE_MAX_US <= now - since + READING_AGE_MAX_US + 1)
		offsets->of[clock].by = 0;
}

uint64_t clock_offsets_learn(
	struct clock_offsets *offsets, uint8_t clock, uint64_t due, uint64_t answered)
{
	if (!applies(offsets, clock))
		return due;
	if (!offsets->of[clock].known)
		learn(offsets, clock, due, answered);
	return clock_offsets_receive(offsets, clock, answered, due);
}

void clock_offsets_reset(struct clock_offsets *offsets)
{
	for (int i = 0; i < PROTO_CLOCKS; i++)
		offsets->of[i].since = 0;
}

uint64_t clock_offsets_listed(
	const struct clock_offsets *offsets, uint8_t clock, uint64_t due, int64_t left)
{
	if (!applies(offsets, clock))
		return due;
	return toytimer_now((enum toytimer_clock)clock) + (uint64_t)left;
}

uint64_t clock_offsets_receive(
	const struct clock_offsets *offsets, uint8_t clock, uint64_t due, uint64_t unknown)
{
	if (!applies(offsets, clock))
		return due;
	return offsets->of[clock].known ? due - offsets->of[clock].by : unknown;
}
