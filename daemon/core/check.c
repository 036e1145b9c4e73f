/* SPDX-License-Identifier: MIT */
#include "check.h"

uint32_t check_sending(const struct session *s)
{
	uint64_t sum = 1;

	/* The same hash as in check_session(). */
	for (unsigned int clock = 0; clock < PROTO_CLOCKS; clock++)
		sum = (sum ^ sum >> 32) * check_multipliers[0] + s->sent_at[clock];
	return (uint32_t)((sum ^ sum >> 32) * check_multipliers[0] >> 32) | 1;
}

uint32_t check_session(const struct arena *arena, uint32_t session)
{
	const struct session *s = &arena->sessions[session];
	uint64_t comm[2], sum = session;
	const uint64_t k = check_multipliers[0];

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
	const uint64_t k = check_multipliers[0];
	uint64_t sum = (session + 1) * k + applying->serial;

	sum = (sum ^ sum >> 32) * k + applying->sequence;
	return (uint32_t)((sum ^ sum >> 32) * k >> 32);
}
