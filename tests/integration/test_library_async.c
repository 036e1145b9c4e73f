/* SPDX-License-Identifier: MIT */
/*
 * Cancelling and re-arming without waiting for the daemon, against the real one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "handles.h"
#include "recorder.h"

#define MANY 200 /* more than share a packet */

static void test_many_asynchronous_cancellations(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 3600 * S);
	toytimer *t = open_handle();
	uint64_t timers[MANY];

	(void)state;
	for (int i = 0; i < MANY; i++)
		assert_int_equal(toytimer_register(t, &r, &timers[i]), 0);
	assert_int_equal(daemon_timers(t), MANY);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(toytimer_cancel_async(t, timers[i]), 0);
		assert_int_equal(toytimer_count(t), MANY - 1 - i);
		assert_int_equal(toytimer_cancel_async(t, timers[i]), -ENOENT);
		assert_int_equal(toytimer_cancel(t, timers[i]), -ENOENT);
	}
	assert_int_equal(daemon_timers(t), 0);
	recorder_linger(t, 5 * MS);
	assert_int_equal(recorder.n, 0);
	toytimer_unref(t);
}

/* Cancels a timer before its registration is sent, while the answer to it is on its way, and while
 * its only wake waits in the library. */
static void test_asynchronous_cancel_in_each_state(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 3600 * S);
	toytimer *t = open_handle();
	uint64_t timer;

	(void)state;
	assert_int_equal(toytimer_register_async(t, &r, &timer), 0);
	assert_int_equal(toytimer_cancel_async(t, timer), 0);
	assert_int_equal(daemon_timers(t), 0);

	assert_int_equal(toytimer_register_async(t, &r, &timer), 0);
	assert_int_equal(toytimer_flush(t), 0);
	assert_int_equal(toytimer_cancel_async(t, timer), 0);
	(void)daemon_timers(t); /* receives the answer to the registration, and queues the cancel */
	assert_int_equal(daemon_timers(t), 0);

	r.due = 0;
	assert_int_equal(toytimer_register(t, &r, &timer), 0);
	for (int i = 0; i < 50; i++)
		(void)daemon_timers(t); /* the wake arrives with one of these answers */
	assert_int_equal(toytimer_cancel_async(t, timer), 0);
	recorder_linger(t, 10 * MS);
	assert_int_equal(recorder.n, 0);
	assert_int_equal(toytimer_count(t), 0);
	toytimer_unref(t);
}

static void test_asynchronous_cancel_survives_a_restart(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 3600 * S);
	toytimer *t = open_handle();
	uint64_t kept, gone;

	(void)state;
	assert_int_equal(toytimer_register(t, &r, &gone), 0);
	assert_int_equal(toytimer_register(t, &r, &kept), 0);
	daemon_kill(&d);
	assert_int_equal(toytimer_cancel_async(t, gone), 0);
	daemon_start(&d, NULL);
	assert_int_equal(daemon_timers(t), 1);
	assert_int_equal(toytimer_cancel(t, kept), 0);
	toytimer_unref(t);
}

/* From an hour to now, in each state of a timer. */
static void test_asynchronous_rearm_in_each_state(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 3600 * S);
	toytimer_registration soon = recorder_after(&recorder, MS);
	toytimer *t = open_handle();
	uint64_t timer;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(toytimer_register_async(t, &r, &timer), 0);
		if (i >= 1)
			assert_int_equal(toytimer_flush(t), 0);
		if (i >= 2)
			assert_int_equal(daemon_timers(t), 1);
		assert_int_equal(toytimer_rearm_async(t, timer, &soon), 0);
		recorder_await(&recorder, t, i + 1);
		assert_int_equal(recorder.events[i].type, TOYTIMER_WOKEN);
		assert_true(recorder.events[i].last);
		assert_int_equal(recorder.events[i].timer, timer);
		assert_int_equal(toytimer_rearm_async(t, timer, &soon), -ENOENT);
	}
	assert_int_equal(toytimer_count(t), 0);
	recorder_clear(&recorder);
	toytimer_unref(t);
}

/* A second re-arming follows the first one. After a blocking call both have taken place. */
static void test_several_asynchronous_rearms_follow_each_other(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 3600 * S);
	toytimer *t = open_handle();
	uint64_t timers[MANY], due, base;

	(void)state;
	for (int i = 0; i < MANY; i++)
		assert_int_equal(toytimer_register_async(t, &r, &timers[i]), 0);
	base = toytimer_now(TOYTIMER_MONOTONIC) + 1000 * S;
	r.flags = 0;
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < MANY; i++) {
			r.due = base + (uint64_t)(round * MANY + i);
			assert_int_equal(toytimer_rearm_async(t, timers[i], &r), 0);
		}
	assert_int_equal(daemon_timers(t), MANY);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(toytimer_get_timer(t, timers[i], NULL, &due), 0);
		assert_int_equal(due, base + MANY + (uint64_t)i);
	}
	assert_int_equal(recorder.n, 0);
	toytimer_unref(t);
}

static void test_asynchronous_rearm_survives_a_restart(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 3600 * S);
	toytimer *t = open_handle();
	uint64_t timer;

	(void)state;
	assert_int_equal(toytimer_register(t, &r, &timer), 0);
	daemon_kill(&d);
	r.due = MS;
	assert_int_equal(toytimer_rearm_async(t, timer, &r), 0);
	daemon_start(&d, NULL);
	recorder_await(&recorder, t, 1);
	assert_int_equal(recorder.events[0].type, TOYTIMER_WOKEN);
	recorder_clear(&recorder);
	toytimer_unref(t);
}

struct again {
	struct recorder recorder;
	unsigned int left;
	toytimer_registration r;
};

static int arm_again(toytimer *t, const toytimer_event *event, void *userdata)
{
	struct again *again = userdata;

	recorder_note(t, event, &again->recorder);
	if (again->left == 0)
		return 0;
	again->left--;
	assert_int_equal(toytimer_rearm_async(t, event->timer, &again->r), 0);
	assert_int_equal(toytimer_count(t), 1);
	/* The last re-arming counts. */
	again->r.due = MS;
	assert_int_equal(toytimer_rearm_async(t, event->timer, &again->r), 0);
	again->r.due = 3600 * S;
	return 0;
}

/* A one-shot arms itself from its last handler, without a call that waits. */
static void test_rearm_from_the_last_handler(void **state)
{
	struct again again = {.left = 5};
	toytimer *t = open_handle();

	(void)state;
	again.r = (toytimer_registration){
		.due = MS, .flags = TOYTIMER_RELATIVE, .handler = arm_again, .userdata = &again};
	assert_int_equal(toytimer_register(t, &again.r, NULL), 0);
	again.r.due = 3600 * S;
	assert_int_equal(toytimer_run(t), 0);
	assert_int_equal(again.recorder.n, 6);
	recorder_clear(&again.recorder);
	toytimer_unref(t);
}

static void test_asynchronous_calls_check_their_arguments(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 3600 * S);
	toytimer *t = open_handle();
	uint64_t timer;

	(void)state;
	assert_int_equal(toytimer_cancel_async(NULL, 1), -EINVAL);
	assert_int_equal(toytimer_rearm_async(NULL, 1, &r), -EINVAL);
	assert_int_equal(toytimer_cancel_async(t, 0), -ENOENT);
	assert_int_equal(toytimer_cancel_async(t, UINT64_MAX), -ENOENT);
	assert_int_equal(toytimer_rearm_async(t, UINT64_MAX, &r), -ENOENT);
	assert_int_equal(toytimer_register(t, &r, &timer), 0);
	assert_int_equal(toytimer_rearm_async(t, timer, NULL), -EINVAL);
	r.count = 2;
	assert_int_equal(toytimer_rearm_async(t, timer, &r), -EINVAL);
	r.count = 0;
	r.due = UINT64_MAX - 1;
	assert_int_equal(toytimer_rearm_async(t, timer, &r), -ERANGE);
	toytimer_unref(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_asynchronous_cancellations),
		cmocka_unit_test(test_asynchronous_cancel_in_each_state),
		cmocka_unit_test(test_asynchronous_cancel_survives_a_restart),
		cmocka_unit_test(test_asynchronous_rearm_in_each_state),
		cmocka_unit_test(test_several_asynchronous_rearms_follow_each_other),
		cmocka_unit_test(test_asynchronous_rearm_survives_a_restart),
		cmocka_unit_test(test_rearm_from_the_last_handler),
		cmocka_unit_test(test_asynchronous_calls_check_their_arguments),
	};

	return cmocka_run_group_tests(tests, start_daemon, stop_daemon);
}
