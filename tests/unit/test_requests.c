/* SPDX-License-Identifier: MIT */
/*
 * Cancel, re-arm and register: ids that are stale, foreign or invented; several records in one
 * packet that concern the same timer; and which fields a re-arm changes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

#define USER  1000
#define OTHER 1001

static enum proto_status rearm(struct world *world, uint32_t session, uint64_t id)
{
	struct proto_rearm r = {.id = id, .due = 10, .flags = PROTO_RELATIVE};

	return world_rearm(world, session, &r).status;
}

/* Neither a cancel nor a re-arming hits a timer. */
static void expect_none(struct world *world, uint32_t session, uint64_t id)
{
	assert_int_equal(world_cancel(world, session, id), PROTO_E_NO_SUCH_TIMER);
	assert_int_equal(rearm(world, session, id), PROTO_E_NO_SUCH_TIMER);
}

static void test_stale_ids_of_reused_slots_hit_nothing(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, 0);
	uint64_t old[300], id;

	for (int i = 0; i < 300; i++) {
		old[i] = world_timer(world, session, 0, 10);
		if (i % 2) {
			assert_int_equal(world_cancel(world, session, old[i]), PROTO_OK);
		} else {
			world_pass(world, 10);
			fixture_expect(world, 1);
		}
	}
	id = world_timer(world, session, 0, 10);
	for (int i = 0; i < 300; i++) {
		/* The slot was always the same one: this test needs that. */
		assert_int_equal(old[i] & ARENA_TIMERS_MAX, id & ARENA_TIMERS_MAX);
		expect_none(world, session, old[i]);
	}
	world_pass(world, 10);
	fixture_expect(world, 1);
	assert_int_equal(world->events[0].wake.id, id);
}

static void test_stale_ids_of_closed_sessions_hit_nothing(void **state)
{
	struct world *world = *state;
	uint32_t root = world_connect(world, 0), session, next;
	uint64_t old[50];

	session = world_connect(world, USER);
	for (int i = 0; i < 50; i++)
		old[i] = world_timer(world, session, (uint8_t)(i % PROTO_CLOCKS), 10);
	world_disconnect(world, session);
	for (int i = 0; i < 50; i++)
		expect_none(world, root, old[i]);
	/* The same session slot again, and then its timer slots. */
	next = world_connect(world, USER);
	assert_int_equal(next, session);
	for (int i = 0; i < 50; i++)
		expect_none(world, next, old[i]);
	for (int i = 0; i < 50; i++)
		world_timer(world, next, 0, 10);
	for (int i = 0; i < 50; i++) {
		expect_none(world, next, old[i]);
		expect_none(world, root, old[i]);
	}
	world_pass(world, 10);
	fixture_expect(world, 50);
	assert_int_equal(world_status(world, root).cancelled, 0);
}

static void test_made_up_ids_hit_nothing(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, 0);
	uint64_t id = world_timer(world, session, 0, 10);

	for (unsigned int bit = 0; bit < 64; bit++) {
		expect_none(world, session, UINT64_C(1) << bit);
		expect_none(world, session, id ^ UINT64_C(1) << bit);
		expect_none(world, session, ~(UINT64_C(1) << bit));
	}
	expect_none(world, session, 0);
	expect_none(world, session, UINT64_MAX);
	for (uint64_t index = 0; index < 2000; index++)
		expect_none(world, session, index);
	world_pass(world, 10);
	fixture_expect(world, 1);
}

/* Not even root can name them. */
static void test_no_client_reaches_internal_timers(void **state)
{
	struct world *world = *state;
	struct arena *arena = &world->worker.arena;
	uint32_t root = world_connect(world, 0), late;
	struct proto_listed listed[4];
	uint64_t hello;

	assert_int_equal(world_try_connect(world, USER, &late), PROTO_OK);
	worker_start_internal(&world->worker, WORKER_WATCHDOG, 10, 10, &world->now);
	hello = timers_id(arena, arena->sessions[late].hello_timer);
	assert_int_equal(world_list(world, root, PROTO_LIST_ALL, listed, 4), 0);
	assert_int_equal(world_status(world, root).timers, 0);
	for (uint64_t index = 1; index <= arena->header->timers_top; index++)
		expect_none(world, root, timers_id(arena, (uint32_t)index));
	expect_none(world, root, hello);
}

static void test_a_users_sessions_and_root_may_cancel(void **state)
{
	struct world *world = *state;
	uint32_t owner = world_connect(world, USER), friend = world_connect(world, USER);
	uint32_t other = world_connect(world, OTHER), root = world_connect(world, 0);
	uint64_t id = world_timer(world, owner, 0, 10);

	assert_int_equal(world_cancel(world, other, id), PROTO_E_NO_SUCH_TIMER);
	assert_int_equal(world_cancel(world, owner, id), PROTO_OK);
	fixture_expect(world, 0); /* the answer alone reports a cancel of one's own timer */
	id = world_timer(world, owner, 0, 10);
	assert_int_equal(world_cancel(world, friend, id), PROTO_OK);
	fixture_expect(world, 1);
	id = world_timer(world, owner, 0, 10);
	assert_int_equal(world_cancel(world, root, id), PROTO_OK);
	fixture_expect(world, 1);
	assert_int_equal(world->events[0].session, owner);
	assert_int_equal(world->events[0].opcode, PROTO_CANCELLED);
	assert_int_equal(world->events[0].cancelled.id, id);
	assert_int_equal(world_status(world, root).cancelled, 3);
	world_pass(world, 100);
	fixture_expect(world, 0);
}

static void test_only_the_own_session_may_rearm(void **state)
{
	struct world *world = *state;
	uint32_t owner = world_connect(world, USER), friend = world_connect(world, USER);
	uint32_t other = world_connect(world, OTHER), root = world_connect(world, 0);
	uint64_t id = world_timer(world, owner, 0, 20);

	assert_int_equal(rearm(world, other, id), PROTO_E_NO_SUCH_TIMER);
	assert_int_equal(rearm(world, friend, id), PROTO_E_NO_SUCH_TIMER);
	assert_int_equal(rearm(world, root, id), PROTO_E_NO_SUCH_TIMER);
	world_pass(world, 10);
	fixture_expect(world, 0);
	assert_int_equal(rearm(world, owner, id), PROTO_OK);
	world_pass(world, 9);
	fixture_expect(world, 0);
	world_pass(world, 1);
	fixture_expect(world, 1);
}

static void test_an_id_twice_in_a_packet_is_cancelled_once(void **state)
{
	struct world *world = *state;
	uint32_t owner = world_connect(world, USER), friend = world_connect(world, USER);
	uint64_t id = world_timer(world, owner, 0, 10);
	struct proto_cancel twice[2] = {{id}, {id}};
	struct proto_cancel_answer answers[2];

	world_request(world, friend, PROTO_CANCEL, twice, 2, 0);
	world_answer(world, 0, &answers[0]);
	world_answer(world, 1, &answers[1]);
	assert_int_equal(answers[0].status, PROTO_OK);
	assert_int_equal(answers[1].status, PROTO_E_NO_SUCH_TIMER);
	expect_none(world, owner, id); /* cancelled, although its event was not sent yet */
	fixture_expect(world, 1);
	expect_none(world, owner, id);
}

#define MANY 45 /* more than are prefetched together */

/* One packet cancels the first timers of two sessions. The alarm is then set for the remaining
 * ones. */
static void test_a_packet_cancels_many_timers(void **state)
{
	struct limits limits = world_limits(4 * MANY, 4);
	struct world *world = world_new(&limits);
	uint32_t sessions[2] = {world_connect(world, USER), world_connect(world, USER)};
	struct proto_cancel cancels[2 * MANY];
	uint64_t first;

	(void)state;
	first = world->now.at[PROTO_CLOCK_MONOTONIC] + 10 + MANY;
	for (unsigned int i = 0; i < 4 * MANY; i++) {
		uint64_t id = world_timer(world, sessions[i % 2], 0, 10 + i / 2);

		if (i < 2 * MANY)
			cancels[i].id = id;
	}
	world_request(world, sessions[1], PROTO_CANCEL, cancels, 2 * MANY, 0);
	for (uint32_t i = 0; i < 2 * MANY; i++) {
		struct proto_cancel_answer answer;

		world_answer(world, i, &answer);
		assert_int_equal(answer.status, PROTO_OK);
		assert_int_equal(answer.id, cancels[i].id);
	}
	world_serve(world);
	assert_int_equal(worker_next(&world->worker, CLOCK_OF_MONOTONIC), first);
	assert_int_equal(world_status(world, sessions[0]).timers, 2 * MANY);
	world_free(world);
}

static void test_rearm_keeps_id_cookie_label_and_slot(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = WORLD_MONOTONIC + 20, .label = "tea", .cookie = 7};
	uint64_t first = fixture_accept(world, session, &r).id,
		 second = fixture_accept(world, session, &r).id;
	struct proto_rearm rearm = {.id = first, .due = WORLD_MONOTONIC + 30};
	struct proto_listed listed[2];

	assert_int_equal(world_rearm(world, session, &rearm).due, rearm.due);
	rearm.due = 20;
	rearm.flags = PROTO_RELATIVE;
	assert_int_equal(world_rearm(world, session, &rearm).due, r.due);
	assert_int_equal(world_list(world, session, 0, listed, 2), 2);
	assert_string_equal(listed[0].label, "tea");
	world_pass(world, 20);
	fixture_expect(world, 2);
	fixture_expect_wake(world, 0, first, 1, true);
	fixture_expect_wake(world, 1, second, 1, true);
	assert_int_equal(world->events[0].wake.cookie, 7);
}

static void test_rearm_counts_anew(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = 10, .every = 10, .count = 2, .flags = PROTO_RELATIVE};
	uint64_t id = fixture_accept(world, session, &r).id;
	struct proto_rearm rearm = {
		.id = id, .due = 10, .every = 10, .count = 2, .flags = PROTO_RELATIVE};
	struct proto_listed listed;

	world_pass(world, 10);
	fixture_expect(world, 1);
	fixture_expect_wake(world, 0, id, 1, false);
	world_rearm(world, session, &rearm);
	assert_int_equal(world_list(world, session, 0, &listed, 1), 1);
	assert_int_equal(listed.fired, 1);
	for (uint32_t number = 2; number <= 3; number++) {
		world_pass(world, 10);
		fixture_expect(world, 1);
		fixture_expect_wake(world, 0, id, number, number == 3);
	}
}

/* The sum of the sent wakes and a new count may overflow 32 bits. */
static void test_rearm_with_the_greatest_count(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = 10, .every = 10, .flags = PROTO_RELATIVE};
	uint64_t id = fixture_accept(world, session, &r).id;
	struct proto_rearm rearm = {.id = id, .due = 10, .every = 10, .count = UINT32_MAX};

	world_pass(world, 10);
	fixture_expect(world, 1);
	rearm.flags = PROTO_RELATIVE;
	assert_int_equal(world_rearm(world, session, &rearm).status, PROTO_OK);
	for (uint32_t number = 2; number < 10; number++) {
		world_pass(world, 10);
		fixture_expect(world, 1);
		fixture_expect_wake(world, 0, id, number, false);
	}
}

static void test_rearm_turns_a_series_into_one_wake(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = 10, .every = 10, .flags = PROTO_RELATIVE};
	uint64_t id = fixture_accept(world, session, &r).id;
	struct proto_rearm rearm = {.id = id, .due = WORLD_MONOTONIC + 50, .slack = 5};

	world_pass(world, 10);
	fixture_expect(world, 1);
	world_rearm(world, session, &rearm);
	assert_int_equal(worker_next(&world->worker, 0), WORLD_MONOTONIC + 55);
	world_pass(world, 45);
	fixture_expect(world, 1);
	fixture_expect_wake(world, 0, id, 2, true);
	assert_int_equal(world_rearm(world, session, &rearm).status, PROTO_E_NO_SUCH_TIMER);
}

static void test_rearm_refused_changes_nothing(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	uint64_t id = world_timer(world, session, PROTO_CLOCK_BOOTTIME, 10);
	struct proto_rearm rearm = {.id = id, .due = PROTO_FOREVER};

	assert_int_equal(world_rearm(world, session, &rearm).status, PROTO_E_RANGE);
	rearm.due = UINT64_MAX - WORLD_BOOTTIME;
	rearm.flags = PROTO_RELATIVE;
	assert_int_equal(world_rearm(world, session, &rearm).status, PROTO_E_RANGE);
	rearm = (struct proto_rearm){.id = id, .due = 1, .count = 2};
	assert_int_equal(world_rearm(world, session, &rearm).status, PROTO_E_COUNT);
	rearm = (struct proto_rearm){.id = id, .due = 1, .flags = PROTO_WAKE_SYSTEM};
	assert_int_equal(world_rearm(world, session, &rearm).status, PROTO_E_FLAGS);
	world_pass(world, 10);
	fixture_expect(world, 1);
	fixture_expect_wake(world, 0, id, 1, true);
}

static void test_a_refused_record_leaves_its_batch_mates(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r[4] = {
		{.due = WORLD_MONOTONIC + 1},
		{.due = PROTO_FOREVER},
		{.due = WORLD_MONOTONIC + 1, .clock = PROTO_CLOCKS},
		{.due = WORLD_MONOTONIC + 1},
	};
	static const enum proto_status wanted[4] = {
		PROTO_OK, PROTO_E_RANGE, PROTO_E_CLOCK, PROTO_OK};
	struct proto_registered answers[4];
	enum proto_status status;

	world_request(world, session, PROTO_REGISTER, r, 4, 0);
	for (uint32_t i = 0; i < 4; i++) {
		world_answer(world, i, &answers[i]);
		assert_int_equal(answers[i].status, wanted[i]);
	}
	assert_int_equal(worker_take_refusals(&world->worker, &status), 2);
	assert_int_equal(status, PROTO_E_CLOCK);
	assert_int_equal(worker_take_refusals(&world->worker, &status), 0);
	world_pass(world, 1);
	fixture_expect(world, 2);
	fixture_expect_wake(world, 0, answers[0].id, 1, true);
	fixture_expect_wake(world, 1, answers[3].id, 1, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_stale_ids_of_reused_slots_hit_nothing),
		TEST(test_stale_ids_of_closed_sessions_hit_nothing),
		TEST(test_made_up_ids_hit_nothing),
		TEST(test_no_client_reaches_internal_timers),
		TEST(test_a_users_sessions_and_root_may_cancel),
		TEST(test_only_the_own_session_may_rearm),
		TEST(test_an_id_twice_in_a_packet_is_cancelled_once),
		cmocka_unit_test(test_a_packet_cancels_many_timers),
		TEST(test_rearm_keeps_id_cookie_label_and_slot),
		TEST(test_rearm_counts_anew),
		TEST(test_rearm_with_the_greatest_count),
		TEST(test_rearm_turns_a_series_into_one_wake),
		TEST(test_rearm_refused_changes_nothing),
		TEST(test_a_refused_record_leaves_its_batch_mates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
