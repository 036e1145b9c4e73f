/* SPDX-License-Identifier: MIT */
/*
 * libtoytimer against the real daemon: several threads on one handle. Each timer's handler runs
 * once or cancelling it succeeds. No two handlers run at a time. Every thread that waits is woken.
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

#define THREADS 8
#define EACH	200

struct shared {
	toytimer *t;
	atomic_uint registered, cancelled, woken, failed, done;
	atomic_bool in_handler;
	uint64_t victim;
};

/* Threads other than the main thread must not call cmocka. */
static void expect(struct shared *shared, bool holds)
{
	if (!holds)
		shared->failed++;
}

static int note_wake(toytimer *t, const toytimer_event *event, void *userdata)
{
	struct shared *shared = userdata;

	(void)t;
	expect(shared, !atomic_exchange(&shared->in_handler, true));
	expect(shared, event->type == TOYTIMER_WOKEN && event->last);
	shared->woken++;
	atomic_store(&shared->in_handler, false);
	return 0;
}

static toytimer_registration registration(struct shared *shared, uint64_t span)
{
	return (toytimer_registration){
		.due = span,
		.flags = TOYTIMER_RELATIVE,
		.handler = note_wake,
		.userdata = shared,
	};
}

/* A thread with a reference to the handle, which makes every kind of call. */
static void *caller_main(void *userdata)
{
	struct shared *shared = userdata;
	toytimer *t = toytimer_ref(shared->t);

	for (unsigned int i = 0; i < EACH; i++) {
		toytimer_registration r[3] = {
			registration(shared, i * 37 % (5 * MS)),
			registration(shared, 3600 * S),
			registration(shared, 3600 * S),
		};
		toytimer_status status;
		uint64_t timers[3];
		int result;

		expect(shared, toytimer_register_many(t, r, 2, timers, NULL) == 2);
		expect(shared, toytimer_register_async(t, &r[2], &timers[2]) == 0);
		shared->registered += 3;
		result = toytimer_cancel(t, timers[0]);
		expect(shared, result == 0 || result == -ENOENT);
		shared->cancelled += result == 0;
		expect(shared, toytimer_rearm(t, timers[1], &r[0]) == 0);
		expect(shared, toytimer_get_status(t, &status) == 0);
		if (i % 8 == 0) {
			expect(shared, toytimer_cancel(t, timers[2]) == 0);
			shared->cancelled++;
		} else {
			expect(shared, toytimer_rearm(t, timers[2], &r[0]) == 0);
		}
	}
	toytimer_unref(t);
	shared->done++;
	return NULL;
}

static void *runner_main(void *userdata)
{
	struct shared *shared = userdata;

	while (shared->done < THREADS)
		expect(shared, toytimer_run(shared->t) == 0);
	expect(shared, toytimer_run(shared->t) == 0);
	return NULL;
}

static void *poller_main(void *userdata)
{
	struct shared *shared = userdata;
	struct pollfd fd = {.fd = toytimer_get_fd(shared->t), .events = POLLIN};

	while (shared->done < THREADS) {
		expect(shared, poll(&fd, 1, 10) >= 0);
		expect(shared, toytimer_process(shared->t) >= 0);
	}
	return NULL;
}

/* Callers and, beside them, threads that hand out the events: n that run, and some that poll. */
static void run_all(size_t runners, size_t pollers)
{
	struct shared shared = {.t = open_handle()};
	pthread_t threads[THREADS + 8];
	size_t n = 0;

	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[n++], NULL, caller_main, &shared), 0);
	for (size_t i = 0; i < runners; i++)
		assert_int_equal(pthread_create(&threads[n++], NULL, runner_main, &shared), 0);
	for (size_t i = 0; i < pollers; i++)
		assert_int_equal(pthread_create(&threads[n++], NULL, poller_main, &shared), 0);
	while (n > 0)
		pthread_join(threads[--n], NULL);
	assert_int_equal(toytimer_run(shared.t), 0);
	assert_int_equal(shared.failed, 0);
	assert_int_equal(shared.registered, THREADS * EACH * 3);
	assert_int_equal(shared.woken + shared.cancelled, shared.registered);
	assert_int_equal(toytimer_count(shared.t), 0);
	toytimer_unref(shared.t);
}

static void test_callers_without_a_runner(void **state)
{
	(void)state;
	run_all(0, 0);
}

static void test_callers_with_one_runner(void **state)
{
	(void)state;
	run_all(1, 0);
}

static void test_callers_with_runners_and_pollers(void **state)
{
	(void)state;
	run_all(3, 3);
}

static void *batch_main(void *userdata)
{
	enum { N = 20000 };
	struct shared *shared = userdata;
	toytimer_registration *r = calloc(N, sizeof(*r));

	for (size_t i = 0; r && i < N; i++)
		r[i] = registration(shared, i % 1000 * 20);
	expect(shared, toytimer_register_many(shared->t, r, N, NULL, NULL) == N);
	free(r);
	shared->registered += N;
	return NULL;
}

/* Several threads register large batches at once, while other threads run handlers. */
static void test_large_batches_from_several_threads(void **state)
{
	struct shared shared = {.t = open_handle()};
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, batch_main, &shared), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(toytimer_run(shared.t), 0);
	assert_int_equal(shared.failed, 0);
	assert_int_equal(shared.woken, shared.registered);
	toytimer_unref(shared.t);
}

static void *cancel_main(void *userdata)
{
	struct shared *shared = userdata;

	usleep(50000);
	expect(shared, toytimer_cancel(shared->t, shared->victim) == 0);
	return NULL;
}

static void test_run_ends_when_another_thread_cancels_the_last_timer(void **state)
{
	struct shared shared = {.t = open_handle()};
	toytimer_registration r = registration(&shared, 3600 * S);
	pthread_t thread;

	(void)state;
	assert_int_equal(toytimer_register(shared.t, &r, &shared.victim), 0);
	assert_int_equal(pthread_create(&thread, NULL, cancel_main, &shared), 0);
	assert_int_equal(toytimer_run(shared.t), 0);
	pthread_join(thread, NULL);
	assert_int_equal(shared.failed, 0);
	toytimer_unref(shared.t);
}

static int sleepy(toytimer *t, const toytimer_event *event, void *userdata)
{
	usleep(200000);
	return note_wake(t, event, userdata);
}

/* While a handler runs in another thread, process() has nothing to do and the descriptor is not
 * readable. */
static void test_the_descriptor_is_quiet_during_another_threads_handler(void **state)
{
	struct shared shared = {.t = open_handle()};
	toytimer_registration r[2] = {registration(&shared, 0), registration(&shared, 0)};
	struct pollfd fd = {.fd = toytimer_get_fd(shared.t), .events = POLLIN};
	pthread_t thread;
	int turns = 0;

	(void)state;
	r[0].handler = sleepy;
	shared.done = THREADS;
	assert_int_equal(toytimer_register_many(shared.t, r, 2, NULL, NULL), 2);
	usleep(50000);
	assert_int_equal(pthread_create(&thread, NULL, runner_main, &shared), 0);
	while (shared.woken < 2) {
		assert_true(poll(&fd, 1, 10000) >= 0);
		assert_true(toytimer_process(shared.t) >= 0);
		turns++;
	}
	pthread_join(thread, NULL);
	assert_int_equal(shared.failed, 0);
	assert_true(turns < 1000);
	toytimer_unref(shared.t);
}

/* A slow handler, and a thread that wants to free the handler's data. */
struct slow {
	toytimer *t;
	uint64_t timer;
	atomic_bool runs, over;
	int within; /* the result of cancelling inside the handler */
};

static int be_slow(toytimer *t, const toytimer_event *event, void *userdata)
{
	struct slow *slow = userdata;

	slow->within = event->last ? toytimer_cancel_wait(t, event->timer) : 1;
	slow->runs = true;
	usleep(100000);
	slow->over = true;
	return 0;
}

static void *run_slow(void *userdata)
{
	toytimer_run(((struct slow *)userdata)->t);
	return NULL;
}

/* A periodic timer, and a one-shot in its only handler. */
static void test_cancel_wait_waits_for_the_handler(void **state)
{
	(void)state;
	for (uint64_t every = 0; every < 2; every++) {
		struct slow slow = {.t = open_handle()};
		toytimer_registration r = {
			.flags = TOYTIMER_RELATIVE,
			.every = every * 3600 * S,
			.handler = be_slow,
			.userdata = &slow,
		};
		pthread_t thread;

		assert_int_equal(toytimer_register(slow.t, &r, &slow.timer), 0);
		assert_int_equal(pthread_create(&thread, NULL, run_slow, &slow), 0);
		while (!slow.runs)
			usleep(1000);
		assert_int_equal(toytimer_set_timeout(slow.t, 10 * MS), 0);
		assert_int_equal(toytimer_cancel_wait(slow.t, slow.timer), -ETIMEDOUT);
		assert_false(slow.over);
		assert_int_equal(toytimer_set_timeout(slow.t, TOYTIMER_FOREVER), 0);
		assert_int_equal(toytimer_cancel_wait(slow.t, slow.timer), -ENOENT);
		assert_true(slow.over);
		assert_int_equal(slow.within, every ? 1 : -ENOENT);
		pthread_join(thread, NULL);
		toytimer_unref(slow.t);
	}
}

/* A second thread that waits and processes, while no timer is due. */
struct watcher {
	toytimer *t;
	atomic_uint readable;
	atomic_bool over;
};

static void *watch(void *userdata)
{
	struct watcher *w = userdata;

	while (!w->over)
		if (toytimer_wait(w->t, 20 * MS) == 1) {
			w->readable++;
			toytimer_process(w->t);
		}
	return NULL;
}

/* The second thread is woken at most once for each call of the first one. */
static void test_the_descriptor_is_not_readable_for_nothing(void **state)
{
	enum { CALLS = 500 };
	struct watcher w = {.t = open_handle()};
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, watch, &w), 0);
	for (int i = 0; i < CALLS / 2; i++) {
		uint64_t timer = add_timer(w.t, 3600 * S, ignore_event, NULL);

		assert_int_equal(toytimer_cancel(w.t, timer), 0);
		usleep(200);
	}
	w.over = true;
	pthread_join(thread, NULL);
	assert_true(w.readable <= CALLS);
	check_usable(w.t);
	toytimer_unref(w.t);
}

/* The event belongs to a timer that is cancelled. */
static void test_the_descriptor_is_not_readable_for_a_stale_event(void **state)
{
	toytimer *t = open_handle();
	struct pollfd fd = {.fd = toytimer_get_fd(t), .events = POLLIN};
	toytimer_registration r = {
		.flags = TOYTIMER_RELATIVE, .every = 3600 * S, .handler = ignore_event};
	toytimer_status status;
	uint64_t timer;

	(void)state;
	assert_int_equal(toytimer_register(t, &r, &timer), 0);
	while (poll(&fd, 1, 0) == 0)
		;
	assert_int_equal(toytimer_get_status(t, &status), 0);
	assert_int_equal(toytimer_cancel(t, timer), 0);
	assert_int_equal(poll(&fd, 1, 0), 0);
	check_usable(t);
	toytimer_unref(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_callers_without_a_runner),
		cmocka_unit_test(test_callers_with_one_runner),
		cmocka_unit_test(test_callers_with_runners_and_pollers),
		cmocka_unit_test(test_large_batches_from_several_threads),
		cmocka_unit_test(test_run_ends_when_another_thread_cancels_the_last_timer),
		cmocka_unit_test(test_the_descriptor_is_quiet_during_another_threads_handler),
		cmocka_unit_test(test_the_descriptor_is_not_readable_for_nothing),
		cmocka_unit_test(test_the_descriptor_is_not_readable_for_a_stale_event),
		cmocka_unit_test(test_cancel_wait_waits_for_the_handler),
	};

	return cmocka_run_group_tests(tests, start_large_daemon, stop_daemon);
}
