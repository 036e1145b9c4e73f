/* SPDX-License-Identifier: MIT */
/*
 * libtoytimer and a daemon that is killed and started again. The handle and its timers stay, and
 * the program need not do anything. The test compares dues and periods with the original ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "handles.h"
#include "recorder.h"

static uint64_t now(void)
{
	return toytimer_now(TOYTIMER_MONOTONIC);
}

static void await_reconnect(toytimer *t, uint64_t times)
{
	uint64_t until = now() + PATIENCE_US;

	while (toytimer_get_reconnects(t) < times) {
		assert_true(now() < until);
		recorder_linger(t, MS);
	}
}

/* One timer is due later, and one falls due while there is no daemon. Each wakes once and not
 * early. */
static void test_one_shots_wake_once_after_a_restart(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 500 * MS);
	uint64_t timers[2], ids[2], restarted;
	toytimer *t;
	int fd;

	(void)state;
	daemon_start(&d, NULL);
	t = open_handle();
	fd = toytimer_get_fd(t);
	timers[0] = register_one(t, &r);
	r.due = 2 * S;
	r.label = "still due";
	timers[1] = register_one(t, &r);
	daemon_kill(&d);
	recorder_linger(t, 600 * MS);
	assert_int_equal(recorder.n, 0);
	assert_int_equal(toytimer_get_timer(t, timers[1], &ids[1], NULL), 0);
	assert_int_equal(ids[1], 0);

	daemon_start(&d, NULL);
	restarted = now();
	recorder_await(&recorder, t, 1);
	assert_int_equal(recorder.events[0].timer, timers[0]);
	assert_true(recorder.events[0].due < restarted);
	assert_int_equal(recorder.events[0].overruns, 0);
	assert_int_equal(toytimer_get_reconnects(t), 1);
	assert_int_equal(toytimer_get_fd(t), fd);
	assert_int_equal(toytimer_count(t), 1);

	assert_int_equal(toytimer_run(t), 0);
	assert_int_equal(recorder.n, 2);
	assert_int_equal(recorder.events[1].timer, timers[1]);
	recorder_clear(&recorder);
	toytimer_unref(t);
}

/* The wake has arrived before the loss and no handler has run. It is not asked for again. */
static void test_a_wake_before_the_loss_is_handed_out(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 0);
	toytimer_status status;
	toytimer *t;

	(void)state;
	daemon_start(&d, NULL);
	t = open_handle();
	for (int i = 0; i < 100; i++)
		register_one(t, &r);
	/* The wake is in the socket, unread. On the other side a request of this client is unread,
	 * too. */
	usleep(50000);
	daemon_kill(&d);
	daemon_start(&d, NULL);
	recorder_await(&recorder, t, 100);
	assert_int_equal(toytimer_count(t), 0);
	assert_int_equal(toytimer_get_status(t, &status), 0);
	assert_int_equal(status.registered, 0);
	recorder_linger(t, 50 * MS);
	assert_int_equal(recorder.n, 100);
	recorder_clear(&recorder);
	toytimer_unref(t);
}

static void test_a_series_keeps_its_phase(void **state)
{
	struct recorder endless = {0}, counted = {0};
	toytimer_registration r = recorder_after(&endless, 0);
	uint64_t base = now() + 50 * MS;
	toytimer *t;

	(void)state;
	daemon_start(&d, NULL);
	t = open_handle();
	r.due = base;
	r.every = 30 * MS;
	r.flags = 0;
	register_one(t, &r);
	r.userdata = &counted;
	r.count = 12;
	register_one(t, &r);
	for (uint64_t i = 1; i <= 3; i++) {
		recorder_linger(t, 110 * MS);
		daemon_kill(&d);
		recorder_linger(t, 70 * MS);
		daemon_start(&d, NULL);
		await_reconnect(t, i);
	}
	recorder_await(&counted, t, 12);

	for (size_t i = 0; i < endless.n; i++) {
		assert_int_equal((endless.events[i].due - base) % r.every, 0);
		if (i > 0)
			assert_int_equal(endless.events[i].due,
				endless.events[i - 1].due +
					(1 + endless.events[i - 1].overruns) * r.every);
	}
	assert_int_equal(endless.events[0].due, base);
	/* The count continued: it counts wakes, however many periods each one has. */
	for (size_t i = 0; i < 12; i++)
		assert_int_equal(counted.events[i].last, i == 11);
	assert_int_equal(toytimer_count(t), 1);
	recorder_clear(&endless);
	recorder_clear(&counted);
	toytimer_unref(t);
}

static void test_calls_without_a_daemon_fail_or_need_none(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 3600 * S);
	toytimer_status status;
	uint64_t timers[3], due;
	toytimer *t;

	(void)state;
	daemon_start(&d, NULL);
	t = open_handle();
	for (int i = 0; i < 3; i++)
		timers[i] = register_one(t, &r);
	daemon_kill(&d);
	recorder_linger(t, 10 * MS);
	assert_int_equal(toytimer_set_timeout(t, 30 * MS), 0);
	assert_int_equal(toytimer_get_status(t, &status), -ECONNREFUSED);
	assert_int_equal(toytimer_register(t, &r, NULL), -ECONNREFUSED);
	assert_int_equal(toytimer_cancel_id(t, 12345), -ECONNREFUSED);
	/* Calls that need no daemon succeed. */
	assert_int_equal(toytimer_cancel(t, timers[0]), 0);
	assert_int_equal(toytimer_cancel(t, timers[0]), -ENOENT);
	r.due = now() + 50 * MS;
	r.flags = 0;
	assert_int_equal(toytimer_rearm(t, timers[1], &r), 0);
	assert_int_equal(toytimer_get_timer(t, timers[1], NULL, &due), 0);
	assert_int_equal(due, r.due);
	assert_int_equal(toytimer_register_async(t, &r, NULL), 0);
	assert_int_equal(toytimer_count(t), 3);

	assert_int_equal(toytimer_set_timeout(t, PATIENCE_US), 0);
	daemon_start(&d, NULL);
	assert_int_equal(toytimer_get_status(t, &status), 0);
	assert_int_equal(status.registered, 3);
	recorder_await(&recorder, t, 2);
	/* In the order of registration, since the dues are equal. */
	assert_int_equal(recorder.events[0].timer, timers[1]);
	assert_int_equal(toytimer_cancel(t, timers[2]), 0);
	assert_int_equal(toytimer_count(t), 0);
	recorder_clear(&recorder);
	toytimer_unref(t);
}

static void *register_main(void *userdata)
{
	toytimer_registration r = {.due = 3600 * S, .flags = TOYTIMER_RELATIVE};

	return toytimer_register(userdata, &r, NULL) == 0 ? userdata : NULL;
}

/* A blocking call waits for the daemon to come back. */
static void test_a_blocking_call_waits_for_the_next_daemon(void **state)
{
	pthread_t thread;
	toytimer *t;
	void *result;

	(void)state;
	daemon_start(&d, NULL);
	t = open_handle();
	daemon_kill(&d);
	assert_int_equal(pthread_create(&thread, NULL, register_main, t), 0);
	usleep(150000);
	daemon_start(&d, NULL);
	pthread_join(thread, &result);
	assert_ptr_equal(result, t);
	assert_int_equal(toytimer_get_reconnects(t), 1);
	assert_int_equal(toytimer_count(t), 1);
	toytimer_unref(t);
}

/* poll() on the descriptor is enough to find the next daemon. */
static void test_poll_notices_a_daemon_that_goes_away(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 600 * MS);
	struct pollfd fd = {.events = POLLIN};
	toytimer *t;

	(void)state;
	daemon_start(&d, NULL);
	t = open_handle();
	register_one(t, &r);
	fd.fd = toytimer_get_fd(t);
	assert_int_equal(daemon_stop(&d), 0);
	daemon_start(&d, NULL);
	while (recorder.n == 0) {
		assert_int_equal(poll(&fd, 1, 10000), 1);
		assert_true(toytimer_process(t) >= 0);
	}
	assert_int_equal(toytimer_get_reconnects(t), 1);
	recorder_clear(&recorder);
	toytimer_unref(t);
}

/* The next daemon accepts some timers and refuses the others. */
static void test_refusals_after_a_restart_are_events(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 3600 * S);
	toytimer *t;
	uint64_t timers[3];

	(void)state;
	daemon_start(&d, NULL);
	t = open_handle();
	for (int i = 0; i < 3; i++)
		timers[i] = register_one(t, &r);
	daemon_kill(&d);
	daemon_start(&d, "--max-timers", "2", NULL);
	recorder_await(&recorder, t, 1);
	assert_int_equal(recorder.events[0].type, TOYTIMER_REFUSED);
	assert_int_equal(recorder.events[0].error, -ENOSPC);
	assert_int_equal(recorder.events[0].timer, timers[2]);
	assert_int_equal(toytimer_count(t), 2);
	recorder_clear(&recorder);
	toytimer_unref(t);
}

/* The next daemon has no room for the client yet. The library tries again until it has. */
static void test_a_full_daemon_is_tried_again(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 50 * MS);
	toytimer_status status;
	toytimer *t, *other;
	uint64_t until;
	int error;

	(void)state;
	daemon_start(&d, NULL);
	t = open_handle();
	register_one(t, &r);
	daemon_kill(&d);
	daemon_start(&d, "--max-clients", "1", NULL);
	other = open_handle();
	assert_int_equal(toytimer_set_timeout(t, 100 * MS), 0);
	/* On a busy machine, not all of these 100 ms are enough to connect again. */
	until = now() + PATIENCE_US;
	do
		error = toytimer_get_status(t, &status);
	while (error == -ECONNREFUSED && now() < until);
	assert_int_equal(error, -ENFILE);
	recorder_linger(t, 100 * MS);
	assert_int_equal(recorder.n, 0);
	toytimer_unref(other);
	recorder_await(&recorder, t, 1);
	recorder_clear(&recorder);
	toytimer_unref(t);
}

struct churn {
	toytimer *t;
	atomic_bool stop;
	unsigned int registered, cancelled;
};

static int count_wake(toytimer *t, const toytimer_event *event, void *userdata)
{
	unsigned int *woken = userdata;

	(void)t;
	assert_int_equal(event->type, TOYTIMER_WOKEN);
	assert_true(event->last);
	(*woken)++;
	return 0;
}

/* Registers timers, and cancels half of them. */
static void *churn_main(void *userdata)
{
	struct churn *churn = userdata;
	static unsigned int woken;
	toytimer_registration r = {
		.flags = TOYTIMER_RELATIVE,
		.handler = count_wake,
		.userdata = &woken,
	};

	for (unsigned int i = 0; !churn->stop; i++) {
		uint64_t timer;

		r.due = i * 997 % (20 * MS);
		if (toytimer_register(churn->t, &r, &timer) < 0)
			abort();
		churn->registered++;
		if (i % 2) {
			int result = toytimer_cancel(churn->t, timer);

			if (result < 0 && result != -ENOENT)
				abort();
			churn->cancelled += result == 0;
		}
	}
	return &woken;
}

/* The daemon is killed again and again. Each timer wakes or is cancelled, once. */
static void test_each_timer_ends_once_over_many_kills(void **state)
{
	struct churn churn = {0};
	pthread_t thread;
	void *woken;

	(void)state;
	daemon_start(&d, NULL);
	churn.t = open_handle();
	assert_int_equal(pthread_create(&thread, NULL, churn_main, &churn), 0);
	for (int i = 0; i < 30; i++) {
		recorder_linger(churn.t, (uint64_t)(i * 7 % 30) * MS);
		daemon_kill(&d);
		daemon_start(&d, NULL);
	}
	await_reconnect(churn.t, 1);
	recorder_linger(churn.t, 50 * MS);
	churn.stop = true;
	pthread_join(thread, &woken);
	assert_int_equal(toytimer_run(churn.t), 0);
	assert_true(churn.registered > 0);
	assert_int_equal(*(unsigned int *)woken + churn.cancelled, churn.registered);
	assert_int_equal(toytimer_count(churn.t), 0);
	toytimer_unref(churn.t);
}

/* As many timers as a real service has. */
static void test_many_timers_survive_a_loss_while_registering(void **state)
{
	enum { N = 50000 };
	struct recorder recorder = {0};
	toytimer_registration *r = calloc(N, sizeof(*r));
	uint64_t base = now() + 400 * MS;
	toytimer *t;

	(void)state;
	daemon_start(&d, "--max-timers-per-user", "100000", NULL);
	t = open_handle();
	for (size_t i = 0; i < N; i++) {
		r[i] = recorder_after(&recorder, base + i * 7 % 1000 * MS);
		r[i].flags = 0;
		assert_int_equal(toytimer_register_async(t, &r[i], NULL), 0);
	}
	daemon_kill(&d);
	daemon_start(&d, "--max-timers-per-user", "100000", NULL);
	recorder_await(&recorder, t, N);
	recorder_linger(t, 50 * MS);
	assert_int_equal(recorder.n, N);
	recorder_clear(&recorder);
	toytimer_unref(t);
	free(r);
}

static void test_reconnections_leave_no_descriptor(void **state)
{
	toytimer_registration r = {.due = 3600 * S, .flags = TOYTIMER_RELATIVE};
	toytimer *t;
	int here;

	(void)state;
	daemon_start(&d, NULL);
	t = open_handle();
	register_one(t, &r);
	here = daemon_count_fds(0);
	for (uint64_t i = 1; i <= 5; i++) {
		daemon_kill(&d);
		recorder_linger(t, 30 * MS);
		daemon_start(&d, NULL);
		await_reconnect(t, i);
		assert_int_equal(daemon_count_fds(0), here);
	}
	toytimer_unref(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_one_shots_wake_once_after_a_restart, clean_daemon),
		cmocka_unit_test_teardown(test_a_wake_before_the_loss_is_handed_out, clean_daemon),
		cmocka_unit_test_teardown(test_a_series_keeps_its_phase, clean_daemon),
		cmocka_unit_test_teardown(
			test_calls_without_a_daemon_fail_or_need_none, clean_daemon),
		cmocka_unit_test_teardown(
			test_a_blocking_call_waits_for_the_next_daemon, clean_daemon),
		cmocka_unit_test_teardown(test_poll_notices_a_daemon_that_goes_away, clean_daemon),
		cmocka_unit_test_teardown(test_refusals_after_a_restart_are_events, clean_daemon),
		cmocka_unit_test_teardown(test_a_full_daemon_is_tried_again, clean_daemon),
		cmocka_unit_test_teardown(test_each_timer_ends_once_over_many_kills, clean_daemon),
		cmocka_unit_test_teardown(
			test_many_timers_survive_a_loss_while_registering, clean_daemon),
		cmocka_unit_test_teardown(test_reconnections_leave_no_descriptor, clean_daemon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
