/* SPDX-License-Identifier: MIT */
/*
 * Requests that select timers by user and label: who may do that, how an answer is split, and which
 * sessions get an event. Also which sessions learn that the wall clock was set.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "match.h"
#include "world.h"

#define USER  1000
#define OTHER 1001

static uint64_t add(struct world *world, uint32_t session, const char *label)
{
	struct proto_register r = {.due = UINT64_MAX - 1, .cookie = 77};

	memcpy(r.label, label, strlen(label));
	return world_register(world, session, &r).id;
}

static struct proto_match match(uint32_t flags, uint32_t uid, const char *label)
{
	struct proto_match m = {.flags = flags, .uid = uid};

	memcpy(m.label, label, strlen(label));
	return m;
}

/* Repeats the request until the last part. Return: how many timers the answers name. */
static uint32_t ask(struct world *world, uint32_t session, enum proto_opcode opcode,
	const struct proto_match *m)
{
	uint32_t n = 0;
	uint64_t cursor = 0;

	do {
		world_request(world, session, opcode, m, 1, cursor);
		assert_int_equal(world->answer.status, PROTO_OK);
		n += world->answer.count;
		cursor = world->answer.cursor;
	} while (cursor);
	return n;
}

static void expect_refused(
	struct world *world, uint32_t session, struct proto_match m, enum proto_status status)
{
	const enum proto_opcode opcodes[] = {PROTO_CANCEL_MATCHING, PROTO_LIST_MATCHING};

	for (size_t i = 0; i < 2; i++) {
		world_request(world, session, opcodes[i], &m, 1, 0);
		assert_int_equal(world->answer.status, status);
		assert_int_equal(world->answer.count, 0);
		assert_int_equal(world->answer.cursor, 0);
	}
}

static void test_only_root_may_match_other_users(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER), other = world_connect(world, OTHER);
	uint32_t root = world_connect(world, 0);
	struct proto_match own = match(0, 0, ""), user = match(PROTO_MATCH_USER, USER, "");
	struct proto_match all = match(PROTO_MATCH_EVERYBODY, 0, "");
	struct proto_match label = match(PROTO_MATCH_LABEL, 0, "tea");

	add(world, session, "tea");
	add(world, other, "tea");
	add(world, other, "tea time");
	expect_refused(world, session, match(PROTO_MATCH_USER, OTHER, ""), PROTO_E_PERMISSION);
	expect_refused(world, session, match(PROTO_MATCH_USER, 0, ""), PROTO_E_PERMISSION);
	/* The answer is the same whether or not that user has timers. */
	expect_refused(world, session, match(PROTO_MATCH_USER, 1002, ""), PROTO_E_PERMISSION);
	expect_refused(world, session, all, PROTO_E_PERMISSION);
	expect_refused(world, root, match(8, 0, ""), PROTO_E_FLAGS);
	expect_refused(world, root, match(PROTO_MATCH_LABEL, 0, "\x1b"), PROTO_E_LABEL);

	assert_int_equal(ask(world, session, PROTO_LIST_MATCHING, &own), 1);
	assert_int_equal(ask(world, session, PROTO_LIST_MATCHING, &user), 1);
	assert_int_equal(ask(world, session, PROTO_LIST_MATCHING, &label), 1);
	assert_int_equal(ask(world, root, PROTO_LIST_MATCHING, &own), 0);
	assert_int_equal(ask(world, root, PROTO_LIST_MATCHING, &user), 1);
	assert_int_equal(ask(world, root, PROTO_LIST_MATCHING, &all), 3);
	label.flags |= PROTO_MATCH_EVERYBODY;
	assert_int_equal(ask(world, root, PROTO_LIST_MATCHING, &label), 2);

	/* A user's cancelling leaves another user's timers alone. */
	assert_int_equal(ask(world, session, PROTO_CANCEL_MATCHING, &own), 1);
	assert_int_equal(ask(world, root, PROTO_LIST_MATCHING, &all), 2);
	assert_int_equal(ask(world, root, PROTO_CANCEL_MATCHING, &label), 1);
	assert_int_equal(ask(world, root, PROTO_LIST_MATCHING, &all), 1);
}

static void test_labels_match_exactly(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	static const char *const labels[] = {"", "tea", "tea", "te", "twenty-four bytes of it."};
	static const struct {
		const char *label;
		uint32_t meant;
	} cases[] = {
		{"tea", 2},
		{"te", 1},
		{"t", 0},
		{"", 1},
		{"twenty-four bytes of it.", 1},
		{"twenty-four bytes of it", 0},
	};

	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
		add(world, session, labels[i]);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct proto_match m = match(PROTO_MATCH_LABEL, 0, cases[i].label);

		assert_int_equal(ask(world, session, PROTO_LIST_MATCHING, &m), cases[i].meant);
		assert_int_equal(ask(world, session, PROTO_CANCEL_MATCHING, &m), cases[i].meant);
		assert_int_equal(ask(world, session, PROTO_LIST_MATCHING, &m), 0);
	}
}

/* The requesting session gets its cookies in the answer. Each other session gets an event. */
static void test_owners_are_told_of_matching_cancellations(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER), friend = world_connect(world, USER);
	struct proto_match own = match(0, 0, "");
	uint64_t mine = add(world, session, ""), theirs = add(world, friend, "");
	struct proto_cancelled cancelled;

	world_forget(world);
	assert_int_equal(ask(world, session, PROTO_CANCEL_MATCHING, &own), 2);
	for (uint32_t i = 0; i < 2; i++) {
		world_answer(world, i, &cancelled);
		assert_int_equal(cancelled.cookie, cancelled.id == mine ? 77 : 0);
	}
	world_turn(world);
	assert_int_equal(world->n_events, 1);
	assert_int_equal(world->events[0].session, friend);
	assert_int_equal(world->events[0].cancelled.id, theirs);
	assert_int_equal(world->events[0].cancelled.cookie, 77);
	assert_int_equal(world->worker.arena.header->timers, 0);
	assert_int_equal(world_status(world, session).cancelled, 2);
	assert_int_equal(world_cancel(world, session, mine), PROTO_E_NO_SUCH_TIMER);
}

/* A request reads a bounded number of slots and cancels a bounded number of timers. */
static void test_one_request_scans_and_cancels_a_bounded_number(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER), other = world_connect(world, OTHER);
	struct proto_match own = match(0, 0, "");
	uint32_t most = PROTO_RECORDS_MAX(struct proto_cancelled);

	for (uint32_t i = 0; i < 2 * MATCH_SLOTS; i++)
		world_timer(world, other, 0, 10);
	for (uint32_t i = 0; i < 2 * most; i++)
		world_timer(world, session, 0, 10);
	world_request(world, session, PROTO_CANCEL_MATCHING, &own, 1, 0);
	assert_int_equal(world->answer.count, 0);
	assert_int_equal(world->answer.cursor, 1 + MATCH_SLOTS);
	assert_true(world->worker.extra_cost > 0);
	world_request(world, session, PROTO_CANCEL_MATCHING, &own, 1, 2 * MATCH_SLOTS + 1);
	assert_int_equal(world->answer.count, most);
	assert_true(world->worker.extra_cost >= most);
	assert_int_equal(ask(world, session, PROTO_CANCEL_MATCHING, &own), most);
	assert_int_equal(world->worker.arena.header->timers, 2 * MATCH_SLOTS);
	/* Cursors that no answer has given. */
	world_request(world, session, PROTO_CANCEL_MATCHING, &own, 1, UINT64_MAX);
	assert_int_equal(world->answer.count | world->answer.cursor, 0);
}

static void test_a_set_wall_clock_is_told_to_those_who_asked(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER), other = world_connect(world, OTHER);
	struct proto_register r = {.due = UINT64_MAX - 1, .clock = PROTO_CLOCK_REALTIME};

	world_register(world, other, &r);
	r.flags = PROTO_TELL_CLOCK_SET;
	assert_int_equal(world_register(world, session, &r).status, PROTO_OK);
	world_turn(world);
	world_forget(world);
	world->now.at[PROTO_CLOCK_REALTIME] += 3600000000;
	worker_clock_set(&world->worker);
	worker_clock_set(&world->worker);
	world_turn(world);
	world_turn(world);
	assert_int_equal(world->n_events, 1);
	assert_int_equal(world->events[0].session, session);
	assert_int_equal(world->events[0].opcode, PROTO_CLOCK_SET);
	r.clock = PROTO_CLOCK_BOOTTIME;
	assert_int_equal(world_register(world, session, &r).status, PROTO_E_SET_CLOCK);
}

/* The clocks advance; then another worker adopts the arena and serves all. */
static void restart(struct world *world, uint32_t session)
{
	struct worker_config config = world->worker.config;

	assert_true(worker_adopt(&world->worker, world->block, &config, &world->now));
	worker_resume(&world->worker, session);
	world_forget(world);
	world_turn(world);
}

/* A new process checks whether the clock was set while no process ran. */
static void test_a_wall_clock_set_while_down_is_told(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = UINT64_MAX - 1,
		.clock = PROTO_CLOCK_REALTIME,
		.flags = PROTO_TELL_CLOCK_SET};
	static const int64_t settings[] = {3600000000, -3600000000, 20000, -20000};

	world_register(world, session, &r);
	world_pass(world, 1000000);
	restart(world, session);
	assert_int_equal(world->n_events, 1);
	assert_int_equal(world->events[0].opcode, PROTO_RESUMED);
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		world_read(world, session);
		world_pass(world, 1000000);
		world->now.at[PROTO_CLOCK_REALTIME] += (uint64_t)settings[i];
		restart(world, session);
		assert_int_equal(world->n_events, 2);
		assert_int_equal(world->events[0].opcode, PROTO_RESUMED);
		assert_int_equal(world->events[1].opcode, PROTO_CLOCK_SET);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_MATCH(test_only_root_may_match_other_users),
		TEST_MATCH(test_labels_match_exactly),
		TEST_MATCH(test_owners_are_told_of_matching_cancellations),
		TEST_MATCH(test_one_request_scans_and_cancels_a_bounded_number),
		TEST_MATCH(test_a_set_wall_clock_is_told_to_those_who_asked),
		TEST_MATCH(test_a_wall_clock_set_while_down_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
