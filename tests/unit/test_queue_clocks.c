/* SPDX-License-Identifier: MIT */
/*
 * The clocks of durable timers across reboots. The test plays the three clocks of a machine, and a
 * store that keeps what was written last.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "clocks.h"
#include "dice.h"

#define SECOND	 UINT64_C(1000000)
#define MINUTE	 (60 * SECOND)
#define HOUR	 (60 * MINUTE)
#define YEAR	 (365 * 24 * HOUR)
#define PATIENCE (10 * MINUTE)
#define MONO	 PROTO_CLOCK_MONOTONIC
#define BOOT	 PROTO_CLOCK_BOOTTIME
#define REAL	 PROTO_CLOCK_REALTIME

static struct machine {
	struct clocks_reading kernel;
	struct clocks_stored stored;
	struct clocks clocks;
	uint8_t boot_id[16];
	uint64_t patience;
	uint64_t now[PROTO_CLOCKS];
} m;

/* Reads the clocks. Return: whether the wall clock has just become trusted. */
static bool look(void)
{
	return clocks_now(&m.clocks, &m.kernel, m.now);
}

static void store(void)
{
	look();
	m.stored = clocks_store(&m.clocks, m.now);
}

static bool start(void)
{
	clocks_start(&m.clocks, &m.stored, m.boot_id, m.patience, &m.kernel);
	return look();
}

/* The kernel runs for a span. timerqd does not read the clocks meanwhile. */
static void run(uint64_t span)
{
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
		m.kernel.at[i] += span;
}

/* Boots again. The wall clock then shows `wall`. */
static bool boot(uint64_t wall)
{
	for (size_t i = 1; ++m.boot_id[i] == 0; i++)
		;
	m.kernel = (struct clocks_reading){.at = {[REAL] = wall}};
	run(5 * SECOND);
	return start();
}

/* A machine in its first boot, a year after the epoch. It has run for an hour and stored its
 * clocks. */
static int set_up(void **state)
{
	(void)state;
	memset(&m, 0, sizeof(m));
	m.patience = PATIENCE;
	m.boot_id[0] = 1;
	m.kernel.at[REAL] = YEAR;
	start();
	run(HOUR);
	store();
	return 0;
}

static void expect_held(bool held)
{
	assert_int_equal(clocks_holds(&m.clocks, REAL), held);
	assert_int_equal(clocks_holds(&m.clocks, BOOT), held);
	assert_false(clocks_holds(&m.clocks, MONO));
	assert_true((clocks_next_check(&m.clocks) == PROTO_FOREVER) == !held);
}

static void test_first_start(void **state)
{
	(void)state;
	memset(&m, 0, sizeof(m));
	m.boot_id[0] = 9;
	m.kernel.at[BOOT] = 7;
	m.kernel.at[MONO] = 5;
	m.kernel.at[REAL] = 3;
	assert_false(start());
	expect_held(false);
	assert_int_equal(m.now[BOOT], 7);
	assert_int_equal(m.now[MONO], 5);
	assert_int_equal(m.now[REAL], 3);
}

static void test_same_boot(void **state)
{
	(void)state;
	boot(YEAR + 3 * HOUR);
	store();
	/* A crash and a new start within the same boot lose no time, whatever the wall clock shows.
	 */
	run(MINUTE);
	m.kernel.at[REAL] = 5;
	start();
	expect_held(false);
	assert_int_equal(m.now[REAL], 5);
	assert_int_equal(m.now[MONO], HOUR + 5 * SECOND + MINUTE);
	assert_int_equal(m.now[BOOT], HOUR + 2 * HOUR + 5 * SECOND + MINUTE);
}

static void test_reboot(void **state)
{
	(void)state;
	/* Off for two hours, minus the five seconds of the boot. */
	boot(YEAR + 3 * HOUR - 5 * SECOND);
	expect_held(false);
	assert_false(m.clocks.impatient);
	assert_int_equal(m.now[REAL], YEAR + 3 * HOUR);
	assert_int_equal(m.now[BOOT], 3 * HOUR);
	assert_int_equal(m.now[MONO], HOUR + 5 * SECOND);
}

/* A crash loses the monotonic time since the clocks were stored. It loses no boottime. */
static void test_crash(void **state)
{
	(void)state;
	run(40 * SECOND);
	boot(YEAR + HOUR + 50 * SECOND);
	assert_int_equal(m.now[MONO], HOUR + 5 * SECOND);
	assert_int_equal(m.now[BOOT], HOUR + 55 * SECOND);
}

/* During suspend boottime runs, and monotonic stops. */
static void test_suspend(void **state)
{
	(void)state;
	m.kernel.at[BOOT] += HOUR;
	m.kernel.at[REAL] += HOUR;
	store();
	assert_int_equal(m.now[MONO], HOUR);
	assert_int_equal(m.now[BOOT], 2 * HOUR);
	boot(YEAR + 4 * HOUR);
	assert_int_equal(m.now[MONO], HOUR + 5 * SECOND);
	assert_int_equal(m.now[BOOT], 4 * HOUR + 5 * SECOND);
}

static void test_wall_passes(void **state)
{
	(void)state;
	boot(YEAR + HOUR - MINUTE);
	expect_held(true);
	/* boottime advances only by the time since the boot. */
	assert_int_equal(m.now[BOOT], HOUR + 5 * SECOND);
	run(55 * SECOND - 1);
	assert_false(look());
	expect_held(true);
	run(1);
	assert_true(look());
	expect_held(false);
	assert_false(m.clocks.impatient);
	assert_int_equal(m.now[BOOT], HOUR + MINUTE);
	assert_false(look());
}

static void test_wall_is_set(void **state)
{
	(void)state;
	boot(0);
	expect_held(true);
	run(MINUTE);
	m.kernel.at[REAL] = YEAR + 2 * HOUR;
	assert_true(look());
	expect_held(false);
	/* An hour since the stored pair, which includes the minute since the boot. */
	assert_int_equal(m.now[BOOT], 2 * HOUR);
	assert_int_equal(m.now[REAL], YEAR + 2 * HOUR);
}

/* The wall clock is synchronised, and still behind the stored instant: the stored instant was
 * wrong. */
static void test_synchronised(void **state)
{
	(void)state;
	boot(HOUR);
	expect_held(true);
	m.kernel.synchronised = true;
	assert_true(look());
	expect_held(false);
	assert_false(m.clocks.impatient);
	assert_int_equal(m.now[REAL], HOUR + 5 * SECOND);
	/* The difference is negative, so boottime does not change. */
	assert_int_equal(m.now[BOOT], HOUR + 5 * SECOND);
}

static void test_patience(void **state)
{
	(void)state;
	boot(HOUR);
	assert_int_equal(clocks_next_check(&m.clocks), 5 * SECOND + PATIENCE);
	run(PATIENCE - 1);
	assert_false(look());
	expect_held(true);
	run(1);
	assert_true(look());
	expect_held(false);
	assert_true(m.clocks.impatient);
	assert_int_equal(m.now[BOOT], HOUR + 5 * SECOND + PATIENCE);
}

/* When the trusted wall clock is set back, timerqd follows it, and the next boot starts from what
 * is stored then. */
static void test_set_back(void **state)
{
	(void)state;
	m.kernel.at[REAL] = HOUR;
	store();
	expect_held(false);
	assert_int_equal(m.now[REAL], HOUR);
	assert_int_equal(m.now[BOOT], HOUR);
	boot(2 * HOUR);
	expect_held(false);
	assert_int_equal(m.now[BOOT], 2 * HOUR + 5 * SECOND);
}

/* While the wall clock is not trusted, timerqd stores clocks without making a wrong wall clock the
 * measure. A new start of timerqd does not count the time since the boot twice. */
static void test_start_while_held(void **state)
{
	(void)state;
	boot(0);
	run(MINUTE);
	store();
	assert_false(m.stored.trusted);
	start();
	expect_held(true);
	assert_int_equal(m.now[BOOT], HOUR + 5 * SECOND + MINUTE);
	m.kernel.at[REAL] = YEAR + HOUR - 1;
	assert_false(look());
	m.kernel.at[REAL] = YEAR + 3 * HOUR;
	assert_true(look());
	assert_int_equal(m.now[BOOT], 3 * HOUR);
}

/* The machine boots again before the wall clock was trusted. The time of the first boot counts, and
 * counts once. */
static void test_boot_while_held(void **state)
{
	(void)state;
	boot(0);
	run(MINUTE);
	store();
	boot(0);
	expect_held(true);
	assert_int_equal(m.now[BOOT], HOUR + MINUTE + 10 * SECOND);
	m.kernel.at[REAL] = YEAR + 3 * HOUR;
	assert_true(look());
	assert_int_equal(m.now[BOOT], 3 * HOUR);
	assert_int_equal(m.now[MONO], HOUR + MINUTE + 10 * SECOND);
}

static void test_to_kernel(void **state)
{
	(void)state;
	boot(YEAR + 3 * HOUR);
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++) {
		assert_int_equal(clocks_to_kernel(&m.clocks, i, m.now[i] + 7), m.kernel.at[i] + 7);
		assert_true(clocks_to_kernel(&m.clocks, i, PROTO_FOREVER) == PROTO_FOREVER);
	}
	/* An instant long ago becomes the kernel's first instant. */
	assert_int_equal(clocks_to_kernel(&m.clocks, BOOT, 0), 0);
}

static void test_extremes(void **state)
{
	(void)state;
	m.stored.now[REAL] = INT64_MAX;
	m.stored.now[BOOT] = INT64_MAX;
	m.stored.now[MONO] = INT64_MAX;
	boot(0);
	expect_held(true);
	assert_true(m.now[BOOT] <= (uint64_t)INT64_MAX + HOUR);
	clocks_start(&m.clocks, &m.stored, m.boot_id, UINT64_MAX, &m.kernel);
	assert_true(clocks_next_check(&m.clocks) >= INT64_MAX);
	m.stored.now[REAL] = 0;
	m.boot_id[0]++;
	m.kernel.at[REAL] = UINT64_MAX;
	start();
	assert_true(m.now[BOOT] >= INT64_MAX);
}

/* A random history of true time and of the kernel's clocks. boottime and monotonic never go
 * backwards within a boot. boottime is never ahead of the true elapsed time, and is exact while the
 * wall clock has always been right. A wall clock that is trusted only after long waiting may be
 * wrong by any amount, so that does not happen here. */
static void test_history(void **state)
{
	struct dice dice = dice_new("test_queue_clocks", 16);
	uint64_t elapsed = HOUR, before[PROTO_CLOCKS];
	bool right = true;

	(void)state;
	m.patience = INT64_MAX;
	for (unsigned int step = 0; step < 200000; step++) {
		uint64_t span = dice_below(&dice, 20 * MINUTE);
		bool booted = false;

		look();
		memcpy(before, m.now, sizeof(before));
		switch (dice_below(&dice, 8)) {
		case 0:
			store();
			elapsed += span + 5 * SECOND;
			if (dice_once_in(&dice, 3)) {
				boot(dice_below(&dice, YEAR / 2));
				right = false;
			} else {
				boot(YEAR + elapsed - 5 * SECOND);
			}
			booted = true;
			break;
		case 1:
			store();
			start();
			break;
		case 2:
			m.kernel.at[REAL] = YEAR + elapsed;
			break;
		case 3:
			store();
			break;
		default:
			elapsed += span;
			run(span);
			break;
		}
		look();
		assert_true(m.now[BOOT] <= elapsed);
		assert_true(booted || m.now[BOOT] >= before[BOOT]);
		assert_true(m.now[MONO] >= before[MONO]);
		if (right)
			assert_int_equal(m.now[BOOT], elapsed);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
	const struct CMUnitTest tests[] = {
		TEST(test_first_start),
		TEST(test_same_boot),
		TEST(test_reboot),
		TEST(test_crash),
		TEST(test_suspend),
		TEST(test_wall_passes),
		TEST(test_wall_is_set),
		TEST(test_synchronised),
		TEST(test_patience),
		TEST(test_set_back),
		TEST(test_start_while_held),
		TEST(test_boot_while_held),
		TEST(test_to_kernel),
		TEST(test_extremes),
		TEST(test_history),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
