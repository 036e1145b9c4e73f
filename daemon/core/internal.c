/* SPDX-License-Identifier: MIT */
#include "internal.h"

/* The cookie of an internal timer: the session that must send its hello, or COOKIE_BITS | the bits
 * for the shell. */
#define COOKIE_BITS (UINT64_C(1) << 32)

/* Return: the timer; 0: there is no free slot, which can happen in an adopted arena. */
static uint32_t enroll(
	struct arena *arena, uint64_t cookie, uint64_t delay, uint64_t every, const struct now *now)
{
	struct timer_new new = {
		.due = now->at[PROTO_CLOCK_MONOTONIC] + delay,
		.every = every,
		.cookie = cookie,
		.clock = CLOCK_OF_MONOTONIC,
	};
	uint32_t timer = arena_take_timer(arena);

	if (!timer)
		return 0;
	/* With this slack the timer can share a wake-up with other timers. */
	new.latest = timers_latest(new.due, delay / 4);
	timer_state_publish(arena, timer, ARENA_OWN_SESSION, &new);
	timer_state_count_registered(arena, ARENA_OWN_SESSION, 1);
	sessions_enroll(arena, timer);
	return timer;
}

static void drop(struct arena *arena, uint32_t timer)
{
	sessions_withdraw(arena, timer);
	timer_state_free(arena, timer);
	timer_state_count_freed(arena, ARENA_OWN_SESSION, 1);
}

void internal_await_hello(struct arena *arena, uint32_t session, const struct now *now)
{
	arena->sessions[session].hello_timer = enroll(
		arena, session, PROTO_HELLO_TIMEOUT_US, 0, now);
}

void internal_drop_hello(struct arena *arena, uint32_t session)
{
	struct session *s = &arena->sessions[session];

	if (s->hello_timer)
		drop(arena, s->hello_timer);
	s->hello_timer = 0;
}

void internal_start(
	struct arena *arena, uint32_t bits, uint64_t delay, uint64_t every, const struct now *now)
{
	enroll(arena, COOKIE_BITS | bits, delay, every, now);
}

static void end_session(struct arena *arena, uint32_t session)
{
	internal_drop_hello(arena, session);
	arena->sessions[session].fault = PROTO_E_HELLO_TIMEOUT;
	sessions_make_ready(arena, session);
}

static unsigned int expire(struct arena *arena, uint32_t timer, const struct now *now)
{
	const struct timer *t = &arena->timers[timer];
	uint64_t cookie = t->cookie;

	if (!(cookie & COOKIE_BITS)) {
		end_session(arena, (uint32_t)cookie);
		return 0;
	}
	if (t->every) {
		sessions_withdraw(arena, timer);
		timer_state_advance(arena, timer, now->at[PROTO_CLOCK_MONOTONIC]);
		sessions_enroll(arena, timer);
	} else {
		drop(arena, timer);
	}
	return (unsigned int)(cookie & ~COOKIE_BITS);
}

unsigned int internal_expire(struct arena *arena, const struct now *now, unsigned int most)
{
	const struct rbtree *tree = &arena->sessions[ARENA_OWN_SESSION].timers[CLOCK_OF_MONOTONIC];
	unsigned int bits = 0;

	for (; most && tree->first; most--) {
		if (arena->nodes[tree->first].due > now->at[PROTO_CLOCK_MONOTONIC])
			break;
		bits |= expire(arena, tree->first, now);
	}
	sessions_requeue(arena, ARENA_OWN_SESSION, now);
	return bits;
}
