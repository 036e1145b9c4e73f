/* SPDX-License-Identifier: MIT */
/*
 * The fewest wake-ups possible. A wake may come anywhere in [due, due + slack], so a set of wake-
 * ups serves all timers if each interval contains one of them. If all intervals are known in
 * advance, a greedy walk in the order of their ends finds the smallest such set. A daemon that
 * sleeps until worker_next() and fires what is due must ring exactly as often, over all clocks and
 * sessions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dice.h"
#include "world.h"

#define ROUNDS	  300
#define SESSIONS  8
#define TIMERS	  120
#define WAKES_MAX (TIMERS * 5)
#define SPAN	  UINT64_C(100000)

struct interval {
	uint64_t first, last; /* since the round's start, the same on all clocks */
};

/* The intervals of one round, and which of them contain a wake-up already. */
struct round {
	struct dice *dice;
	struct world *world;
	struct now start;
	uint32_t sessions[SESSIONS];
	struct interval intervals[WAKES_MAX];
	size_t n, woken;
	struct proto_register waiting[TIMERS]; /* not yet registered; cookie: first interval */
	uint64_t registered_at[TIMERS];
};

static int by_last(const void *a, const void *b)
{
	const struct interval *x = a, *y = b;

	return (x->last > y->last) - (x->last < y->last);
}

/* The offline optimum: a wake-up at the end of the interval that ends first serves all intervals
 * that have begun. */
static uint64_t fewest(const struct round *round)
{
	struct interval sorted[WAKES_MAX];
	uint64_t stabs = 0, last_stab = 0;

	for (size_t i = 0; i < round->n; i++)
		sorted[i] = round->intervals[i];
	qsort(sorted, round->n, sizeof(sorted[0]), by_last);
	for (size_t i = 0; i < round->n; i++) {
		if (stabs && sorted[i].first <= last_stab)
			continue;
		last_stab = sorted[i].last;
		stabs++;
	}
	return stabs;
}

/* A timer of up to five wakes. Its intervals do not overlap: otherwise the daemon could merge
 * wakes. */
static struct proto_register some_timer(struct round *round, uint64_t earliest, uint64_t slack_most)
{
	struct proto_register r = {
		.cookie = round->n,
		.clock = (uint8_t)dice_below(round->dice, PROTO_CLOCKS),
		.due = earliest + dice_below(round->dice, SPAN),
		.slack = dice_below(round->dice, slack_most),
		.count = 1,
	};

	if (dice_once_in(round->dice, 2)) {
		r.every = r.slack + 1 + dice_below(round->dice, SPAN / 5);
		r.count = 1 + (uint32_t)dice_below(round->dice, 5);
	}
	if (r.clock != PROTO_CLOCK_MONOTONIC && dice_once_in(round->dice, 3))
		r.flags = PROTO_WAKE_SYSTEM;
	for (uint64_t i = 0; i < r.count; i++)
		round->intervals[round->n++] = (struct interval){
			r.due + i * r.every,
			r.due + i * r.every + r.slack,
		};
	r.due += round->start.at[r.clock];
	return r;
}

static struct round *round_new(struct dice *dice)
{
	struct limits limits = world_limits(TIMERS, SESSIONS);
	struct round *round = calloc(1, sizeof(*round));

	assert_non_null(round);
	round->dice = dice;
	round->world = world_new(&limits);
	for (int i = 0; i < SESSIONS; i++)
		round->sessions[i] = world_connect(round->world, 0);
	round->start = round->world->now;
	return round;
}

static void round_free(struct round *round)
{
	world_free(round->world);
	free(round);
}

static uint64_t elapsed(const struct round *round)
{
	return round->world->now.at[0] - round->start.at[0];
}

static void register_one(struct round *round, const struct proto_register *r)
{
	uint32_t session = round->sessions[dice_below(round->dice, SESSIONS)];

	assert_int_equal(world_register(round->world, session, r).status, PROTO_OK);
}

/* Each wake is within its interval, and comes once. */
static void check_wakes(struct round *round)
{
	uint64_t now = elapsed(round);

	for (size_t i = 0; i < round->world->n_events; i++) {
		const struct proto_wake *wake = &round->world->events[i].wake;
		struct interval *interval = &round->intervals[wake->cookie + wake->number - 1];

		assert_int_equal(wake->overruns, 0);
		assert_true(interval->first <= now && now <= interval->last);
		assert_int_equal(wake->late, now - interval->first);
		round->woken++;
	}
	world_forget(round->world);
}

/* All timers are known in advance: the number of rings is the optimum. */
static void test_wakeups_are_as_few_as_the_offline_optimum(void **state)
{
	struct dice dice = dice_new("offline", 21);
	uint64_t rings = 0, wakes = 0;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		struct round *round = round_new(&dice);
		uint64_t slack_most = UINT64_C(1) << dice_below(&dice, 17);
		uint32_t timers = 1 + (uint32_t)dice_below(&dice, TIMERS);

		for (uint32_t k = 0; k < timers; k++) {
			struct proto_register r = some_timer(round, 1, slack_most);

			register_one(round, &r);
		}
		while (world_sleep(round->world, UINT64_MAX))
			check_wakes(round);
		assert_int_equal(round->woken, round->n);
		assert_int_equal(round->world->rings, fewest(round));
		assert_int_equal(world_status(round->world, round->sessions[0]).wakeups,
			round->world->rings);
		rings += round->world->rings;
		wakes += round->n;
		round_free(round);
	}
	print_message("%" PRIu64 " wakes by %" PRIu64 " rings\n", wakes, rings);
}

static int by_registration(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Timers come one by one, each before it is due. This costs no further ring. (It may save some: a
 * daemon that is awake for a request sends what is due.) */
static void test_wakeups_are_no_more_when_timers_come_one_by_one(void **state)
{
	struct dice dice = dice_new("online", 22);

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		struct round *round = round_new(&dice);
		uint64_t slack_most = UINT64_C(1) << dice_below(&dice, 17);
		uint32_t timers = 1 + (uint32_t)dice_below(&dice, TIMERS), next = 0;

		for (uint32_t k = 0; k < timers; k++)
			round->registered_at[k] = dice_below(&dice, SPAN);
		qsort(round->registered_at, timers, sizeof(uint64_t), by_registration);
		for (uint32_t k = 0; k < timers; k++)
			round->waiting[k] = some_timer(round, round->registered_at[k], slack_most);
		while (next < timers) {
			uint64_t at = round->start.at[0] + round->registered_at[next];

			if (!world_sleep(round->world, at))
				register_one(round, &round->waiting[next++]);
			world_turn(round->world);
			check_wakes(round);
		}
		while (world_sleep(round->world, UINT64_MAX))
			check_wakes(round);
		assert_int_equal(round->woken, round->n);
		assert_true(round->world->rings <= fewest(round));
		round_free(round);
	}
}

/* The alarm does not ring for a client that does not read, however many of its timers are due. */
static void test_no_wakeup_for_a_client_that_does_not_read(void **state)
{
	struct dice dice = dice_new("stalled", 23);
	struct round *round = round_new(&dice);
	struct world *world = round->world;
	struct proto_register r = {.due = 10, .every = 10, .flags = PROTO_RELATIVE};
	uint64_t start = world->now.at[0];

	(void)state;
	world->clients[round->sessions[0]].stalled = true;
	assert_int_equal(world_register(world, round->sessions[0], &r).status, PROTO_OK);
	while (world_sleep(world, start + 100000))
		;
	/* One wake that could be sent, and one that found unread wakes. */
	assert_int_equal(world->rings, 2);
	assert_int_equal(world->n_events, 1);
	world_read(world, round->sessions[0]);
	world_turn(world);
	assert_int_equal(world->n_events, 2);
	assert_int_equal(world->events[1].wake.overruns, 100000 / 10 - 2);
	assert_int_equal(world->events[1].wake.number, 2);
	round_free(round);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wakeups_are_as_few_as_the_offline_optimum),
		cmocka_unit_test(test_wakeups_are_no_more_when_timers_come_one_by_one),
		cmocka_unit_test(test_no_wakeup_for_a_client_that_does_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
