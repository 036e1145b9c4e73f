/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <string.h>

#include "timers.h"

/* The multipliers: successive values of splitmix64 (Steele, Lea and Flood, 2014) from 0, made odd.
 * */
static const uint64_t multiplier[] = {
	UINT64_C(0xe220a8397b1dcdaf),
	UINT64_C(0x6e789e6aa1b965f5),
	UINT64_C(0x06c45d188009454f),
	UINT64_C(0xf88bb8a8724c81ed),
	UINT64_C(0x1b39896a51a8749b),
	UINT64_C(0x53cb9f0c747ea2eb),
	UINT64_C(0x2c829abe1f4532e1),
	UINT64_C(0xc584133ac916ab3d),
	UINT64_C(0x3ee5789041c98ac3),
	UINT64_C(0xf3b8488c368cb0a7),
	UINT64_C(0x657eecdd3cb13d09),
};

uint32_t check_timer(const struct arena *arena, uint32_t timer, const struct arena_intent *change)
{
	const struct timer *t = &arena->timers[timer];
	uint64_t kind = (arena->nodes[timer].tag & ~TIMERS_TAG_PAST) >> TIMERS_TAG_CLOCK_SHIFT;
	uint64_t sum = (uint64_t)timer << 32;

	sum += multiplier[0] * t->sequence + multiplier[1] * t->cookie;
	sum += multiplier[2] * ((uint64_t)t->session << 32 | change->count);
	sum += multiplier[3] * (kind << 32 | change->fired);
	sum += multiplier[4] * change->every + multiplier[5] * change->due +
		multiplier[6] * change->latest;
	sum += multiplier[7] * timer;
	if (timers_labelled(arena, timer))
		for (unsigned int i = 0; i < PROTO_LABEL_MAX / 8; i++) {
			uint64_t word;

			__builtin_memcpy(&word, arena->labels[timer] + i * 8, 8);
			sum += multiplier[8 + i] * word;
		}
	return (uint32_t)(sum >> 32);
}

uint32_t check_sending(const struct session *s)
{
	uint64_t sum = 1;

	/* The same hash as in check_session(). */
	for (unsigned int clock = 0; clock < PROTO_CLOCKS; clock++)
		sum = (sum ^ sum >> 32) * multiplier[0] + s->sent_at[clock];
	return (uint32_t)((sum ^ sum >> 32) * multiplier[0] >> 32) | 1;
}

uint32_t check_session(const struct arena *arena, uint32_t session)
{
	const struct session *s = &arena->sessions[session];
	uint64_t comm[2], sum = session;
	const uint64_t k = multiplier[0];

	static_assert(sizeof(comm) == sizeof(s->comm), "comm is two words");
	memcpy(comm, s->comm, sizeof(comm));
	sum = (sum + s->uid) * k + s->pid;
	sum = (sum ^ sum >> 32) * k + s->born;
	sum = (sum ^ sum >> 32) * k + s->socket;
	sum = (sum ^ sum >> 32) * k + comm[0];
	sum = (sum ^ sum >> 32) * k + comm[1];
	return (uint32_t)(sum * k >> 32);
}

uint32_t check_applying(const struct arena_applying *applying, uint32_t session)
{
	const uint64_t k = multiplier[0];
	uint64_t sum = (session + 1) * k + applying->serial;

	sum = (sum ^ sum >> 32) * k + applying->sequence;
	return (uint32_t)((sum ^ sum >> 32) * k >> 32);
}
