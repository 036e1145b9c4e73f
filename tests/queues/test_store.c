/* SPDX-License-Identifier: MIT */
/* Tests a store through its interface: each kind of change, and each read. The tests are the same
 * for each store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "store_stage.h"

static void loads_in_order_over_both_parts(void **state)
{
	uint64_t last_ready = 0, last_id = 0;

	(void)state;
	for (unsigned int i = 0; i < 200; i++)
		put(1 + i * 7919 % 101, "", "x");
	for (int lives = 0; lives < 3; lives++, stage_again()) {
		last_ready = last_id = 0;
		load();
		assert_int_equal(rows.n, 200);
		for (size_t i = 0; i < rows.n; i++) {
			assert_true(rows.rows[i].ready > last_ready ||
				(rows.rows[i].ready == last_ready && rows.rows[i].id > last_id));
			last_ready = rows.rows[i].ready;
			last_id = rows.rows[i].id;
		}
		assert_true(rows.beyond.ready == PROTO_FOREVER);
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
	assert_int_equal(rows.beyond.ready, 30);
}

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
	stage_again();
	load();
	assert_int_equal(rows.n, 1);
	assert_string_equal(rows.payloads[0], "two");
	assert_string_equal(rows.keys[0], "k");
}

static void finds_keys_over_merges_and_starts(void **state)
{
	char key[16];

	(void)state;
	for (int round = 0; round < 2; round++, stage_again())
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
	/* Timers of another user are not counted. */
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
	stage_again();
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
	stage_again();
	load();
	assert_int_equal(rows.n, 0);
}

/* Acknowledges all loaded rows in one transaction, in their order. expected: their statuses. */
static void acknowledge_loaded(const uint32_t *expected)
{
	struct store_change c[ASK_ROWS];

	for (size_t i = 0; i < rows.n; i++) {
		c[i] = wake(STORE_REMOVE, rows.rows[i].id, 1);
		rows.rows[i].key = rows.keys[i];
		c[i].known = &rows.rows[i];
	}
	assert_int_equal(ask_commit(store, c, rows.n, NULL, 0), 0);
	for (size_t i = 0; i < rows.n; i++) {
		assert_int_equal(c[i].status, expected[i]);
		/* A store of a fleet does not tell more of what it removed. */
		if (expected[i] || store->ops->fleet)
			continue;
		assert_int_equal(c[i].id, rows.rows[i].id);
		assert_int_equal(c[i].due, rows.rows[i].due);
	}
}

/* Rows are removed together. One of them, which another transaction has changed meanwhile, is not
 * taken for what it was. */
static void acknowledges_a_run(void **state)
{
	static const uint32_t all[8] = {0}, but_one[8] = {[3] = PROTO_E_NO_SUCH_TIMER};
	struct store_usage usage;
	struct store_change c;

	(void)state;
	for (unsigned int i = 0; i < 8; i++)
		put(10 + i, i % 2 ? "" : (const char[]){(char)('a' + i), '\0'}, "p");
	load();
	assert_int_equal(rows.n, 8);
	c = wake(STORE_DELAY, rows.rows[5].id, 1);
	c.timer.ready = 99;
	change(&c, PROTO_OK);
	c = wake(STORE_ADVANCE, rows.rows[3].id, 1);
	c.timer.due = 70;
	change(&c, PROTO_OK);
	acknowledge_loaded(but_one);
	store->ops->usage(store, 7, &usage);
	assert_int_equal(usage.timers, 1);
	assert_int_equal(usage.bytes, 1);
	stage_again();
	load();
	assert_int_equal(rows.n, 1);
	assert_int_equal(rows.rows[0].ready, 70);
	c = wake(STORE_REMOVE, rows.rows[0].id, 2);
	change(&c, PROTO_OK);
	for (unsigned int i = 0; i < 8; i++)
		put(10 + i, "", "p");
	load();
	acknowledge_loaded(all);
	stage_again();
	load();
	assert_int_equal(rows.n, 0);
	store->ops->usage(store, 7, &usage);
	assert_int_equal(usage.timers, 0);
	assert_int_equal(usage.bytes, 0);
}

/* The next start still finds a timer that moves to a position which a running merge has passed. */
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
			stage_again();
	}
	stage_again();
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
	stage_again();
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
	stage_again();
	load();
	assert_int_equal(rows.n, 0);
}

static void expect_queue(uint64_t now, uint64_t due, uint64_t first, uint64_t next)
{
	struct store_queue q;

	ask_queue(store, 7, now, &q);
	assert_string_equal(q.name, "mail");
	assert_int_equal(q.timers, 3);
	assert_int_equal(q.due, due);
	assert_int_equal(q.first[PROTO_CLOCK_REALTIME], first);
	assert_true(q.next[PROTO_CLOCK_REALTIME] == next);
	assert_true(q.first[PROTO_CLOCK_BOOTTIME] == PROTO_FOREVER);
	assert_true(q.next[PROTO_CLOCK_BOOTTIME] == PROTO_FOREVER);
}

/* Those that are due do not hide the next one. */
static void tells_the_next_due_of_a_queue(void **state)
{
	(void)state;
	put(30, "", "");
	put(10, "", "");
	put(20, "", "");
	expect_queue(9, 0, 10, 10);
	expect_queue(10, 1, 10, 20);
	expect_queue(29, 2, 10, 30);
	expect_queue(30, 3, 10, PROTO_FOREVER);
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
	stage_again();
	ask_puts(store, p.token, &found);
	assert_int_equal(found.n, STORE_PUTS);
	assert_int_equal(found.last, STORE_PUTS + 10);
	assert_int_equal(found.serials[0], 11);
	assert_int_equal(found.first_ids[STORE_PUTS - 1], STORE_PUTS + 10);
	assert_int_equal(ask_commit(store, NULL, 0, NULL, day * 10 - 1), 0);
	ask_puts(store, p.token, &found);
	assert_int_equal(found.n, STORE_PUTS);
	stage_again();
	assert_int_equal(ask_commit(store, NULL, 0, NULL, day * 10 + 1), 0);
	ask_puts(store, p.token, &found);
	assert_int_equal(found.n, 0);
	assert_int_equal(found.last, 0);
}

/* A queue name without timers and references takes no memory, and its number is used again. A queue
 * with timers keeps its number. */
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
	/* Queues in use keep different numbers. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGED(loads_in_order_over_both_parts),
		STAGED(loads_until_an_instant),
		STAGED(replaces_and_keeps_a_key),
		STAGED(finds_keys_over_merges_and_starts),
		STAGED(refuses_over_limits),
		STAGED(acknowledges_and_advances),
		STAGED(acknowledges_a_run),
		STAGED(keeps_what_moves_during_a_merge),
		STAGED(parks_and_revives),
		STAGED(reschedules_by_key),
		STAGED(lists_in_pages_and_purges),
		STAGED(tells_the_next_due_of_a_queue),
		STAGED(remembers_puts_for_a_day),
		STAGED(forgets_names),
	};

	return stage_run(tests, sizeof(tests) / sizeof(tests[0]));
}
