/* SPDX-License-Identifier: MIT */
/*
 * Compares the two parts of an index, in memory and on disk, with an array. Random entries come and
 * go, in several lanes, close together and far apart.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sqlite_blocks.h"

#define LANES  3
#define PLACES 3000 /* how many positions an entry may have */

static uint64_t seed;

static uint64_t roll(uint64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % n;
}

static struct recent_entry places[PLACES];
static bool there[PLACES];

static int compare(const void *a, const void *b)
{
	return recent_is_before(a, b) ? -1 : recent_is_before(b, a);
}

/* Positions: equal values, consecutive values, and any values up to INT64_MAX. */
static void make_places(void)
{
	for (size_t i = 0; i < PLACES; i++) {
		uint64_t kind = roll(3);

		places[i] = (struct recent_entry){
			.lane = 256 + roll(LANES) * 7,
			.value = kind == 0  ? 5000
				: kind == 1 ? 1000000 + i
					    : roll(INT64_MAX),
			.id = i + 1,
		};
		there[i] = false;
	}
	qsort(places, PLACES, sizeof(places[0]), compare);
}

/* The entry that follows a position according to the array; NULL: the lane has none. */
static const struct recent_entry *expected(const struct recent_entry *place, bool any_lane)
{
	for (size_t i = 0; i < PLACES; i++)
		if (there[i] && recent_is_before(place, &places[i]))
			return any_lane || places[i].lane == place->lane ? &places[i] : NULL;
	return NULL;
}

static void check_next(const struct recent_entry *next, const struct recent_entry *wanted)
{
	assert_int_equal(!next, !wanted);
	if (next)
		assert_true(recent_is_same(next, wanted));
}

static struct recent_entry any_place(void)
{
	struct recent_entry place = places[roll(PLACES)];

	place.id -= roll(3) == 0;
	if (roll(20) == 0)
		place.value = roll(2) ? 0 : INT64_MAX;
	return place;
}

/* Whether to add an entry: first more are added than removed, then more are removed. */
static bool comes(size_t step, size_t steps)
{
	return roll(100) < (step < steps / 2 ? 70u : 30u);
}

/* The position of the next change: random, or in order. */
static size_t next_place(size_t *at, bool in_order)
{
	*at = in_order ? (*at + 1) % PLACES : roll(PLACES);
	return *at;
}

static void memory_is_as_the_array(void **state)
{
	struct recent r = {0};
	size_t count = 0, at = 0;

	(void)state;
	seed = 11;
	make_places();
	for (size_t step = 0; step < 30000; step++) {
		size_t i = next_place(&at, step / 3000 % 2);
		struct recent_entry place = any_place();

		if (comes(step, 30000)) {
			assert_int_equal(recent_add(&r, &places[i]), !there[i]);
			count += !there[i];
			there[i] = true;
		} else {
			assert_int_equal(recent_remove(&r, &places[i]), there[i]);
			count -= there[i];
			there[i] = false;
		}
		assert_int_equal(r.count, count);
		if (step % 16 == 0)
			check_next(recent_after(&r, &place), expected(&place, true));
	}
	recent_clear(&r);
}

/* Compares what follows a place with the array. Then removes it from both. */
static void remove_run(struct recent *r, size_t n)
{
	static struct recent_entry copy[PLACES];
	struct recent_entry place = any_place(), at = place;
	size_t copied = recent_copy_after(r, &place, copy, n), before = r->count;

	for (size_t i = 0; i < copied; i++) {
		const struct recent_entry *next = expected(&at, true);

		check_next(&copy[i], next);
		at = *next;
		there[next - places] = false;
	}
	if (copied < n)
		check_next(NULL, expected(&at, true));
	recent_remove_after(r, &place, n);
	assert_int_equal(r->count, before - copied);
}

static void runs_are_as_the_array(void **state)
{
	struct recent r = {0};

	(void)state;
	seed = 13;
	make_places();
	for (size_t step = 0; step < 200; step++) {
		const struct recent_entry *next;
		struct recent_entry at = {0};

		for (size_t k = roll(1000); k--;) {
			size_t i = roll(PLACES);

			assert_int_equal(recent_add(&r, &places[i]), !there[i]);
			there[i] = true;
		}
		remove_run(&r, roll(4) ? roll(600) : PLACES);
		do {
			next = recent_after(&r, &at);
			check_next(next, expected(&at, true));
			at = next ? *next : at;
		} while (next);
	}
	recent_clear(&r);
}

static void run(sqlite3 *db, const char *text)
{
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
}

/* Checks all entries of the table, in order. */
static void check_all(struct sqlite_blocks *b)
{
	for (uint64_t lane = 0; lane < LANES; lane++) {
		struct recent_entry at = {.lane = 256 + lane * 7};
		const struct recent_entry *next;

		do {
			assert_int_equal(sqlite_blocks_after(b, &at, &next), SQLITE_OK);
			check_next(next, expected(&at, false));
			if (next)
				at = *next;
		} while (next);
	}
}

static void change_blocks(struct sqlite_blocks *b, size_t i, bool add)
{
	int r = add ? sqlite_blocks_add(b, &places[i]) : sqlite_blocks_remove(b, &places[i]);

	assert_int_equal(r, SQLITE_OK);
	there[i] = add;
}

/* Transactions of a few changes each. Every tenth is rolled back. */
static void blocks_are_as_the_array(void **state)
{
	static struct sqlite_blocks b;
	static bool before[PLACES];
	size_t at = 0;
	sqlite3 *db;

	(void)state;
	seed = 12;
	make_places();
	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	run(db,
		"CREATE TABLE due (lane, value, id, entries, PRIMARY KEY (lane, value, id)) "
		"WITHOUT ROWID");
	assert_int_equal(sqlite_blocks_open(&b, db, "due"), SQLITE_OK);
	for (size_t step = 0; step < 400; step++) {
		memcpy(before, there, sizeof(there));
		run(db, "BEGIN");
		for (uint64_t n = roll(200); n; n--) {
			const struct recent_entry *next;
			struct recent_entry place = any_place();
			size_t i = next_place(&at, step / 40 % 2);

			change_blocks(&b, i, comes(step, 400));
			if (n % 8)
				continue;
			assert_int_equal(sqlite_blocks_after(&b, &place, &next), SQLITE_OK);
			check_next(next, expected(&place, false));
		}
		if (step % 10 == 9) {
			run(db, "ROLLBACK");
			sqlite_blocks_drop(&b);
			memcpy(there, before, sizeof(there));
		} else {
			assert_int_equal(sqlite_blocks_flush(&b), SQLITE_OK);
			run(db, "COMMIT");
		}
		if (step % 20 == 0) {
			sqlite_blocks_drop(&b);
			check_all(&b);
		}
	}
	sqlite_blocks_close(&b);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void try_block(sqlite3 *db, struct sqlite_blocks *b, const char *entries)
{
	struct recent_entry place = {.lane = 1};
	const struct recent_entry *next;
	char *text = sqlite3_mprintf(
		"DELETE FROM due; INSERT INTO due VALUES (1, 5, 5, %s)", entries);

	run(db, text);
	sqlite3_free(text);
	sqlite_blocks_drop(b);
	assert_int_equal(sqlite_blocks_after(b, &place, &next), SQLITE_CORRUPT);
	sqlite_blocks_drop(b);
}

static void damaged_blocks_are_said(void **state)
{
	static struct sqlite_blocks b;
	sqlite3 *db;

	(void)state;
	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	run(db,
		"CREATE TABLE due (lane, value, id, entries, PRIMARY KEY (lane, value, id)) "
		"WITHOUT ROWID");
	assert_int_equal(sqlite_blocks_open(&b, db, "due"), SQLITE_OK);
	try_block(db, &b, "x'80'");			  /* a number that does not end */
	try_block(db, &b, "x'00'");			  /* no id */
	try_block(db, &b, "x'0001'");			  /* before the block's place */
	try_block(db, &b, "x'00020001'");		  /* out of order */
	try_block(db, &b, "x'ffffffffffffffffffff0000'"); /* more than 64 bits */
	try_block(db, &b, "zeroblob(2000)");		  /* one entry again and again */
	sqlite_blocks_close(&b);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_as_the_array),
		cmocka_unit_test(runs_are_as_the_array),
		cmocka_unit_test(blocks_are_as_the_array),
		cmocka_unit_test(damaged_blocks_are_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
