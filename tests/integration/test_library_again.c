/* SPDX-License-Identifier: MIT */
/*
 * A timer that its own last handler arms again, toytimer_stop(), a handler that drops the last
 * reference, and events that are taken without their handlers, against the real daemon.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "handles.h"
#include "recorder.h"

/* What a handler does with its own timer. */
struct again {
	unsigned int left; /* how often to arm it again */
	unsigned int called;
	uint64_t timer, id, ids;
	toytimer_registration r;
	int cancel_result, count_result;
};

static int arm_again(toytimer *t, const toytimer_event *event, void *userdata)
{
	struct again *again = userdata;

	assert_int_equal(event->timer, again->timer);
	assert_int_equal(event->type, TOYTIMER_WOKEN);
	assert_true(event->last);
	again->called++;
	again->ids += event->id != again->id;
	again->id = event->id;
	/* for all other calls the timer has ended */
	again->cancel_result = toytimer_cancel(t, event->timer);
	again->count_result = (int)toytimer_count(t);
	if (again->left == 0)
		return 0;
	again->left--;
	assert_int_equal(toytimer_rearm(t, event->timer, &again->r), 0);
	assert_int_equal(toytimer_count(t), 1);
	return 0;
}

static void test_a_one_shot_arms_itself_again(void **state)
{
	struct again again = {.left = 5};
	toytimer *t = open_handle();

	(void)state;
	again.r = (toytimer_registration){.due = MS,
		.flags = TOYTIMER_RELATIVE,
		.handler = arm_again,
		.userdata = &again,
		.label = "again"};
	assert_int_equal(toytimer_register(t, &again.r, &again.timer), 0);
	assert_int_equal(toytimer_run(t), 0);
	assert_int_equal(again.called, 6);
	assert_int_equal(again.ids, 6);
	assert_int_equal(again.cancel_result, -ENOENT);
	assert_int_equal(again.count_result, 0);
	assert_int_equal(toytimer_count(t), 0);
	assert_int_equal(toytimer_rearm(t, again.timer, &again.r), -ENOENT);
	toytimer_unref(t);
}

static int take_label(const toytimer_listed *listed, void *userdata)
{
	(void)userdata;
	return listed->label[0] == 'k' && listed->every == 2 * MS ? 1 : 2;
}

static int arm_another_way(toytimer *t, const toytimer_event *event, void *userdata)
{
	struct again *again = userdata;
	toytimer_registration r = {
		.due = MS, .every = 2 * MS, .count = 3, .flags = TOYTIMER_RELATIVE};

	again->called++;
	if (!event->last || again->left == 0)
		return 0;
	again->left--;
	assert_int_equal(toytimer_rearm(t, event->timer, &r), 0);
	assert_int_equal(toytimer_list(t, 0, take_label, NULL), 1);
	return 0;
}

/* The timer keeps its label and handler, and takes a period and a count. */
static void test_a_one_shot_becomes_a_series(void **state)
{
	struct again again = {.left = 1};
	toytimer_registration r = {.due = MS,
		.flags = TOYTIMER_RELATIVE,
		.handler = arm_another_way,
		.userdata = &again,
		.label = "keep"};
	toytimer *t = open_handle();

	(void)state;
	assert_int_equal(toytimer_register(t, &r, NULL), 0);
	assert_int_equal(toytimer_run(t), 0);
	assert_in_range(again.called, 2, 4); /* wakes may be merged on a slow machine */
	toytimer_unref(t);
}

static int arm_after_cancellation(toytimer *t, const toytimer_event *event, void *userdata)
{
	struct again *again = userdata;

	again->called++;
	if (event->type == TOYTIMER_WOKEN)
		return 0;
	assert_int_equal(event->type, TOYTIMER_CANCELLED);
	assert_int_equal(toytimer_rearm(t, event->timer, &again->r), 0);
	return 0;
}

/* The last event may also be a cancellation. */
static void test_a_cancelled_timer_arms_itself_again(void **state)
{
	struct again again = {.r = {.due = MS, .flags = TOYTIMER_RELATIVE}};
	toytimer_registration r = {.due = 3600 * S,
		.flags = TOYTIMER_RELATIVE,
		.handler = arm_after_cancellation,
		.userdata = &again};
	toytimer *t = open_handle(), *other = open_handle();
	uint64_t timer, id;

	(void)state;
	assert_int_equal(toytimer_register(t, &r, &timer), 0);
	assert_int_equal(toytimer_get_timer(t, timer, &id, NULL), 0);
	assert_int_equal(toytimer_cancel_id(other, id), 0);
	assert_int_equal(toytimer_run(t), 0);
	assert_int_equal(again.called, 2);
	toytimer_unref(other);
	toytimer_unref(t);
}

/* A timer that is armed again is like any other timer: it survives a restart, and can be
 * cancelled. */
static void test_a_timer_armed_again_survives_a_restart(void **state)
{
	struct again again = {.left = 1};
	toytimer *t = open_handle();

	(void)state;
	again.r = (toytimer_registration){
		.due = 0, .flags = TOYTIMER_RELATIVE, .handler = arm_again, .userdata = &again};
	assert_int_equal(toytimer_register(t, &again.r, &again.timer), 0);
	again.r.due = 300 * MS;
	while (again.called == 0)
		assert_true(toytimer_wait(t, S) >= 0 && toytimer_process(t) >= 0);
	daemon_kill(&d);
	daemon_start(&d, NULL);
	assert_int_equal(toytimer_run(t), 0);
	assert_int_equal(again.called, 2);
	again = (struct again){.left = 1, .r = again.r};
	again.r.due = 0;
	assert_int_equal(toytimer_register(t, &again.r, &again.timer), 0);
	again.r.due = 3600 * S;
	while (again.called == 0)
		assert_true(toytimer_wait(t, S) >= 0 && toytimer_process(t) >= 0);
	assert_int_equal(toytimer_cancel(t, again.timer), 0);
	assert_int_equal(toytimer_count(t), 0);
	toytimer_unref(t);
}

enum { RUNNERS = 3 };

static atomic_int running, ended;

static void *run(void *userdata)
{
	int r;

	running++;
	r = toytimer_run(userdata);
	ended++;
	return (void *)(intptr_t)r;
}

/* Ends all runners. A runner that had not begun to run when toytimer_stop() was called needs
 * another stop. Return: how many calls that took. */
static int stop_runners(toytimer *t)
{
	int stops = 0;

	for (int waited_ms = 0; ended < RUNNERS; waited_ms++) {
		if (waited_ms % 1000 == 0) {
			assert_int_equal(toytimer_stop(t), 0);
			stops++;
		}
		usleep(1000);
	}
	return stops;
}

static void test_stop_from_another_thread_ends_run(void **state)
{
	toytimer_registration r = {.due = 3600 * S, .flags = TOYTIMER_RELATIVE};
	toytimer *t = open_handle();
	pthread_t threads[RUNNERS];
	void *result;
	int at_once = 0;

	(void)state;
	assert_int_equal(toytimer_register(t, &r, NULL), 0);
	for (int turn = 0; turn < 20; turn++) {
		running = ended = 0;
		for (int i = 0; i < RUNNERS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, run, t), 0);
		while (running < RUNNERS)
			usleep(1000);
		usleep(20000); /* on an idle machine all of them run by now */
		at_once += stop_runners(t) == 1;
		for (int i = 0; i < RUNNERS; i++) {
			assert_int_equal(pthread_join(threads[i], &result), 0);
			assert_null(result);
		}
	}
	/* One call ends all runners. */
	assert_true(at_once > 0);
	assert_int_equal(toytimer_count(t), 1);
	toytimer_unref(t);
}

static void test_stop_before_run_ends_it_at_once(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 0);
	toytimer *t = open_handle();

	(void)state;
	assert_int_equal(toytimer_stop(NULL), -EINVAL);
	assert_int_equal(toytimer_register(t, &r, NULL), 0);
	assert_int_equal(toytimer_stop(t), 0);
	assert_int_equal(toytimer_stop(t), 0);
	assert_int_equal(toytimer_run(t), 0);
	assert_int_equal(recorder.n, 0);
	assert_int_equal(toytimer_run(t), 0);
	assert_int_equal(recorder.n, 1);
	recorder_clear(&recorder);
	toytimer_unref(t);
}

static int stop(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)event;
	++*(unsigned int *)userdata;
	assert_int_equal(toytimer_stop(t), 0);
	return 0;
}

/* The event of that handler is the last one of that run. The other events stay. */
static void test_stop_in_a_handler_ends_run_after_it(void **state)
{
	unsigned int called = 0;
	toytimer_registration r = {
		.flags = TOYTIMER_RELATIVE, .handler = stop, .userdata = &called};
	toytimer *t = open_handle();

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(toytimer_register(t, &r, NULL), 0);
	for (unsigned int i = 1; i <= 3; i++) {
		assert_int_equal(toytimer_run(t), 0);
		assert_int_equal(called, i);
	}
	assert_int_equal(toytimer_count(t), 0);
	toytimer_unref(t);
}

/* Drops the last reference, and goes on using the handle. */
static int drop_handle(toytimer *t, const toytimer_event *event, void *userdata)
{
	int *result = userdata;

	(void)event;
	toytimer_unref(t);
	assert_int_equal(toytimer_process(t), -EBUSY);
	add_timer(t, 0, ignore_event, NULL);
	return *result;
}

/* The caller holds no reference any more, so neither call may touch the handle after the handler. A
 * sanitizer would notice. The daemon drops the timers. */
static void test_a_handler_drops_the_last_reference(void **state)
{
	static int results[] = {0, 7, -EIO};
	toytimer *witness = open_handle();

	(void)state;
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
		int result = results[i] < 0 ? results[i] : 0;
		toytimer *t = open_handle();

		add_timer(t, 3600 * S, ignore_event, NULL);
		add_timer(t, 0, drop_handle, &results[i]);
		assert_int_equal(toytimer_run(t), result);

		t = open_handle();
		add_timer(t, 0, drop_handle, &results[i]);
		while ((result = toytimer_process(t)) == 0)
			assert_int_equal(toytimer_wait(t, TOYTIMER_FOREVER), 1);
		assert_int_equal(result, results[i] < 0 ? results[i] : 1);
	}
	while (daemon_timers(witness))
		usleep(1000);
	toytimer_unref(witness);
}

/* Takes one or more events. */
static size_t await_events(toytimer *t, toytimer_event *events, void **userdatas, size_t n)
{
	uint64_t until = toytimer_now(TOYTIMER_MONOTONIC) + PATIENCE_US;
	int r;

	while ((r = toytimer_take_events(t, events, userdatas, n)) == 0) {
		toytimer_wait(t, 100 * MS);
		assert_true(toytimer_now(TOYTIMER_MONOTONIC) < until);
	}
	assert_in_range(r, 1, n);
	return (size_t)r;
}

static int never_called(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t, (void)event, (void)userdata;
	fail();
	return -EXDEV;
}

/* More events come than there is room for. Each is taken once, in order, with the userdata of its
 * timer. What is left makes the descriptor readable. */
static void test_events_are_taken_without_their_handlers(void **state)
{
	enum { N = 1000, ROOM = 7 };
	toytimer_registration r[N];
	toytimer_event events[ROOM];
	uint64_t timers[N];
	void *userdatas[ROOM];
	size_t taken = 0;
	toytimer *t = open_handle();

	(void)state;
	for (size_t i = 0; i < N; i++)
		r[i] = (toytimer_registration){
			.due = i,
			.flags = TOYTIMER_RELATIVE,
			.handler = never_called,
			.userdata = &r[i],
		};
	r[N / 2].handler = NULL; /* its event is dropped */
	assert_int_equal(toytimer_register_many(t, r, N, timers, NULL), N);
	while (taken < N - 1) {
		size_t n = await_events(t, events, userdatas, ROOM);

		for (size_t i = 0; i < n; i++, taken++) {
			size_t which = taken + (taken >= N / 2);

			assert_int_equal(events[i].type, TOYTIMER_WOKEN);
			assert_int_equal(events[i].timer, timers[which]);
			assert_true(events[i].last);
			assert_ptr_equal(userdatas[i], &r[which]);
			assert_int_equal(toytimer_cancel(t, timers[which]), -ENOENT);
		}
	}
	assert_int_equal(toytimer_take_events(t, events, userdatas, ROOM), 0);
	assert_int_equal(toytimer_count(t), 0);
	toytimer_unref(t);
}

/* A timer with a period stays until its last event. Errors leave the parameters untouched. */
static void test_events_of_a_series_are_taken(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, MS);
	toytimer_event event;
	uint64_t timer;
	toytimer *t = open_handle();

	(void)state;
	r.every = MS;
	assert_int_equal(toytimer_register(t, &r, &timer), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(await_events(t, &event, NULL, 1), 1);
		assert_int_equal(event.timer, timer);
		assert_false(event.last);
	}
	assert_int_equal(toytimer_count(t), 1);
	/* A handle may use both ways in turn. */
	while (toytimer_process(t) == 0)
		toytimer_wait(t, 100 * MS);
	assert_int_equal(recorder.n, 1);
	assert_int_equal(toytimer_cancel(t, timer), 0);
	memset(&event, 7, sizeof(event));
	assert_int_equal(toytimer_take_events(t, &event, NULL, 1), 0);
	assert_int_equal(toytimer_take_events(t, &event, NULL, 0), -EINVAL);
	assert_int_equal(toytimer_take_events(t, NULL, NULL, 1), -EINVAL);
	assert_int_equal(toytimer_take_events(NULL, &event, NULL, 1), -EINVAL);
	assert_int_equal(event.last, 0x07070707);
	recorder_clear(&recorder);
	toytimer_unref(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_one_shot_arms_itself_again),
		cmocka_unit_test(test_a_one_shot_becomes_a_series),
		cmocka_unit_test(test_a_cancelled_timer_arms_itself_again),
		cmocka_unit_test(test_a_timer_armed_again_survives_a_restart),
		cmocka_unit_test(test_stop_from_another_thread_ends_run),
		cmocka_unit_test(test_stop_before_run_ends_it_at_once),
		cmocka_unit_test(test_stop_in_a_handler_ends_run_after_it),
		cmocka_unit_test(test_a_handler_drops_the_last_reference),
		cmocka_unit_test(test_events_are_taken_without_their_handlers),
		cmocka_unit_test(test_events_of_a_series_are_taken),
	};

	return cmocka_run_group_tests(tests, start_daemon, stop_daemon);
}
