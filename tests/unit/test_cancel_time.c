/* SPDX-License-Identifier: MIT */
/*
 * Refusing to cancel another user's timer takes as long as for an id that does not exist. Otherwise
 * the time would reveal which ids exist.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "world.h"

#define USER  1000
#define OTHER 1001

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#	define SANITIZED 1
#else
#	define SANITIZED 0
#endif

#define IDS    4000
#define ROUNDS 400
#define TRIES  5

/* The greatest accepted difference of the shortest times, which nothing disturbed. */
#define BOUND_PERCENT 5

static uint64_t ids[IDS];

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Cancels all of these ids in one packet; none of them is the user's. Return: nanoseconds. */
static uint64_t cancel_all(struct world *world, uint32_t session, const uint64_t *which)
{
	uint64_t start = clock_ns(), time;
	struct proto_cancel_answer answer;

	world_request(world, session, PROTO_CANCEL, which, IDS, 0);
	time = clock_ns() - start;
	for (uint32_t i = 0; i < IDS; i++) {
		world_answer(world, i, &answer);
		assert_int_equal(answer.status, PROTO_E_NO_SUCH_TIMER);
	}
	return time;
}

/* Compares the shortest of many rounds with foreign ids, and with missing ids, in turn. */
static bool is_the_same(struct world *world, uint32_t session, const uint64_t *foreign,
	const uint64_t *missing, const char *what)
{
	uint64_t best[2] = {UINT64_MAX, UINT64_MAX};

	for (int i = 0; i < 2 * ROUNDS; i++) {
		uint64_t time = cancel_all(world, session, i % 2 ? missing : foreign);

		if (time < best[i % 2])
			best[i % 2] = time;
	}
	print_message("%d foreign ids: %.1f us, %s: %.1f us\n", IDS, (double)best[0] / 1000, what,
		(double)best[1] / 1000);
	return best[0] * 100 <= best[1] * (100 + BOUND_PERCENT) &&
		best[1] * 100 <= best[0] * (100 + BOUND_PERCENT);
}

/* A busy machine can disturb one comparison; a difference that the code makes is in all of them. */
static void compare(struct world *world, uint32_t session, const uint64_t *foreign,
	const uint64_t *missing, const char *what)
{
	for (int i = 0; i < TRIES; i++)
		if (is_the_same(world, session, foreign, missing, what))
			return;
	fail_msg("refusing foreign ids takes another time than refusing %s", what);
}

static void test_refusing_a_foreign_id_takes_as_long_as_a_missing_one(void **state)
{
	struct limits limits = {3 * IDS, 3 * IDS, 10, 10};
	struct world *world = world_new(&limits);
	uint32_t session = world_connect(world, USER), other = world_connect(world, OTHER);
	static uint64_t stale[IDS], freed[IDS];

	(void)state;
	/* The dues are random, so that the tree has all shapes. Half of the slots are free
	 * again. */
	for (uint32_t i = 0; i < IDS; i++) {
		ids[i] = world_timer(world, other, 0, 1000000 + i * 7919 % 100003);
		freed[i] = world_timer(world, other, 0, 1000000 + i * 7919 % 100003);
		stale[i] = ids[i] ^ (UINT64_C(1) << (PROTO_ID_BITS - 1));
	}
	for (uint32_t i = 0; i < IDS; i++)
		assert_int_equal(world_cancel(world, other, freed[i]), PROTO_OK);
	compare(world, session, ids, stale, "others of the same places");
	compare(world, session, ids, freed, "of places that are free");
	assert_int_equal(world_status(world, other).timers, IDS);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusing_a_foreign_id_takes_as_long_as_a_missing_one),
	};

	/* A sanitizer's checks cost more than the difference that this test looks for. */
	if (SANITIZED) {
		print_message("skipped: times mean nothing under a sanitizer\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
