/* SPDX-License-Identifier: MIT */
/* The store through its interface: each kind of change, what reads tell, and what failures do. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ask.h"
#ifdef TEST_POSTGRES
#	include <dlfcn.h>
#	include <poll.h>

#	include "database.h"
#	include "store_module.h"
#else
#	include "disk.h"
#	include "store_sqlite.h"
#endif

static struct store *store;
static struct clocks_stored clocks;
static uint32_t queue;
static uint64_t term; /* of the queue's lease; 0 on one host */
static struct ask_rows rows;

#ifdef TEST_POSTGRES
static const struct store_module *module;

static void begin(void)
{
	struct pollfd p = {.events = POLLIN};
	char *why = NULL;

	if (module->open(&store, postgres.uri, &why))
		fail_msg("%s", why);
	free(why);
	assert_int_equal(store->ops->open_queue(store, 7, "mail", &queue), 0);
	store->ops->fleet->want(store, queue, true);
	p.fd = store->ops->get_fd(store);
	while (!store->ops->fleet->delivers(store, queue, 0, &term)) {
		assert_int_equal(poll(&p, 1, 20000), 1);
		store->ops->process(store);
	}
}

/* A new start. The lease is released before, because a killed host's would have to be waited
 * for. */
static void again(void)
{
	store->ops->close(store, &clocks);
	begin();
}

static int set_up(void **state)
{
	(void)state;
	postgres_reset(getenv("TIMERQD_BINARY"), 15000000);
	begin();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	store->ops->close(store, &clocks);
	return 0;
}
#else
static struct disk disk;

static const struct sqlite_tuning tuning = {
	.recent_max = 16,
	.merge_slice = 4,
	.log_idle = 20,
	.log_max = 40,
	.receipts_max = 20000,
	.check_pages = UINT32_MAX,
	.recover_us = 10000000,
};

static void begin(void)
{
	char *why;

	assert_int_equal(
		store_sqlite_open(&store, "/queues.db", &disk.host, &tuning, &clocks, &why), 0);
	assert_int_equal(store->ops->open_queue(store, 7, "mail", &queue), 0);
}

/* As a crash and a new start. */
static void again(void)
{
	store->ops->close(store, NULL);
	begin();
}

static int set_up(void **state)
{
	(void)state;
	disk_init(&disk, "disk", 5);
	disk_record(&disk);
	begin();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	store->ops->close(store, NULL);
	disk_free(&disk);
	return 0;
}
#endif

static struct store_change make_put(uint64_t due, const char *key, const char *payload)
{
	return (struct store_change){
		.type = STORE_PUT,
		.timer =
			{
				.queue = queue,
				.clock = PROTO_CLOCK_REALTIME,
				.due = due,
				.ready = due,
				.max_late = PROTO_FOREVER,
				.number = 1,
				.key = key,
				.key_size = (uint16_t)strlen(key),
				.payload = payload,
				.payload_size = (uint32_t)strlen(payload),
			},
	};
}

static uint64_t put(uint64_t due, const char *key, const char *payload)
{
	struct store_change c = make_put(due, key, payload);

	assert_int_equal(ask_change(store, &c), 0);
	assert_int_equal(c.status, PROTO_OK);
	return c.id;
}

static struct store_change wake(enum store_change_type type, uint64_t id, uint32_t number)
{
	return (struct store_change){
		.type = type, .term = term, .timer = {.queue = queue, .id = id, .number = number}};
}

static void change(struct store_change *c, uint32_t status)
{
	assert_int_equal(ask_change(store, c), 0);
	assert_int_equal(c->status, status);
}

static void load(void)
{
	ask_load(store, queue, PROTO_CLOCK_REALTIME, INT64_MAX, &rows);
	assert_int_equal(rows.error, 0);
}

static void loads_in_order_over_both_parts(void **state)
{
	uint64_t last_ready = 0, last_id = 0;

	(void)state;
	for (unsigned int i = 0; i < 200; i++)
		put(1 + i * 7919 % 101, "", "x");
	for (int lives = 0; lives < 3; lives++, again()) {
		last_ready = last_id = 0;
		load();
		assert_int_equal(rows.n, 200);
		for (size_t i = 0; i < rows.n; i++) {
			assert_true(rows.rows[i].ready > last_ready ||
				(rows.rows[i].ready == last_ready && rows.rows[i].id > last_id));
			last_ready = rows.rows[i].ready;
			last_id = rows.rows[i].id;
		}
		assert_true(rows.behind.ready == PROTO_FOREVER);
	}
}

static void loads_until_an_instant(void **state)
{
	(void)state;
	put(10, "", "");
	put(20, "", "");
	put(30, "", "");
	ask_load(store, queue, PROTO_CLOCK_REALTIME, 20, &rows);
	assert_int_equal(rows.n, 2);
	assert_int_equal(rows.behind.ready, 30);
}

#ifndef TEST_POSTGRES
/* The first row behind those of a load that wakes the machine is told, however far it is. */
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
	for (int lives = 0; lives < 2; lives++, again()) {
		ask_load_some(store, queue, PROTO_CLOCK_REALTIME, INT64_MAX, 0, &rows);
		assert_true(rows.n == 0 && rows.behind.ready == 1 && rows.behind.wake_system == 51);
		ask_load_some(store, queue, PROTO_CLOCK_REALTIME, INT64_MAX, 100, &rows);
		assert_true(rows.n == 100 && rows.behind.ready == 101 &&
			rows.behind.wake_system == 151);
		ask_load_some(store, queue, PROTO_CLOCK_BOOTTIME, INT64_MAX, 0, &rows);
		assert_true(rows.behind.wake_system == PROTO_FOREVER);
	}
	c = wake(STORE_DELAY, id, 1);
	c.timer.ready = 190;
	change(&c, PROTO_OK);
	ask_load_some(store, queue, PROTO_CLOCK_REALTIME, INT64_MAX, 100, &rows);
	assert_int_equal(rows.behind.wake_system, 190);
	c = wake(STORE_CANCEL, id, 0);
	change(&c, PROTO_OK);
	ask_load_some(store, queue, PROTO_CLOCK_REALTIME, INT64_MAX, 100, &rows);
	assert_true(rows.behind.wake_system == PROTO_FOREVER);
}
#endif

static void replaces_and_keeps_a_key(void **state)
{
	struct store_change c;
	uint64_t first = put(10, "k", "one"), second;

	(void)state;
	c = make_put(20, "k", "two");
	change(&c, PROTO_OK);
	second = c.id;
	assert_int_equal(c.flags, PROTO_QUEUE_REPLACED);
	assert_int_equal(c.replaced, first);
	assert_true(second > first);
	c = make_put(30, "k", "three");
	c.keep = true;
	change(&c, PROTO_OK);
	assert_int_equal(c.flags, PROTO_QUEUE_KEPT);
	assert_int_equal(c.id, second);
	assert_int_equal(c.due, 20);
	again();
	load();
	assert_int_equal(rows.n, 1);
	assert_string_equal(rows.payloads[0], "two");
	assert_string_equal(rows.keys[0], "k");
}

static void finds_keys_over_merges_and_starts(void **state)
{
	char key[16];

	(void)state;
	for (int round = 0; round < 2; round++, again())
		for (int i = 0; i < 100; i++) {
			struct store_change c;

			snprintf(key, sizeof(key), "key-%d", i);
			c = make_put(100, key, "");
			change(&c, PROTO_OK);
			assert_int_equal(c.flags, round ? PROTO_QUEUE_REPLACED : 0);
		}
	load();
	assert_int_equal(rows.n, 100);
}

static void refuses_over_limits(void **state)
{
	struct store_change c[3] = {
		make_put(1, "", "12345"), make_put(1, "", "12345"), make_put(1, "", "12345")};
	struct store_usage usage;

	(void)state;
	c[0].limit_timers = c[1].limit_timers = c[2].limit_timers = 2;
	assert_int_equal(ask_commit(store, c, 3, NULL, 1), 0);
	assert_int_equal(c[1].status, PROTO_OK);
	assert_int_equal(c[2].status, PROTO_E_TIMERS_USER);
	store->ops->usage(store, 7, &usage);
	assert_int_equal(usage.timers, 2);
	assert_int_equal(usage.bytes, 10);
	c[0] = make_put(1, "", "1");
	c[0].limit_bytes = 10;
	change(&c[0], PROTO_Q_BYTES_USER);
	c[0].limit_bytes = 11;
	change(&c[0], PROTO_OK);
	/* Another user's are not counted. */
	store->ops->usage(store, 8, &usage);
	assert_int_equal(usage.timers, 0);
}

static void acknowledges_and_advances(void **state)
{
	uint64_t id = put(10, "", "p");
	struct store_change c = wake(STORE_ADVANCE, id, 1);

	(void)state;
	c.timer.due = 70;
	change(&c, PROTO_OK);
	c = wake(STORE_REMOVE, id, 1);
	change(&c, PROTO_E_NO_SUCH_TIMER);
	again();
	load();
	assert_int_equal(rows.n, 1);
	assert_int_equal(rows.rows[0].number, 2);
	assert_int_equal(rows.rows[0].ready, 70);
	c = wake(STORE_DELAY, id, 2);
	c.timer.ready = 99;
	c.timer.attempt = 3;
	change(&c, PROTO_OK);
	load();
	assert_int_equal(rows.rows[0].ready, 99);
	assert_int_equal(rows.rows[0].due, 70);
	assert_int_equal(rows.rows[0].attempt, 3);
	c = wake(STORE_REMOVE, id, 2);
	change(&c, PROTO_OK);
	again();
	load();
	assert_int_equal(rows.n, 0);
}

/* A timer that moves behind the place that a merge has reached is still found by the next start. */
static void keeps_what_moves_during_a_merge(void **state)
{
	uint64_t ids[40];

	(void)state;
	for (unsigned int i = 0; i < 40; i++)
		ids[i] = put(1000 + i, "", "");
	for (unsigned int i = 0; i < 40; i++) {
		struct store_change c = wake(STORE_DELAY, ids[39 - i], 1);

		c.timer.ready = 1 + i;
		change(&c, PROTO_OK);
		if (i % 10 == 9)
			again();
	}
	again();
	load();
	assert_int_equal(rows.n, 40);
}

static void parks_and_revives(void **state)
{
	struct store_position from = {0};
	struct store_change c = make_put(10, "k", "p");
	struct store_usage usage;
	uint64_t id, other;

	(void)state;
	c.timer.max_attempts = 5;
	change(&c, PROTO_OK);
	id = c.id;
	c = wake(STORE_PARK, id, 1);
	c.timer.due = PROTO_FOREVER;
	c.timer.attempt = 5;
	change(&c, PROTO_OK);
	load();
	assert_int_equal(rows.n, 0);
	ask_list(store, queue, true, &from, 10, &rows);
	assert_int_equal(rows.n, 1);
	assert_true(rows.rows[0].parked);
	assert_int_equal(rows.rows[0].attempt, 5);
	store->ops->usage(store, 7, &usage);
	assert_int_equal(usage.parked, 1);
	other = put(20, "k", "q"); /* its key is free */
	again();
	c = wake(STORE_REVIVE, id, 0);
	c.now[PROTO_CLOCK_REALTIME] = 15;
	change(&c, PROTO_OK);
	assert_int_equal(c.removed, 1);
	load();
	assert_int_equal(rows.n, 2);
	assert_int_equal(rows.rows[0].timer, id);
	assert_int_equal(rows.rows[0].ready, 15);
	assert_int_equal(rows.rows[0].attempt, 0);
	assert_int_equal(rows.rows[0].max_attempts, 5);
	assert_int_equal(rows.rows[1].id, other);
	c = wake(STORE_REVIVE, id, 0);
	change(&c, PROTO_Q_PARKED);
	c = wake(STORE_CANCEL, id, 0);
	change(&c, PROTO_OK);
	load();
	assert_int_equal(rows.n, 1);
}

static void reschedules_by_key(void **state)
{
	uint64_t id = put(10, "k", "p");
	struct store_change c = {.type = STORE_RESCHEDULE,
		.timer = {.queue = queue, .key = "k", .key_size = 1, .due = 500},
		.relative = true,
		.now = {1000, 1000, 1000}};

	(void)state;
	change(&c, PROTO_OK);
	assert_int_equal(c.id, id);
	assert_int_equal(c.due, 1500);
	c.timer.due = INT64_MAX;
	change(&c, PROTO_E_RANGE);
	c.timer.key = "l";
	change(&c, PROTO_E_NO_SUCH_TIMER);
	load();
	assert_int_equal(rows.rows[0].ready, 1500);
}

static void lists_in_pages_and_purges(void **state)
{
	struct store_position at = {0};
	size_t n = 0;
	bool more;

	(void)state;
	for (unsigned int i = 0; i < 50; i++)
		put(1 + i % 5, "", "");
	do {
		ask_list(store, queue, false, &at, 7, &rows);
		for (size_t i = 0; i < rows.n; i++, n++)
			at = (struct store_position){.ready = rows.rows[i].ready,
				.id = rows.rows[i].id,
				.clock = rows.rows[i].clock};
	} while (rows.more);
	assert_int_equal(n, 50);
	assert_int_equal(ask_purge(store, queue, false, 30, &more), 30);
	assert_true(more);
	assert_int_equal(ask_purge(store, queue, false, 30, &more), 20);
	assert_false(more);
	again();
	load();
	assert_int_equal(rows.n, 0);
}

static void remembers_puts_for_a_day(void **state)
{
	const uint64_t day = UINT64_C(24) * 3600 * 1000000;
	struct proto_queue_stored answer;
	struct store_put p = {.token = "token", .answers = &answer, .count = 1};
	struct ask_puts found;

	(void)state;
	for (p.serial = 1; p.serial <= STORE_PUTS + 10; p.serial++) {
		struct store_change c = make_put(p.serial, "", "");

		c.answer = &answer;
		assert_int_equal(ask_commit(store, &c, 1, &p, day * 9), 0);
	}
	again();
	ask_puts(store, p.token, &found);
	assert_int_equal(found.n, STORE_PUTS);
	assert_int_equal(found.last, STORE_PUTS + 10);
	assert_int_equal(found.serials[0], 11);
	assert_int_equal(found.first_ids[STORE_PUTS - 1], STORE_PUTS + 10);
	assert_int_equal(ask_commit(store, NULL, 0, NULL, day * 10 - 1), 0);
	ask_puts(store, p.token, &found);
	assert_int_equal(found.n, STORE_PUTS);
	again();
	assert_int_equal(ask_commit(store, NULL, 0, NULL, day * 10 + 1), 0);
	ask_puts(store, p.token, &found);
	assert_int_equal(found.n, 0);
	assert_int_equal(found.last, 0);
}

#ifndef TEST_POSTGRES
/* A user's receipts have a bound, whatever tokens they are of; another user's are not touched. */
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
			again();
	}
	for (unsigned int i = 0; i < 1000; i++) {
		p.token[5] = (uint8_t)i;
		p.token[6] = (uint8_t)(i >> 8);
		ask_puts(store, p.token, &found);
		known += (unsigned int)found.n;
		/* The oldest go first. */
		assert_true(found.n == 1 || known == 0);
	}
	assert_in_range(known * (64 + 24), tuning.receipts_max / 2 - 3 * 88, tuning.receipts_max);
	p.token[0] = 8;
	p.token[5] = p.token[6] = 0;
	ask_puts(store, p.token, &found);
	assert_int_equal(found.n, 1);
}
#endif

/* A name that holds nothing and that nobody refers to takes no memory, and its number is used
 * again; one that holds something keeps its number. */
static void forgets_names(void **state)
{
	uint32_t number, least = UINT32_MAX, most = 0;
	char name[24];

	(void)state;
	put(1, "", "");
	store->ops->unref_queue(store, queue);
	for (unsigned int i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "name-%u", i);
		assert_int_equal(store->ops->open_queue(store, 7, name, &number), 0);
		assert_int_not_equal(number, queue);
		store->ops->ref_queue(store, number);
		store->ops->unref_queue(store, number);
		store->ops->unref_queue(store, number);
		most = number > most ? number : most;
		least = number < least ? number : least;
	}
	assert_true(most < 10);
	assert_int_equal(store->ops->open_queue(store, 7, "mail", &number), 0);
	assert_int_equal(number, queue);
	/* Those that are in use have numbers of their own. */
	for (unsigned int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "name-%u", i);
		assert_int_equal(store->ops->open_queue(store, 7, name, &number), 0);
		queue = number;
		put(5, "", name);
		load();
		assert_int_equal(rows.n, 1);
		assert_string_equal(rows.payloads[0], name);
	}
}

#ifndef TEST_POSTGRES
static void keeps_the_clocks(void **state)
{
	struct clocks_stored last = {.boot_id = "boot",
		.now = {1, 2, 3},
		.offset = {-4, 5, 0},
		.believed = true,
		.clean = true};

	(void)state;
	store->ops->close(store, &last);
	begin();
	assert_memory_equal(clocks.boot_id, last.boot_id, sizeof(last.boot_id));
	assert_memory_equal(clocks.now, last.now, sizeof(last.now));
	assert_memory_equal(clocks.offset, last.offset, sizeof(last.offset));
	assert_true(clocks.believed && clocks.clean);
}

/* Promise 7: no space. */
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
	again();
	load();
	assert_int_equal(rows.n, 1);
	assert_string_equal(rows.payloads[0], "kept");
}

/* Promise 7: any other failed write, and each failed sync, whatever its errno. */
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

			/* Recovery fails too, until the disk is well. */
			disk_fail(&disk, faults[i].call, n, 1, faults[i].error);
			r = ask_change(store, &c);
			if (!r) {
				disk_heal(&disk);
				held++;
				last = c.id;
				continue;
			}
			/* The transaction as a whole may be on the disk: nobody has looked yet. If
			 * a merge met the fault before, it was not tried. */
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
	again();
	load();
	assert_int_equal(rows.n, held);
	assert_int_equal(rows.rows[held - 1].id, last);
}

/* While it cannot be recovered nothing is answered as stored. */
static void stays_failed_while_the_disk_is(void **state)
{
	struct store_change c = make_put(1, "", "x");

	(void)state;
	put(1, "", "kept");
	disk_fail(&disk, DISK_SYNC, 1, UINT64_MAX / 2, DISK_EIO);
	assert_int_equal(ask_change(store, &c), -EINPROGRESS);
	assert_true(ask_state(store, STORE_FAILED));
	/* What comes now is not even tried. */
	for (int i = 0; i < 3; i++) {
		c = make_put(1, "", "x");
		assert_int_equal(ask_change(store, &c), -EIO);
	}
	disk_heal(&disk);
	again();
	load();
	assert_int_equal(rows.n, 1);
	assert_string_equal(rows.payloads[0], "kept");
}

#else
/* A commit whose changes name the same things does them in order. */
static void does_in_order_what_names_the_same(void **state)
{
	struct store_change c[4] = {make_put(10, "k", "a"), make_put(20, "k", "bc"),
		{.type = STORE_CANCEL, .timer = {.queue = queue, .key = "k", .key_size = 1}},
		make_put(30, "k", "d")};
	struct store_usage usage;

	(void)state;
	assert_int_equal(ask_commit(store, c, 4, NULL, 1), 0);
	assert_int_equal(c[1].flags, PROTO_QUEUE_REPLACED);
	assert_int_equal(c[1].replaced, c[0].id);
	assert_int_equal(c[2].id, c[1].id);
	assert_int_equal(c[3].flags, 0);
	load();
	assert_int_equal(rows.n, 1);
	assert_string_equal(rows.payloads[0], "d");
	store->ops->usage(store, 7, &usage);
	assert_int_equal(usage.timers, 1);
	assert_int_equal(usage.bytes, 2);
}

/* What is said of a wake under another term, or of a queue that another host owns, changes nothing.
 */
static void is_fenced(void **state)
{
	uint64_t id = put(10, "", "p");
	struct store_change c = wake(STORE_REMOVE, id, 1);

	(void)state;
	c.term = term + 1;
	change(&c, PROTO_E_NO_SUCH_TIMER);
	postgres_run("UPDATE timerd.queues SET owner = 'another'");
	for (enum store_change_type type = STORE_REMOVE; type <= STORE_PARK; type++) {
		c = wake(type, id, 1);
		c.timer.due = c.timer.ready = 20;
		change(&c, PROTO_E_NO_SUCH_TIMER);
	}
	load();
	assert_int_equal(rows.n, 1);
	assert_int_equal(rows.rows[0].ready, 10);
	assert_int_equal(rows.rows[0].number, 1);
}

/* The counts are those of the rows, whatever was done. */
static void counts_what_is_there(void **state)
{
	struct store_change c = wake(STORE_PARK, put(10, "k", "payload"), 1);

	(void)state;
	c.timer.due = PROTO_FOREVER;
	change(&c, PROTO_OK);
	for (unsigned int i = 0; i < 20; i++)
		put(10 + i, i % 3 ? "" : "key", "x");
	c = wake(STORE_CANCEL, put(99, "", "gone"), 0);
	change(&c, PROTO_OK);
	assert_int_equal(postgres_run("SELECT sum(timers) - (SELECT count(*) FROM timerd.timers)"
				      " FROM timerd.counts"),
		0);
	assert_int_equal(postgres_run("SELECT sum(parked) - (SELECT count(*) FROM timerd.parked)"
				      " FROM timerd.users"),
		0);
	assert_int_equal(postgres_run("SELECT sum(bytes) - (SELECT sum(octet_length(payload) +"
				      " coalesce(octet_length(key), 0)) FROM (SELECT key, payload"
				      " FROM timerd.timers UNION ALL SELECT key, payload FROM"
				      " timerd.parked) a) FROM timerd.users"),
		0);
}
#endif

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(loads_in_order_over_both_parts),
		TEST(loads_until_an_instant),
#ifndef TEST_POSTGRES
		TEST(finds_what_wakes_the_machine),
#endif
		TEST(replaces_and_keeps_a_key),
		TEST(finds_keys_over_merges_and_starts),
		TEST(refuses_over_limits),
		TEST(acknowledges_and_advances),
		TEST(keeps_what_moves_during_a_merge),
		TEST(parks_and_revives),
		TEST(reschedules_by_key),
		TEST(lists_in_pages_and_purges),
		TEST(remembers_puts_for_a_day),
		TEST(forgets_names),
#ifndef TEST_POSTGRES
		TEST(bounds_the_receipts_of_a_user),
		TEST(keeps_the_clocks),
		TEST(is_full_and_goes_on),
		TEST(fails_and_recovers),
		TEST(stays_failed_while_the_disk_is),
#else
		TEST(does_in_order_what_names_the_same),
		TEST(is_fenced),
		TEST(counts_what_is_there),
#endif
	};

#ifdef TEST_POSTGRES
	void *object = dlopen(getenv("TIMERQD_POSTGRESQL"), RTLD_NOW);
	int failed;

	if (!postgres_start())
		return 77;
	module = object ? dlsym(object, STORE_MODULE_SYMBOL) : NULL;
	if (!module) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	failed = cmocka_run_group_tests_name("store on PostgreSQL", tests, NULL, NULL);
	postgres_stop();
	return failed;
#else
	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
#endif
}
