/* SPDX-License-Identifier: MIT */
/*
 * Each call that the client library makes fails, at each of its uses, while a program uses all of
 * toytimer-queue.h and loses its connection. A function may then fail, but works when it is called
 * again. Each put is stored at most once, and exactly once if it was acknowledged. Each wake is
 * handed out and acknowledged. The released handle leaves no memory and no descriptor. No call of
 * timerqd fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fault.h"
#include "queue_state.h"
#include "queues.h"
#include "sweep_library.h"

#define MS	 UINT64_C(1000)
#define PATIENCE (20000 * MS)
#define TIMEOUT	 (1000 * MS)
#define FAR	 (3600000 * MS)

/* How many uses of one call fail. */
#define USES_MAX 12

#define MANY	 6
#define WAKES	 4
#define PUTS_MAX 256

/* A put. Its label is its number; each attempt has another number. */
struct put {
	bool acknowledged, acked;
	unsigned int listed;
};

static struct test_queues d;
static struct sweep sweep;
static struct put table[PUTS_MAX];
static size_t put_count;
static unsigned int answers; /* how many answers to asynchronous puts have come */
static toytimer_queue *q;
static char state[] = "/dev/shm/timerd-test-XXXXXX";

/* Whether to try again. */
static bool excused(int r, int tries)
{
	if (!atomic_load(&fault_own()->failed))
		fail_msg("a call failed: %s", toytimer_queue_strerror(r));
	if (tries > 3) {
		fault_disarm(fault_own()); /* from now on it has to succeed */
		assert_true(tries < 10);
	}
	return true;
}

/* Another attempt of a put. Return: its number. */
static size_t new_put(toytimer_queue_timer *timer, uint64_t due, char label[static 16])
{
	assert_true(put_count < PUTS_MAX);
	snprintf(label, 16, "%zu", put_count);
	*timer = (toytimer_queue_timer){.due = due,
		.flags = TOYTIMER_RELATIVE,
		.label = label,
		.payload = "p",
		.payload_size = 1};
	return put_count++;
}

static void put_one(const char *queue, uint64_t due)
{
	toytimer_queue_timer timer;
	char label[16];
	size_t n;

	for (int r = -1, tries = 0; r < 0;) {
		n = new_put(&timer, due, label);
		r = toytimer_queue_put(q, queue, &timer, NULL);
		if (r < 0)
			excused(r, ++tries);
	}
	table[n].acknowledged = true;
}

static void put_key(const char *key)
{
	const toytimer_queue_timer timer = {.due = FAR, .flags = TOYTIMER_RELATIVE, .key = key};
	toytimer_queue_stored stored;

	TRY(toytimer_queue_put(q, "keyed", &timer, &stored));
}

static void put_many(void)
{
	toytimer_queue_timer timers[MANY];
	toytimer_queue_stored stored[MANY];
	char labels[MANY][16];
	size_t first = put_count;
	int r;

	for (size_t i = 0; i < MANY; i++)
		new_put(&timers[i], FAR, labels[i]);
	r = toytimer_queue_put_many(q, "once", timers, MANY, stored);
	if (r < MANY)
		excused(r, 1);
	for (size_t i = 0; i < MANY && r >= 0; i++)
		table[first + i].acknowledged = stored[i].error == 0;
}

static int note_answer(toytimer_queue *queue, const toytimer_queue_stored *stored, void *userdata)
{
	struct put *put = userdata;

	(void)queue;
	put->acknowledged = stored->error == 0;
	answers++;
	return 0;
}

static void put_async(void)
{
	toytimer_queue_timer timer;
	char label[16];

	for (int r = -1, tries = 0; r < 0;) {
		size_t n = new_put(&timer, FAR, label);

		r = toytimer_queue_put_async(q, "once", &timer, note_answer, &table[n]);
		if (r < 0)
			excused(r, ++tries);
	}
}

/* Every third wake is retried and comes again. The others are acknowledged, with and without
 * waiting for the answer. If an acknowledgement fails, the wake is not handed out again; the test
 * acknowledges it later. */
static int note_wake(toytimer_queue *queue, const toytimer_wake *wake, void *userdata)
{
	size_t n = strtoul(wake->label, NULL, 10);
	int r, tries = 0;

	(void)userdata;
	assert_true(n < put_count);
	if (n % 3 == 0 && wake->attempt == 1) {
		r = toytimer_queue_retry(queue, &wake->ref, 0);
		if (r < 0)
			excused(r, 1);
		if (r != -ENOMEM)
			return 0;
	}
	do
		r = n % 2 ? toytimer_queue_ack(queue, &wake->ref)
			  : toytimer_queue_ack_async(queue, &wake->ref);
	while (r < 0 && r != -ECONNRESET && r != -ENOENT && excused(r, ++tries));
	table[n].acked = true;
	return 0;
}

static int count_listed(const toytimer_queue_listed *listed, void *userdata)
{
	++*(unsigned int *)userdata;
	if (listed->label[0])
		table[strtoul(listed->label, NULL, 10)].listed++;
	return 0;
}

static int ignore_queue(const toytimer_queue_info *info, void *userdata)
{
	(void)info, (void)userdata;
	return 0;
}

/* As after a restart of timerqd. */
static void lose_connection(void)
{
	if (q->base.session.connection.fd >= 0)
		shutdown(q->base.session.connection.fd, SHUT_RDWR);
}

static void process_until(const toytimer_queue *checker, unsigned int n)
{
	uint64_t until = toytimer_now(TOYTIMER_MONOTONIC) + PATIENCE;

	for (;;) {
		unsigned int waiting = 0;

		if (checker)
			assert_int_equal(toytimer_queue_list((toytimer_queue *)(uintptr_t)checker,
						 "work", 0, count_listed, &waiting),
				0);
		if (waiting == 0 && answers >= n)
			return;
		TRY(toytimer_queue_process(q));
		if (toytimer_queue_wait(q, 2 * MS) < 0)
			excused(-EIO, 1);
		assert_true(toytimer_now(TOYTIMER_MONOTONIC) < until);
	}
}

static void store_all(void)
{
	toytimer_queue_timer soon = {.due = 2 * FAR, .flags = TOYTIMER_RELATIVE};

	put_key("one");
	put_many();
	for (int i = 0; i < 3; i++)
		put_async();
	TRY(toytimer_queue_flush(q));
	lose_connection();
	put_one("once", FAR);
	TRY(toytimer_queue_reschedule(q, "keyed", 0, "one", &soon, NULL));
	TRY_OR(toytimer_queue_cancel(q, "keyed", 0, "one"), -ENOENT);
	process_until(NULL, 3);
}

static void read_all(void)
{
	toytimer_queue_status status;
	unsigned int n = 0;

	TRY(toytimer_queue_list(q, "keyed", 0, count_listed, &n));
	TRY(toytimer_queue_queues(q, 0, ignore_queue, NULL));
	TRY(toytimer_queue_get_status(q, &status));
	TRY(toytimer_queue_purge(q, "keyed", 0, NULL));
}

static void consume_all(const toytimer_queue *checker)
{
	const toytimer_queue_consumer consumer = {.window = 2, .handler = note_wake};

	for (int i = 0; i < WAKES; i++)
		put_one("work", 0);
	TRY_OR(toytimer_queue_consume(q, "work", &consumer), -EALREADY);
	process_until(checker, 0);
	TRY_OR(toytimer_queue_detach(q, "work"), -ENOTCONN);
}

/* Disarms the plan, so that no call of the checker fails. */
static void check_stored(toytimer_queue *checker)
{
	unsigned int n = 0;

	for (size_t i = 0; i < put_count; i++)
		table[i].listed = 0;
	assert_int_equal(toytimer_queue_list(checker, "once", 0, count_listed, &n), 0);
	for (size_t i = 0; i < put_count; i++) {
		assert_true(table[i].listed <= 1);
		assert_true(table[i].listed == 1 || table[i].acked || !table[i].acknowledged);
	}
	assert_int_equal(toytimer_queue_purge(checker, "once", 0, NULL), 0);
}

static void do_all(void)
{
	toytimer_queue *checker = NULL;

	memset(table, 0, sizeof(table));
	put_count = 0;
	answers = 0;
	TRY(toytimer_queue_open(&q, d.socket, 0));
	toytimer_queue_set_timeout(q, TIMEOUT);
	store_all();
	read_all();
	TRY(toytimer_queue_open(&checker, d.socket, 0));
	consume_all(checker);
	q = toytimer_queue_unref(q);
	fault_disarm(fault_own());
	check_stored(checker);
	toytimer_queue_unref(checker);
}

static void test_the_queue_calls_survive_each_fault(void **unused)
{
	(void)unused;
	/* If there is a file system in memory, use it: syncs cost nothing there. */
	if (mkdtemp(state))
		queues_start(&d, "--state", state, NULL);
	else
		queues_start(&d, NULL);
	sweep_library(&sweep, "queues", do_all, USES_MAX);
	assert_int_equal(queues_stop(&d), 0);
}

/* The next use of one call fails for lack of memory. */
static void lack_memory(enum fault_call call)
{
	fault_arm(fault_own(), FAULT_BIT(call), 1, false, ENOMEM);
}

static void begin_case(void)
{
	queues_start(&d, NULL);
	memset(table, 0, sizeof(table));
	put_count = 0;
	answers = 0;
	assert_int_equal(toytimer_queue_open(&q, d.socket, 0), 0);
}

/* If an asynchronous put begins a new packet and has no memory, no packet without records may
 * remain. */
static void test_a_put_without_memory_leaves_no_packet(void **unused)
{
	toytimer_queue_timer timer;
	toytimer_queue_status status;
	char label[16];

	(void)unused;
	begin_case();
	put_one("once", FAR);
	new_put(&timer, FAR, label);
	lack_memory(FAULT_reallocarray);
	assert_int_equal(
		toytimer_queue_put_async(q, "once", &timer, note_answer, &table[1]), -ENOMEM);
	assert_int_equal(fault_disarm(fault_own()), 1);
	assert_int_equal(toytimer_queue_get_status(q, &status), 0);
	assert_int_equal(toytimer_queue_get_reconnects(q), 0);
	assert_int_equal(status.timers, 1);
	assert_int_equal(answers, 0);
	q = toytimer_queue_unref(q);
}

static int hold_wake(toytimer_queue *queue, const toytimer_wake *wake, void *userdata)
{
	(void)queue;
	*(toytimer_wake_ref *)userdata = wake->ref;
	return 0;
}

static void consume_one(toytimer_wake_ref *ret)
{
	const toytimer_queue_consumer consumer = {.handler = hold_wake, .userdata = ret};

	put_one("work", 0);
	assert_int_equal(toytimer_queue_consume(q, "work", &consumer), 0);
	while (!ret->id) {
		assert_true(toytimer_queue_process(q) >= 0);
		toytimer_queue_wait(q, 10 * MS);
	}
}

static void test_an_acknowledgement_without_memory_leaves_no_packet(void **unused)
{
	toytimer_wake_ref ref = {0};
	toytimer_queue_status status;

	(void)unused;
	begin_case();
	consume_one(&ref);
	lack_memory(FAULT_reallocarray);
	assert_int_equal(toytimer_queue_ack_async(q, &ref), -ENOMEM);
	assert_int_equal(fault_disarm(fault_own()), 1);
	assert_int_equal(toytimer_queue_get_status(q, &status), 0);
	assert_int_equal(toytimer_queue_get_reconnects(q), 0);
	assert_int_equal(status.unacked, 1);
	assert_int_equal(toytimer_queue_ack(q, &ref), 0);
	q = toytimer_queue_unref(q);
}

/* Otherwise the wakes would stay with a consumer that has no handler any more. */
static void test_a_detaching_without_memory_can_be_tried_again(void **unused)
{
	toytimer_wake_ref ref = {0};
	toytimer_queue_status status;

	(void)unused;
	begin_case();
	consume_one(&ref);
	lack_memory(FAULT_calloc);
	assert_int_equal(toytimer_queue_detach(q, "work"), -ENOMEM);
	assert_int_equal(fault_disarm(fault_own()), 1);
	assert_int_equal(toytimer_queue_detach(q, "work"), 0);
	assert_int_equal(toytimer_queue_get_status(q, &status), 0);
	assert_int_equal(status.unacked, 0);
	assert_int_equal(toytimer_queue_detach(q, "work"), -ENOTCONN);
	q = toytimer_queue_unref(q);
}

/* The connection breaks after the acknowledgement. The wake comes again, and the library
 * acknowledges it again, although its first attempt has no memory. */
static void test_a_repeated_wake_is_acknowledged_without_memory(void **unused)
{
	toytimer_wake_ref ref = {0};
	toytimer_queue_status status;
	uint64_t until = toytimer_now(TOYTIMER_MONOTONIC) + PATIENCE;
	bool failed = false;

	(void)unused;
	begin_case();
	consume_one(&ref);
	lose_connection();
	while (toytimer_queue_get_error(q) == 0 && toytimer_queue_get_reconnects(q) == 0)
		assert_true(toytimer_queue_process(q) >= 0);
	assert_int_equal(toytimer_queue_ack_async(q, &ref), 0);
	do {
		/* The library has the wake. Its acknowledgement makes the next allocation. */
		if (!failed && q->wakes)
			lack_memory(FAULT_malloc);
		if (toytimer_queue_process(q) < 0)
			failed = true;
		fault_disarm(fault_own());
		toytimer_queue_wait(q, MS);
		assert_int_equal(toytimer_queue_get_status(q, &status), 0);
		assert_true(toytimer_now(TOYTIMER_MONOTONIC) < until);
	} while (status.timers);
	assert_true(failed);
	q = toytimer_queue_unref(q);
}

static int after_each(void **unused)
{
	char command[64];

	(void)unused;
	fault_disarm(fault_own());
	sweep_tell(&sweep);
	queues_clean(&d);
	snprintf(command, sizeof(command), "rm -rf %s", state);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_the_queue_calls_survive_each_fault, after_each),
		cmocka_unit_test_teardown(test_a_put_without_memory_leaves_no_packet, after_each),
		cmocka_unit_test_teardown(
			test_an_acknowledgement_without_memory_leaves_no_packet, after_each),
		cmocka_unit_test_teardown(
			test_a_detaching_without_memory_can_be_tried_again, after_each),
		cmocka_unit_test_teardown(
			test_a_repeated_wake_is_acknowledged_without_memory, after_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
