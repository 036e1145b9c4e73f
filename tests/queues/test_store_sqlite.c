/* SPDX-License-Identifier: MIT */
/* The functions that only the store on SQLite has: a disk that is full or fails, receipts, clocks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "store_on_sqlite.h"
#include "store_stage.h"

/* A load also reports the first later row that wakes the machine, however far away it is. */
static void finds_what_wakes_the_machine(void **state)
{
	struct store_change c;
	uint64_t id = 0;

	(void)state;
	for (unsigned int i = 0; i < 200; i++) {
		c = make_put(1 + i, "", "");
		c.timer.flags = i == 50 || i == 150 ? PROTO_WAKE_SYSTEM : 0;
		change(&c, PROTO_OK);
		id = i == 150 ? c.id : id;
	}
	for (int lives = 0; lives < 2; lives++, stage_again()) {
		ask_load_some(store, queue, PROTO_CLOCK_REALTIME, INT64_MAX, 0, &rows);
		assert_true(rows.n == 0 && rows.beyond.ready == 1 && rows.beyond.wake_system == 51);
		ask_load_some(store, queue, PROTO_CLOCK_REALTIME, INT64_MAX, 100, &rows);
		assert_true(rows.n == 100 && rows.beyond.ready == 101 &&
			rows.beyond.wake_system == 151);
		ask_load_some(store, queue, PROTO_CLOCK_BOOTTIME, INT64_MAX, 0, &rows);
		assert_true(rows.beyond.wake_system == PROTO_FOREVER);
	}
	c = wake(STORE_DELAY, id, 1);
	c.timer.ready = 190;
	change(&c, PROTO_OK);
	ask_load_some(store, queue, PROTO_CLOCK_REALTIME, INT64_MAX, 100, &rows);
	assert_int_equal(rows.beyond.wake_system, 190);
	c = wake(STORE_CANCEL, id, 0);
	change(&c, PROTO_OK);
	ask_load_some(store, queue, PROTO_CLOCK_REALTIME, INT64_MAX, 100, &rows);
	assert_true(rows.beyond.wake_system == PROTO_FOREVER);
}

/* A user's receipts are bounded, whatever their tokens. Receipts of another user stay. */
static void bounds_the_receipts_of_a_user(void **state)
{
	struct proto_queue_stored answer = {.id = 1};
	struct store_put p = {.answers = &answer, .count = 1, .serial = 1};
	struct ask_puts found;
	unsigned int known = 0;

	(void)state;
	p.token[0] = 8;
	assert_int_equal(ask_commit(store, NULL, 0, &p, 1), 0);
	p.token[0] = 7;
	for (unsigned int i = 0; i < 1000; i++) {
		p.token[5] = (uint8_t)i;
		p.token[6] = (uint8_t)(i >> 8);
		assert_int_equal(ask_commit(store, NULL, 0, &p, 2 + i / 3), 0);
		if (i == 500)
			stage_again();
	}
	for (unsigned int i = 0; i < 1000; i++) {
		p.token[5] = (uint8_t)i;
		p.token[6] = (uint8_t)(i >> 8);
		ask_puts(store, p.token, &found);
		known += (unsigned int)found.n;
		/* The oldest receipts are removed first. */
		assert_true(found.n == 1 || known == 0);
	}
	assert_in_range(known * (64 + 24), tuning.receipts_max / 2 - 3 * 88, tuning.receipts_max);
	p.token[0] = 8;
	p.token[5] = p.token[6] = 0;
	ask_puts(store, p.token, &found);
	assert_int_equal(found.n, 1);
}

static void keeps_the_clocks(void **state)
{
	struct clocks_stored last = {.boot_id = "boot",
		.now = {1, 2, 3},
		.offset = {-4, 5, 0},
		.trusted = true,
		.clean = true};

	(void)state;
	store->ops->close(store, &last);
	stage_begin();
	assert_memory_equal(clocks.boot_id, last.boot_id, sizeof(last.boot_id));
	assert_memory_equal(clocks.now, last.now, sizeof(last.now));
	assert_memory_equal(clocks.offset, last.offset, sizeof(last.offset));
	assert_true(clocks.trusted && clocks.clean);
}

/* There is no space on the disk. */
static void is_full_and_goes_on(void **state)
{
	static const enum disk_error errors[] = {DISK_ENOSPC, DISK_EDQUOT, DISK_SHORT};
	uint64_t id = put(1, "", "kept");

	(void)state;
	for (size_t i = 0; i < 3; i++)
		for (uint64_t n = 1; n < 6; n++) {
			struct store_change c = make_put(2, "", "refused");
			int r;

			disk_fail(&disk, DISK_WRITE, n, UINT64_MAX / 2, errors[i]);
			r = ask_change(store, &c);
			disk_heal(&disk);
			if (r != -ENOSPC)
				print_error("error %zu, write %llu\n", i, (unsigned long long)n);
			assert_int_equal(r, -ENOSPC);
			assert_true(ask_state(store, STORE_FULL));
			load();
			assert_int_equal(rows.n, 1);
			c = wake(STORE_DELAY, id, 1);
			c.timer.ready = n;
			change(&c, PROTO_OK);
			assert_true(ask_state(store, STORE_OK));
		}
	stage_again();
	load();
	assert_int_equal(rows.n, 1);
	assert_string_equal(rows.payloads[0], "kept");
}

/* A write fails for another reason, or a sync fails, with any errno. */
static void fails_and_recovers(void **state)
{
	static const struct {
		enum disk_call call;
		enum disk_error error;
	} faults[] = {{DISK_WRITE, DISK_EIO}, {DISK_SYNC, DISK_EIO}, {DISK_SYNC, DISK_ENOSPC}};
	uint64_t last = 0;
	size_t held = 0, unsure = 0;

	(void)state;
	disk.lost = true;
	for (size_t i = 0; i < 3; i++)
		for (uint64_t n = 1; n < 8; n++) {
			struct store_change c = make_put(1, "", "x");
			int r;

			/* The recovery fails, too, until the disk works again. */
			disk_fail(&disk, faults[i].call, n, 1, faults[i].error);
			r = ask_change(store, &c);
			if (!r) {
				disk_heal(&disk);
				held++;
				last = c.id;
				continue;
			}
			/* -EINPROGRESS: the whole transaction may be on the disk, and nobody has
			 * looked yet. -EIO: a merge met the fault first, so the transaction was not
			 * tried. */
			assert_true(r == -EINPROGRESS || r == -EIO);
			unsure += r == -EINPROGRESS;
			assert_true(ask_state(store, STORE_OK));
			disk_heal(&disk);
			load();
			assert_int_equal(rows.n, held);
			last = put(1, "", "y");
			held++;
		}
	assert_true(unsure > 0);
	stage_again();
	load();
	assert_int_equal(rows.n, held);
	assert_int_equal(rows.rows[held - 1].id, last);
}

/* Until the store has recovered, it answers nothing as stored. */
static void stays_failed_while_the_disk_is(void **state)
{
	struct store_change c = make_put(1, "", "x");

	(void)state;
	put(1, "", "kept");
	disk_fail(&disk, DISK_SYNC, 1, UINT64_MAX / 2, DISK_EIO);
	assert_int_equal(ask_change(store, &c), -EINPROGRESS);
	assert_true(ask_state(store, STORE_FAILED));
	/* Further transactions are not tried. */
	for (int i = 0; i < 3; i++) {
		c = make_put(1, "", "x");
		assert_int_equal(ask_change(store, &c), -EIO);
	}
	disk_heal(&disk);
	stage_again();
	load();
	assert_int_equal(rows.n, 1);
	assert_string_equal(rows.payloads[0], "kept");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGED(finds_what_wakes_the_machine),
		STAGED(bounds_the_receipts_of_a_user),
		STAGED(keeps_the_clocks),
		STAGED(is_full_and_goes_on),
		STAGED(fails_and_recovers),
		STAGED(stays_failed_while_the_disk_is),
	};

	return stage_run(tests, sizeof(tests) / sizeof(tests[0]));
}
