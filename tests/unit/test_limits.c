/* SPDX-License-Identifier: MIT */
/*
 * Each limit at its boundary and one above; which users it binds; and that each way to end a timer
 * or a client frees its quota.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "world.h"

#define ROOT  0
#define USER  1000
#define OTHER 1001

/* A session registers that many timers, and all are accepted. Return: the last id. */
static uint64_t fill(struct world *world, uint32_t session, uint32_t count)
{
	uint64_t id = 0;

	for (uint32_t i = 0; i < count; i++)
		id = world_timer(world, session, 0, 10);
	return id;
}

static void refuse(struct world *world, uint32_t session, enum proto_status wanted)
{
	struct proto_register r = {.due = 10, .flags = PROTO_RELATIVE};
	struct proto_registered registered = world_register(world, session, &r);

	assert_int_equal(registered.status, wanted);
	assert_int_equal(registered.id, 0);
}

static void refuse_client(struct world *world, uint32_t uid, enum proto_status wanted)
{
	uint32_t session = 12345;

	assert_int_equal(world_try_connect(world, uid, &session), wanted);
	assert_int_equal(session, 12345);
}

static void test_a_user_holds_no_more_timers_than_allowed(void **state)
{
	struct limits limits = {
		.max_timers = 100,
		.max_timers_per_user = 10,
		.max_clients = 15,
		.max_clients_per_user = 4,
	};
	struct world *world = world_new(&limits);
	uint32_t a = world_connect(world, USER), b = world_connect(world, USER);
	uint32_t other = world_connect(world, OTHER);

	(void)state;
	/* The user's sessions share one account; another user's is untouched. */
	fill(world, a, 4);
	fill(world, b, 6);
	refuse(world, a, PROTO_E_TIMERS_USER);
	refuse(world, b, PROTO_E_TIMERS_USER);
	fill(world, other, 10);
	refuse(world, other, PROTO_E_TIMERS_USER);
	assert_int_equal(world_status(world, a).timers, 10);
	assert_int_equal(world_status(world, a).refused, 2);
	assert_int_equal(world_status(world, other).timers, 10);
	assert_int_equal(world_status(world, other).refused, 1);
	world_free(world);
}

static void test_all_users_hold_no_more_timers_than_allowed(void **state)
{
	struct limits limits = {
		.max_timers = 25,
		.max_timers_per_user = 10,
		.max_clients = 15,
		.max_clients_per_user = 4,
	};
	struct world *world = world_new(&limits);
	uint32_t a = world_connect(world, USER), b = world_connect(world, OTHER);
	uint32_t c = world_connect(world, 1002), root = world_connect(world, ROOT);

	(void)state;
	fill(world, a, 10);
	fill(world, b, 10);
	fill(world, c, 5);
	refuse(world, c, PROTO_E_TIMERS);
	refuse(world, root, PROTO_E_TIMERS);
	/* A user at both limits gets the error of its own limit, which it can change. */
	refuse(world, a, PROTO_E_TIMERS_USER);
	world_free(world);
}

static void test_root_is_bound_by_the_limit_in_all_only(void **state)
{
	struct limits limits = {
		.max_timers = 25,
		.max_timers_per_user = 10,
		.max_clients = 15,
		.max_clients_per_user = 4,
	};
	struct world *world = world_new(&limits);
	uint32_t root = world_connect(world, ROOT);

	(void)state;
	fill(world, root, 25);
	refuse(world, root, PROTO_E_TIMERS);
	world_free(world);
}

static void test_a_limit_of_zero_timers_refuses_all(void **state)
{
	struct limits limits = world_limits(5, 8);
	struct world *world;

	(void)state;
	limits.max_timers_per_user = 0;
	world = world_new(&limits);
	refuse(world, world_connect(world, USER), PROTO_E_TIMERS_USER);
	fill(world, world_connect(world, ROOT), 5);
	world_free(world);
	limits.max_timers = 0;
	world = world_new(&limits);
	refuse(world, world_connect(world, ROOT), PROTO_E_TIMERS);
	world_free(world);
}

/* Each record is judged alone. */
static void test_a_batch_is_accepted_up_to_the_limit(void **state)
{
	struct limits limits = world_limits(100, 4);
	struct proto_register records[20] = {0};
	struct proto_registered registered;
	struct world *world;
	uint32_t session;

	(void)state;
	limits.max_timers_per_user = 15;
	world = world_new(&limits);
	session = world_connect(world, USER);
	for (int i = 0; i < 20; i++)
		records[i].due = UINT64_MAX - 1;
	records[3].clock = PROTO_CLOCKS; /* invalid: takes no quota */
	world_request(world, session, PROTO_REGISTER, records, 20, 0);
	for (uint32_t i = 0; i < 20; i++) {
		enum proto_status wanted = i <= 15 ? PROTO_OK : PROTO_E_TIMERS_USER;

		world_answer(world, i, &registered);
		assert_int_equal(registered.status, i == 3 ? PROTO_E_CLOCK : wanted);
	}
	world_free(world);
}

/* After each kind of end there is room for one timer, and only one. */
static void test_every_end_of_a_timer_frees_its_quota(void **state)
{
	struct limits limits = world_limits(5, 8);
	struct world *world = world_new(&limits);
	uint32_t a = world_connect(world, USER), b = world_connect(world, USER);
	struct proto_register r = {.due = 1, .flags = PROTO_RELATIVE, .every = 1, .count = 2};
	uint64_t id;

	(void)state;
	fill(world, a, 4);
	id = fill(world, b, 1);
	refuse(world, a, PROTO_E_TIMERS_USER);

	assert_int_equal(world_cancel(world, b, id), PROTO_OK);
	id = fill(world, b, 1);
	refuse(world, a, PROTO_E_TIMERS_USER);

	/* Cancelled by another session: the slot is free after the event was sent. */
	assert_int_equal(world_cancel(world, a, id), PROTO_OK);
	refuse(world, a, PROTO_E_TIMERS_USER);
	world_turn(world);
	assert_int_equal(world_register(world, b, &r).status, PROTO_OK);
	refuse(world, a, PROTO_E_TIMERS_USER);

	/* Fired: the slot is free after the last wake. */
	world_pass(world, 1);
	world_turn(world);
	refuse(world, a, PROTO_E_TIMERS_USER);
	world_pass(world, 1);
	world_turn(world);
	fill(world, b, 1);
	refuse(world, a, PROTO_E_TIMERS_USER);

	world_disconnect(world, b);
	fill(world, a, 1);
	refuse(world, a, PROTO_E_TIMERS_USER);
	world_free(world);
}

/* A timer that is cancelled twice, or fires twice, frees its quota once. Re-arming takes none. */
static void test_quota_is_freed_once(void **state)
{
	struct limits limits = world_limits(3, 8);
	struct world *world = world_new(&limits);
	uint32_t session = world_connect(world, USER);
	struct proto_rearm rearm = {.id = fill(world, session, 3), .due = UINT64_MAX - 1};

	(void)state;
	assert_int_equal(world_rearm(world, session, &rearm).status, PROTO_OK);
	refuse(world, session, PROTO_E_TIMERS_USER);
	assert_int_equal(world_cancel(world, session, rearm.id), PROTO_OK);
	assert_int_equal(world_cancel(world, session, rearm.id), PROTO_E_NO_SUCH_TIMER);
	fill(world, session, 1);
	refuse(world, session, PROTO_E_TIMERS_USER);
	world_free(world);
}

static void test_a_user_has_no_more_clients_than_allowed(void **state)
{
	struct limits limits = world_limits(10, 15);
	struct world *world;
	uint32_t session;

	(void)state;
	limits.max_clients_per_user = 3;
	world = world_new(&limits);
	session = world_connect(world, USER);
	world_connect(world, USER);
	world_connect(world, USER);
	refuse_client(world, USER, PROTO_E_CLIENTS_USER);
	world_connect(world, OTHER);
	world_disconnect(world, session);
	world_connect(world, USER);
	refuse_client(world, USER, PROTO_E_CLIENTS_USER);
	for (int i = 0; i < 11; i++) /* only the total binds root */
		world_connect(world, ROOT);
	refuse_client(world, ROOT, PROTO_E_CLIENTS);
	/* Each session sees only its own. */
	assert_int_equal(world_status(world, session).clients, 3);
	assert_int_equal(world_status(world, session).refused, 2);
	world_free(world);
}

/* A refused client leaves no account behind. */
static void test_a_limit_of_zero_clients_admits_root_only(void **state)
{
	struct limits limits = world_limits(10, 4);
	struct world *world;

	(void)state;
	limits.max_clients_per_user = 0;
	world = world_new(&limits);
	for (uint32_t uid = 1; uid < 1000; uid++)
		refuse_client(world, uid, PROTO_E_CLIENTS_USER);
	assert_int_equal(world->worker.arena.header->users_top, 0);
	for (int i = 0; i < 4; i++)
		world_connect(world, ROOT);
	refuse_client(world, ROOT, PROTO_E_CLIENTS);
	world_free(world);
}

/* A sixteenth of the total is root's, at most 8. A total below 16 has no reserve. */
static void test_root_has_a_reserve_of_clients(void **state)
{
	static const struct {
		uint32_t total, reserve;
	} cases[] = {
		{1, 0},
		{15, 0},
		{16, 1},
		{31, 1},
		{32, 2},
		{127, 7},
		{128, 8},
		{300, 8},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct limits limits = world_limits(1, cases[i].total);
		struct world *world = world_new(&limits);
		uint32_t session = 0;

		for (uint32_t k = 0; k < cases[i].total - cases[i].reserve; k++)
			session = world_connect(world, USER + k % 7);
		refuse_client(world, USER, PROTO_E_CLIENTS);
		refuse_client(world, 99999, PROTO_E_CLIENTS);
		for (uint32_t k = 0; k < cases[i].reserve; k++)
			world_connect(world, ROOT);
		refuse_client(world, ROOT, PROTO_E_CLIENTS);
		/* While root uses its reserve, any user can take a slot that becomes free. */
		world_disconnect(world, session);
		if (cases[i].reserve)
			refuse_client(world, USER, PROTO_E_CLIENTS);
		world_connect(world, ROOT);
		refuse_client(world, ROOT, PROTO_E_CLIENTS);
		world_free(world);
	}
}

static void test_every_end_of_a_client_frees_its_quota(void **state)
{
	struct limits limits = world_limits(10, 2);
	struct world *world = world_new(&limits);
	uint32_t stays = world_connect(world, USER), session;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		assert_int_equal(world_try_connect(world, USER + i, &session), PROTO_OK);
		if (i % 3)
			world_hello(world, session);
		if (i % 3 == 2)
			fill(world, session, 3);
		refuse_client(world, USER, PROTO_E_CLIENTS);
		world_disconnect(world, session);
	}
	assert_int_equal(world_status(world, stays).clients, 1);
	assert_int_equal(world_status(world, stays).timers, 0);
	world_free(world);
}

/* The bucket in which a first client's account is found. */
static uint32_t bucket_of(uint32_t uid)
{
	struct limits limits = world_limits(1, 16);
	struct world *world = world_new(&limits);
	const struct arena *arena = &world->worker.arena;
	uint32_t bucket = 0;

	world_connect(world, uid);
	while (bucket < arena->buckets_mask && !arena->buckets[bucket])
		bucket++;
	world_free(world);
	return bucket;
}

#define COLLIDING 14

/* Users whose accounts are in one chain do not share accounts, in any order of their ends. */
static void test_colliding_uids_are_counted_apart(void **state)
{
	struct limits limits = world_limits(COLLIDING * 2, 16);
	uint32_t uids[COLLIDING], sessions[COLLIDING], n = 0;
	struct world *world;

	(void)state;
	for (uint32_t uid = 1; n < COLLIDING; uid++)
		if (bucket_of(uid) == bucket_of(1))
			uids[n++] = uid;
	limits.max_timers_per_user = 2;
	limits.max_clients_per_user = 1;
	world = world_new(&limits);
	for (uint32_t step = 1; step < COLLIDING; step++) {
		for (uint32_t i = 0; i < COLLIDING; i++) {
			sessions[i] = world_connect(world, uids[i]);
			fill(world, sessions[i], 1 + i % 2);
		}
		for (uint32_t i = 0; i < COLLIDING; i++) {
			refuse_client(world, uids[i], PROTO_E_CLIENTS_USER);
			if (i % 2 == 0)
				fill(world, sessions[i], 1);
			refuse(world, sessions[i], PROTO_E_TIMERS_USER);
		}
		for (uint32_t i = 0, at = 0; i < COLLIDING; i++, at = (at + step) % COLLIDING) {
			world_disconnect(world, sessions[at]);
			sessions[at] = world_connect(world, uids[at]);
			fill(world, sessions[at], 2);
			refuse(world, sessions[at], PROTO_E_TIMERS_USER);
			world_disconnect(world, sessions[at]);
			sessions[at] = world_connect(world, uids[at]);
		}
		for (uint32_t i = 0; i < COLLIDING; i++)
			world_disconnect(world, sessions[i]);
	}
	world_free(world);
}

/* There are as many users as slots, and each round has other users. */
static void test_many_users_are_counted_apart(void **state)
{
	struct limits limits = world_limits(2000, 1000);
	struct world *world;
	uint32_t sessions[992];

	(void)state;
	limits.max_timers_per_user = 2;
	limits.max_clients_per_user = 1;
	world = world_new(&limits);
	for (uint32_t round = 0; round < 4; round++) {
		for (uint32_t i = 0; i < 992; i++) {
			/* Consecutive uids, and uids far apart. */
			uint32_t uid = 1 + (round % 2 ? i << 20 | i >> 12 : i + round * 997);

			sessions[i] = world_connect(world, uid);
			fill(world, sessions[i], 2);
			refuse(world, sessions[i], PROTO_E_TIMERS_USER);
			if (i < 991)
				refuse_client(world, uid, PROTO_E_CLIENTS_USER);
		}
		for (uint32_t i = 0; i < 992; i++)
			world_disconnect(world, sessions[(i * 7 + round) % 992]);
	}
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_user_holds_no_more_timers_than_allowed),
		cmocka_unit_test(test_all_users_hold_no_more_timers_than_allowed),
		cmocka_unit_test(test_root_is_bound_by_the_limit_in_all_only),
		cmocka_unit_test(test_a_limit_of_zero_timers_refuses_all),
		cmocka_unit_test(test_a_batch_is_accepted_up_to_the_limit),
		cmocka_unit_test(test_every_end_of_a_timer_frees_its_quota),
		cmocka_unit_test(test_quota_is_freed_once),
		cmocka_unit_test(test_a_user_has_no_more_clients_than_allowed),
		cmocka_unit_test(test_a_limit_of_zero_clients_admits_root_only),
		cmocka_unit_test(test_root_has_a_reserve_of_clients),
		cmocka_unit_test(test_every_end_of_a_client_frees_its_quota),
		cmocka_unit_test(test_colliding_uids_are_counted_apart),
		cmocka_unit_test(test_many_users_are_counted_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
