/* SPDX-License-Identifier: MIT */
#include "meter.h"

#include <stddef.h>
#include <time.h>

_Static_assert(sizeof(time_t) == 8, "time_t holds every due");
_Static_assert(METER_OUT_US == 10 * 1000000 && METER_CALLS == 3 && METER_SLOW_US == 2 * 1000,
	"METER_CUT_OFF has the same figures");

static uint64_t read_clock(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t meter_clock(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

void meter_slice_begin(struct meter *meter, uint64_t now)
{
	meter->now = now;
}

void meter_slice_end(struct meter *meter, uint64_t now)
{
	if (now - meter->now > METER_SLOW_US)
		meter->measure_until = now + METER_WINDOW_US;
}

void meter_begin(struct meter *meter)
{
	meter->call_began = 0;
	if (meter->now < meter->measure_until)
		meter->call_began = read_clock(CLOCK_THREAD_CPUTIME_ID) + 1;
}

bool meter_end(struct meter *meter, uint32_t uid)
{
	uint64_t took;

	if (!meter->call_began)
		return false;
	took = read_clock(CLOCK_THREAD_CPUTIME_ID) + 1 - meter->call_began;
	meter->call_began = 0;
	return meter_charge(meter, uid, took);
}

static const struct meter_user *find(const struct meter *meter, uint32_t uid)
{
	for (size_t i = 0; i < METER_USERS; i++)
		if (meter->users[i].since && meter->users[i].uid == uid)
			return &meter->users[i];
	return NULL;
}

/* Users who are cut off keep their entries while there is an entry of another user. */
static struct meter_user *take_entry(struct meter *meter)
{
	struct meter_user *oldest = &meter->users[0];

	for (size_t i = 0; i < METER_USERS; i++) {
		struct meter_user *user = &meter->users[i];
		bool out = user->out_until > meter->now, other = oldest->out_until > meter->now;

		if (out < other || (out == other && user->since < oldest->since))
			oldest = user;
	}
	return oldest;
}

/* Notes one more slow call. Return: whether there were METER_CALLS within METER_WINDOW_US. */
static bool note_slow(struct meter_user *user, uint64_t now)
{
	uint64_t first;

	for (size_t i = METER_CALLS - 1; i; i--)
		user->slow_at[i] = user->slow_at[i - 1];
	user->slow_at[0] = now;
	first = user->slow_at[METER_CALLS - 1];
	return first && now - first <= METER_WINDOW_US;
}

bool meter_charge(struct meter *meter, uint32_t uid, uint64_t took)
{
	struct meter_user *user = (struct meter_user *)find(meter, uid);
	bool slow = took > METER_SLOW_US, was_out;

	if (uid == 0 || (!user && !slow))
		return false;
	if (!user) {
		user = take_entry(meter);
		*user = (struct meter_user){.uid = uid};
	}
	if (!user->since || meter->now - user->since > METER_WINDOW_US) {
		user->since = meter->now;
		user->slow_us = user->all_us = 0;
	}
	user->all_us += took;
	if (!slow)
		return false;
	user->slow_us += took;
	if (!note_slow(user, meter->now) || user->slow_us < user->all_us / METER_SHARE)
		return false;
	was_out = user->out_until > meter->now;
	user->out_until = meter->now + METER_OUT_US;
	return !was_out;
}

bool meter_is_out(const struct meter *meter, uint32_t uid)
{
	const struct meter_user *user = find(meter, uid);

	return user && user->out_until > meter->now;
}
