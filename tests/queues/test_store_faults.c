/* SPDX-License-Identifier: MIT */
/*
 * Each call of the file system fails once: open, read, write, truncate, sync, size, access, unlink,
 * rename. A new start must agree with the answers of the store: what was stored is there, what was
 * removed is not, and there is nothing else. If the answer was "unknown", either is right.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "ask.h"
#include "disk.h"
#include "store_sqlite.h"

#define TIMERS 24

/* After that many calls, only some are tried: further calls are like the earlier ones. */
#define ONE_BY_ONE 24
#define STEP	   13

enum fate { ABSENT, STORED, PARKED, UNKNOWN };

static struct disk disk;
static struct store *store;
static struct ask_rows rows;
static uint32_t queue;
static enum fate fates[TIMERS];
static uint64_t ids[TIMERS];

static const struct sqlite_tuning tuning = {
	.recent_max = 5,
	.merge_slice = 2,
	.log_idle = 6,
	.log_max = 12,
	.receipts_max = 300,
	.check_pages = UINT32_MAX,
	.recover_us = 10000000,
};

/* The same, but it soon notices that a disk works again. */
static struct sqlite_tuning patient;

static bool begin_as(const struct sqlite_tuning *how)
{
	struct clocks_stored clocks;
	char *why = NULL;
	int r = store_sqlite_open(&store, "/queues.db", &disk.host, how, &clocks, &why);

	free(why);
	if (r) {
		assert_true(disk.failed);
		return false;
	}
	assert_int_equal(store->ops->open_queue(store, 7, "mail", &queue), 0);
	return true;
}

static bool begin(void)
{
	return begin_as(&tuning);
}

/* Notes the answer of a transaction about one timer. */
static void settle(unsigned int i, int result, uint32_t status, enum fate fate)
{
	if (result)
		assert_true(disk.failed);
	if (result == -EINPROGRESS)
		fates[i] = UNKNOWN;
	else if (!result && !status)
		fates[i] = fate;
}

static void put(unsigned int i)
{
	static struct proto_queue_stored answer;
	struct store_put receipt = {.token = {7}, .serial = i + 1, .answers = &answer, .count = 1};
	char payload[8];
	struct store_change c = {.type = STORE_PUT,
		.answer = &answer,
		.timer = {.queue = queue,
			.due = 1 + i,
			.ready = 1 + i,
			.number = 1,
			.max_late = PROTO_FOREVER,
			.flags = i % 4 ? 0 : PROTO_WAKE_SYSTEM,
			.payload = payload}};
	int r;

	c.timer.payload_size = (uint32_t)snprintf(payload, sizeof(payload), "%u", i);
	c.timer.key = payload;
	c.timer.key_size = i % 2 ? (uint16_t)c.timer.payload_size : 0;
	r = ask_commit(store, &c, 1, &receipt, 1 + i);
	/* an id that was not stored is free again */
	ids[i] = r || c.status ? 0 : c.id;
	settle(i, r, c.status, STORED);
}

static void end(unsigned int i, enum store_change_type type, enum fate fate)
{
	struct store_change c = {
		.type = type, .timer = {.queue = queue, .id = ids[i], .number = 1, .attempt = 1}};
	int r;

	if (fates[i] != STORED)
		return;
	c.timer.ready = 1000;
	c.timer.due = PROTO_FOREVER;
	r = ask_change(store, &c);
	settle(i, r, c.status, fate);
}

static void check_waiting(void)
{
	bool seen[TIMERS] = {false};

	ask_load(store, queue, 0, INT64_MAX, &rows);
	if (rows.error) {
		assert_true(disk.failed);
		return;
	}
	for (size_t n = 0; n < rows.n; n++) {
		unsigned int i = (unsigned int)strtoul(rows.payloads[n], NULL, 10);

		assert_true(i < TIMERS && !seen[i]);
		assert_true(fates[i] == STORED || fates[i] == UNKNOWN);
		seen[i] = true;
	}
	for (unsigned int i = 0; i < TIMERS; i++)
		assert_true(seen[i] || fates[i] != STORED);
}

static void check_parked(void)
{
	struct store_position from = {0};
	size_t parked = 0;

	ask_list(store, queue, true, &from, TIMERS, &rows);
	if (rows.error) {
		assert_true(disk.failed);
		return;
	}
	for (unsigned int i = 0; i < TIMERS; i++) {
		bool found = false;

		for (size_t n = 0; n < rows.n; n++)
			found = found || rows.rows[n].timer == ids[i];
		assert_true(found || fates[i] != PARKED);
		assert_true(!found || fates[i] == PARKED || fates[i] == UNKNOWN);
		parked += found;
	}
	assert_int_equal(parked, rows.n);
}

static void live(void)
{
	for (unsigned int i = 0; i < TIMERS; i++) {
		put(i);
		if (i % 3 == 2)
			end(i - 1, STORE_REMOVE, ABSENT);
		if (i % 6 == 4)
			end(i - 2, STORE_PARK, PARKED);
		if (i % 7 == 3)
			end(i, STORE_DELAY, STORED);
		if (i % 8 == 7) {
			check_waiting();
			check_parked();
		}
	}
}

/* A run on a disk that fails as planned. When the disk works again, a new start checks the result.
 */
static void try(void)
{
	if (begin()) {
		live();
		store->ops->close(store, NULL);
	}
	disk_heal(&disk);
	assert_true(begin());
	check_waiting();
	check_parked();
	put(0);
	store->ops->close(store, NULL);
}

static void erase(void)
{
	disk_erase(&disk);
	memset(fates, 0, sizeof(fates));
	memset(ids, 0, sizeof(ids));
}

static uint64_t next(uint64_t n)
{
	return n + (n < ONE_BY_ONE ? 1 : STEP);
}

static void sweep(enum disk_call call, enum disk_error error, uint64_t times)
{
	uint64_t lives = 0;

	for (uint64_t n = 1;; n = next(n), lives++) {
		erase();
		disk_fail(&disk, call, n, times, error);
		try();
		if (!disk.failed)
			break;
	}
	print_message("%llu lives\n", (unsigned long long)lives);
	assert_true(lives > 0);
}

/* A sync fails; during the recovery each call fails. */
static void recovering(void **state)
{
	static const enum disk_call calls[] = {DISK_OPEN, DISK_READ, DISK_WRITE, DISK_TRUNCATE,
		DISK_SYNC, DISK_SIZE, DISK_ACCESS, DISK_DELETE, DISK_RENAME};
	const uint64_t in_recovery = 12;

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		for (uint64_t sync = 9; sync < 40; sync += 14)
			for (uint64_t n = 1; n <= in_recovery; n++) {
				erase();
				disk_fail(&disk, DISK_SYNC, sync, 1, DISK_EIO);
				disk_fail_then(&disk, calls[i], n);
				try();
				assert_true(disk.failed && (disk.then_failed || n > 1));
				if (!disk.then_failed)
					break;
			}
}

static enum store_state state_of_store(void)
{
	const char *why;

	return store->ops->state(store, &why);
}

/* The sync and each recovery fail until the disk works again. Then the run continues. */
static void recovering_at_last(void **state)
{
	const struct timespec while_it_fails = {.tv_nsec = 20000000}, soon = {.tv_nsec = 1000000};

	(void)state;
	erase();
	patient = tuning;
	patient.recover_us = 1000;
	patient.log_idle = patient.log_max = 1000; /* only commits cause syncs */
	assert_true(begin_as(&patient));
	put(0);
	assert_int_equal(fates[0], STORED);
	disk_fail(&disk, DISK_SYNC, 1, UINT64_MAX / 2, DISK_EIO);
	put(1);
	assert_int_equal(fates[1], UNKNOWN);
	nanosleep(&while_it_fails, NULL);
	assert_int_equal(state_of_store(), STORE_FAILED);
	put(2);
	assert_int_equal(fates[2], ABSENT);
	disk_heal(&disk);
	for (int i = 0; i < 10000 && state_of_store() != STORE_OK; i++)
		nanosleep(&soon, NULL);
	assert_int_equal(state_of_store(), STORE_OK);
	check_waiting();
	put(3);
	assert_int_equal(fates[3], STORED);
	store->ops->close(store, NULL);
	assert_true(begin());
	check_waiting();
	store->ops->close(store, NULL);
}

#define SWEEP(name, call, error, times)    \
	static void name(void **state)     \
	{                                  \
		(void)state;               \
		sweep(call, error, times); \
	}

SWEEP(opening, DISK_OPEN, DISK_EIO, 1)
SWEEP(reading, DISK_READ, DISK_EIO, 1)
SWEEP(reading_from_then_on, DISK_READ, DISK_EIO, UINT64_MAX / 2)
SWEEP(writing, DISK_WRITE, DISK_EIO, 1)
SWEEP(writing_from_then_on, DISK_WRITE, DISK_EIO, UINT64_MAX / 2)
SWEEP(without_space, DISK_WRITE, DISK_ENOSPC, 3)
SWEEP(in_part, DISK_WRITE, DISK_SHORT, 1)
SWEEP(over_quota, DISK_WRITE, DISK_EDQUOT, 2)
SWEEP(truncating, DISK_TRUNCATE, DISK_EIO, 1)
SWEEP(syncing, DISK_SYNC, DISK_EIO, 1)
SWEEP(syncing_from_then_on, DISK_SYNC, DISK_EIO, UINT64_MAX / 2)
SWEEP(asking_for_the_size, DISK_SIZE, DISK_EIO, 1)
SWEEP(asking_for_a_name, DISK_ACCESS, DISK_EIO, 1)
SWEEP(removing, DISK_DELETE, DISK_EIO, 1)

static int set_up(void **state)
{
	(void)state;
	disk_init(&disk, "faulty", 11);
	disk_repeat(getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : 11);
	disk_record(&disk);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	disk_free(&disk);
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(opening),
		TEST(reading),
		TEST(reading_from_then_on),
		TEST(writing),
		TEST(writing_from_then_on),
		TEST(without_space),
		TEST(in_part),
		TEST(over_quota),
		TEST(truncating),
		TEST(syncing),
		TEST(syncing_from_then_on),
		TEST(asking_for_the_size),
		TEST(asking_for_a_name),
		TEST(removing),
		TEST(recovering),
		TEST(recovering_at_last),
	};

	return cmocka_run_group_tests_name("store faults", tests, NULL, NULL);
}
