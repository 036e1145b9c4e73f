/* SPDX-License-Identifier: MIT */
/*
 * The list, which takes several requests while timers come and go; which user sees what; and the
 * counters of the status.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dice.h"
#include "fixture.h"
#include "match.h"
#include "world.h"

#define USER  1000
#define OTHER 1001
#define MOST  2000

/* Requests one part of a list. Return: the cursor of the next part. */
static uint64_t piece(struct world *world, uint32_t session, uint32_t flags, uint64_t cursor)
{
	struct proto_list list = {.flags = flags};

	world_request(world, session, PROTO_LIST, &list, 1, cursor);
	return world->answer.cursor;
}

static void expect_refused(
	struct world *world, uint32_t session, uint32_t flags, uint32_t reserved, uint16_t status)
{
	struct proto_list list = {.flags = flags, .reserved = reserved};

	world_request(world, session, PROTO_LIST, &list, 1, 0);
	assert_int_equal(world->answer.status, status);
	assert_int_equal(world->answer.count, 0);
	assert_int_equal(world->answer.cursor, 0);
}

/* A request reads a bounded number of slots, whoever owns them. */
static void test_a_list_looks_at_a_bounded_number_of_slots(void **state)
{
	struct world *world = *state;
	uint32_t other = world_connect(world, OTHER), session = world_connect(world, USER);
	uint64_t cursor = 0, id;
	unsigned int pieces = 0, found = 0;
	struct proto_listed listed;

	for (uint32_t i = 0; i < 2 * MATCH_SLOTS + 100; i++)
		world_timer(world, other, 0, 10);
	id = world_timer(world, session, 0, 10);
	do {
		uint64_t before = cursor ? cursor : 1;

		cursor = piece(world, session, 0, cursor);
		if (cursor)
			assert_int_equal(cursor, before + MATCH_SLOTS);
		found += world->answer.count;
		pieces++;
	} while (cursor);
	assert_int_equal(pieces, 3);
	assert_int_equal(found, 1);
	world_answer(world, 0, &listed);
	assert_int_equal(listed.id, id);
}

/* And an answer holds as many timers as fit. */
static void test_a_list_of_many_timers_is_complete(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	uint32_t most = PROTO_RECORDS_MAX(struct proto_listed);
	uint64_t cursor = 0;

	for (uint32_t i = 0; i < 2 * most; i++)
		world_timer(world, session, 0, 10);
	cursor = piece(world, session, 0, cursor);
	assert_int_equal(world->answer.count, most);
	assert_int_not_equal(cursor, 0);
	cursor = piece(world, session, 0, cursor);
	assert_int_equal(world->answer.count, most);
	/* Full exactly at the end. */
	assert_int_equal(cursor, 0);
}

/* A timer that lives throughout is listed once, whatever happens to others between two parts. */
static void test_a_list_has_every_timer_that_stays(void **state)
{
	struct dice dice = dice_new("come and go", 31);
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	uint64_t *ids = calloc(MOST, sizeof(*ids)), cursor = 0;
	unsigned int *seen = calloc(MOST, sizeof(*seen)), pieces = 0;

	assert_non_null(ids);
	assert_non_null(seen);
	for (int i = 0; i < MOST; i++)
		ids[i] = world_timer(world, session, 0, 1000000);
	do {
		cursor = piece(world, session, 0, cursor);
		for (uint32_t i = 0; i < world->answer.count; i++) {
			struct proto_listed listed;

			world_answer(world, i, &listed);
			for (int k = 0; k < MOST; k++)
				seen[k] += ids[k] == listed.id;
		}
		/* The even timers come and go. The odd timers stay, some with another due. */
		for (int i = 0; i < 300; i++) {
			uint64_t k = dice_below(&dice, MOST);
			struct proto_rearm r = {.id = ids[k], .due = UINT64_MAX - 1};

			if (k % 2) {
				world_rearm(world, session, &r);
				continue;
			}
			world_cancel(world, session, ids[k]);
			ids[k] = world_timer(world, session, 0, 1000000);
		}
		pieces++;
	} while (cursor);
	assert_true(pieces > 3);
	for (int k = 1; k < MOST; k += 2)
		assert_int_equal(seen[k], 1);
	free(ids);
	free(seen);
}

static void test_forged_cursors_are_harmless(void **state)
{
	static const uint64_t cursors[] = {2, 3, 1000000, ARENA_TIMERS_MAX, UINT32_MAX,
		UINT64_C(1) << 32, (UINT64_C(1) << 32) + 1, UINT64_MAX - 1, UINT64_MAX};
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);

	/* The slot of the internal timer that waited for the hello. */
	assert_int_equal(world_timer(world, session, 0, 10) & ARENA_TIMERS_MAX, 1);
	assert_int_equal(piece(world, session, 0, 1), 0);
	assert_int_equal(world->answer.count, 1);
	for (size_t i = 0; i < sizeof(cursors) / sizeof(cursors[0]); i++) {
		assert_int_equal(piece(world, session, 0, cursors[i]), 0);
		assert_int_equal(world->answer.status, PROTO_OK);
		assert_int_equal(world->answer.count, 0);
	}
}

static void test_only_root_sees_timers_of_others(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER), friend = world_connect(world, USER);
	uint32_t other = world_connect(world, OTHER), root = world_connect(world, 0);
	struct proto_register r = {.due = UINT64_MAX - 1, .cookie = 77};
	struct proto_listed listed[8];
	uint64_t id;

	world_register(world, session, &r);
	id = world_register(world, other, &r).id;
	/* A session sees all timers of its user, but only the cookies of its own. */
	assert_int_equal(world_list(world, session, 0, listed, 8), 1);
	assert_int_equal(listed[0].cookie, 77);
	assert_int_equal(world_list(world, friend, 0, listed, 8), 1);
	assert_int_equal(listed[0].cookie, 0);
	assert_int_equal(listed[0].uid, USER);
	expect_refused(world, session, PROTO_LIST_ALL, 0, PROTO_E_PERMISSION);
	expect_refused(world, session, 2, 0, PROTO_E_FLAGS);
	expect_refused(world, root, PROTO_LIST_ALL, 1, PROTO_E_FLAGS);
	expect_refused(world, root, PROTO_LIST_ALL | 1u << 31, 0, PROTO_E_FLAGS);
	/* Root has no timers here, and sees those of others only if it asks for all. */
	assert_int_equal(world_list(world, root, 0, listed, 8), 0);
	assert_int_equal(world_list(world, root, PROTO_LIST_ALL, listed, 8), 2);
	assert_int_equal(listed[0].cookie | listed[1].cookie, 0);
	/* A cancelled timer is not listed, even before its session has sent the event. */
	assert_int_equal(world_cancel(world, root, id), PROTO_OK);
	assert_int_equal(world_list(world, root, PROTO_LIST_ALL, listed, 8), 1);
	assert_int_equal(world_list(world, other, 0, listed, 8), 0);
}

static void test_listed_time_left_is_due_minus_now(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	uint64_t *wall = &world->now.at[PROTO_CLOCK_REALTIME];
	struct proto_register r = {.clock = PROTO_CLOCK_REALTIME};
	static const struct {
		uint64_t due, now;
		int64_t left;
	} cases[] = {
		{100, 100, 0},
		{100, 99, 1},
		{100, 101, -1},
		{UINT64_MAX - 1, UINT64_MAX, -1},
		{UINT64_C(1) << 63, 1, INT64_MAX},
		{UINT64_C(1) << 63, 0, INT64_MAX},
		{UINT64_MAX - 1, 0, INT64_MAX},
		{1, UINT64_C(1) << 63, -INT64_MAX},
		{0, UINT64_MAX, -INT64_MAX},
	};
	struct proto_listed listed;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t id;

		*wall = cases[i].now;
		r.due = cases[i].due;
		id = world_register(world, session, &r).id;
		assert_int_equal(world_list(world, session, 0, &listed, 1), 1);
		assert_true(listed.left == cases[i].left);
		world_cancel(world, session, id);
	}
}

/* A label belongs to its timer, not to the slot. */
static void test_labels_are_listed(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = UINT64_MAX - 1, .label = "twenty-four bytes of it."};
	char full[PROTO_LABEL_MAX];
	struct proto_listed listed;
	uint64_t id;

	memcpy(full, r.label, sizeof(full));
	id = world_register(world, session, &r).id;
	assert_int_equal(world_list(world, session, 0, &listed, 1), 1);
	assert_memory_equal(listed.label, full, sizeof(full));
	world_cancel(world, session, id);
	world_timer(world, session, 0, 10);
	assert_int_equal(world_list(world, session, 0, &listed, 1), 1);
	memset(full, 0, sizeof(full));
	assert_memory_equal(listed.label, full, sizeof(full));
}

static void test_status_counts_what_happened(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER), silent;
	struct proto_status_answer status = world_status(world, session);

	assert_memory_equal(status.version, "1.2.3", 6);
	assert_int_equal(status.pid, 4711);
	assert_int_equal(status.uptime, 0);
	assert_int_equal(status.clients, 1);
	assert_int_equal(status.next, PROTO_FOREVER);
	assert_int_equal(status.late_p50 | status.late_p99 | status.late_max, 0);
	assert_int_equal(status.restarts | status.adopted_sessions | status.adopted_timers, 0);
	world->worker.config.version = "twenty-four bytes of it. And more";
	status = world_status(world, session);
	assert_memory_equal(status.version, "twenty-four bytes of it.", sizeof(status.version));

	/* Internal timers: a watchdog's, and one that waits for a hello. */
	worker_start_internal(&world->worker, WORKER_WATCHDOG, 50, 50, &world->now);
	world_try_connect(world, USER, &silent);
	assert_int_equal(world_status(world, session).next, PROTO_FOREVER);
	world_disconnect(world, silent);

	world_timer(world, session, PROTO_CLOCK_REALTIME, 500);
	world_timer(world, session, PROTO_CLOCK_BOOTTIME, 300);
	world_timer(world, session, PROTO_CLOCK_MONOTONIC, 400);
	world_pass(world, 100);
	status = world_status(world, session);
	assert_int_equal(status.uptime, 100);
	assert_int_equal(status.timers, 3);
	assert_int_equal(status.registered, 3);
	assert_int_equal(status.next, 200);
	world_pass(world, 1000); /* overdue, and not served yet */
	assert_int_equal(world_status(world, session).next, 0);
	world_turn(world);
	worker_rang(&world->worker);
	status = world_status(world, session);
	assert_int_equal(status.timers, 0);
	assert_int_equal(status.woken, 3);
	assert_int_equal(status.wakeups, 1);
	assert_int_equal(status.late_max, 800);
}

/* A session that waits for its turn or for its client is in no tree of an alarm. The status still
 * finds its timers. */
static void test_status_next_counts_sessions_that_wait(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER), root = world_connect(world, 0);

	world_timer(world, session, PROTO_CLOCK_BOOTTIME, 700);
	world_timer(world, session, PROTO_CLOCK_MONOTONIC, 300);
	sessions_make_ready(&world->worker.arena, session);
	assert_int_equal(worker_next(&world->worker, CLOCK_OF_MONOTONIC), TIMERS_FOREVER);
	assert_int_equal(world_status(world, session).next, 300);
	assert_int_equal(world_status(world, root).next, 300);
	worker_block(&world->worker, session);
	assert_int_equal(world_status(world, session).next, 300);
	assert_int_equal(world_status(world, root).next, 300);
	world_pass(world, 400); /* the first wake waits for the client */
	assert_int_equal(world_status(world, session).next, 0);
	assert_int_equal(world_status(world, root).next, 0);

	worker_unblock(&world->worker, session, &world->now);
	assert_int_equal(world_status(world, root).next, 0);
	world_turn(world);
	assert_int_equal(world_status(world, session).next, 300);
	world_disconnect(world, session);
	assert_int_equal(world_status(world, root).next, PROTO_FOREVER);
}

/* A user other than root sees nothing of others, except the lateness of the service. */
static void test_status_counts_per_user(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER), root = world_connect(world, 0);
	uint32_t other = world_connect(world, OTHER), friend = world_connect(world, OTHER);
	struct proto_status_answer status;

	world_timer(world, other, PROTO_CLOCK_MONOTONIC, 100);
	world_timer(world, friend, PROTO_CLOCK_REALTIME, 300);
	world_timer(world, friend, PROTO_CLOCK_BOOTTIME, 1000);
	status = world_status(world, session);
	assert_int_equal(status.clients, 1);
	assert_int_equal(status.timers | status.registered | status.woken | status.refused, 0);
	assert_int_equal(status.next, PROTO_FOREVER);
	assert_int_equal(world_status(world, other).next, 100);
	assert_int_equal(world_status(world, root).next, 100);
	assert_int_equal(world_status(world, root).clients, 4);

	world_pass(world, 500);
	worker_rang(&world->worker);
	world_turn(world);
	status = world_status(world, session);
	assert_int_equal(status.woken | status.wakeups | status.timers, 0);
	assert_int_equal(status.late_max, 400);
	world_timer(world, session, PROTO_CLOCK_MONOTONIC, 7000);
	assert_int_equal(world_status(world, session).next, 7000);
	status = world_status(world, other);
	assert_int_equal(status.clients, 2);
	assert_int_equal(status.timers, 1);
	assert_int_equal(status.registered, 3);
	assert_int_equal(status.woken, 2);
	assert_int_equal(status.wakeups, 2); /* a packet to each client */
	assert_int_equal(status.next, 500);
	assert_int_equal(world_status(world, root).registered, 4);
}

/* The counts of a user survive the end of its last client, and a restart. */
static void test_status_counts_survive_a_restart(void **state)
{
	struct world *world = *state;
	struct worker *w = &world->worker;
	struct worker_config config = w->config;
	uint32_t session = world_connect(world, USER);

	world_timer(world, session, 0, 100);
	world_cancel(world, session, world_timer(world, session, 0, 100));
	world_disconnect(world, session);
	for (uint32_t uid = 5000; uid < 5100; uid++)
		world_disconnect(world, world_connect(world, uid));
	session = world_connect(world, USER);
	assert_int_equal(world_status(world, session).registered, 2);
	assert_int_equal(world_status(world, session).cancelled, 1);
	assert_int_equal(world_status(world, session).timers, 0);

	world_timer(world, session, 0, 100);
	worker_answered(w);
	assert_true(worker_adopt(w, world->block, &config, &world->now));
	worker_resume(w, session);
	world_turn(world);
	assert_int_equal(world_status(world, session).registered, 3);
	assert_int_equal(world_status(world, session).timers, 1);
	assert_int_equal(world_status(world, session).adopted_sessions, 1);

	/* Among users with the same hash, the one that left first is forgotten. */
	world_disconnect(world, session);
	for (uint32_t uid = 10000; uid < 10000 + 4 * REMEMBERED_SETS * REMEMBERED_WAYS; uid++)
		world_disconnect(world, world_connect(world, uid));
	session = world_connect(world, USER);
	assert_int_equal(world_status(world, session).registered, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_MATCH(test_a_list_looks_at_a_bounded_number_of_slots),
		TEST_MATCH(test_a_list_of_many_timers_is_complete),
		TEST_MATCH(test_a_list_has_every_timer_that_stays),
		TEST_MATCH(test_forged_cursors_are_harmless),
		TEST_MATCH(test_only_root_sees_timers_of_others),
		TEST_MATCH(test_listed_time_left_is_due_minus_now),
		TEST_MATCH(test_labels_are_listed),
		TEST_MATCH(test_status_counts_what_happened),
		TEST_MATCH(test_status_next_counts_sessions_that_wait),
		TEST_MATCH(test_status_counts_per_user),
		TEST_MATCH(test_status_counts_survive_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
