/* SPDX-License-Identifier: MIT */
/*
 * libtoytimer against the real daemon, in programs whose handlers and threads do not return: they
 * jump, throw, end or are cancelled. The handle stays usable.
 *
 * Builds with the address sanitizer do not have this test: the sanitizer takes a stack that is
 * unwound out of a call for damaged, and its longjmp() calls none of glibc's clean-up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "handles.h"
#include "recorder.h"
#include "throwing.h"

/* A thread that is blocked in a call. */
struct blocked {
	toytimer *t;
	pthread_t thread;
	uint64_t timer;
};

static void cancel_thread(struct blocked *b, void *(*call)(void *userdata))
{
	void *result;

	assert_int_equal(pthread_create(&b->thread, NULL, call, b), 0);
	usleep(50000);
	assert_int_equal(pthread_cancel(b->thread), 0);
	assert_int_equal(pthread_join(b->thread, &result), 0);
	assert_ptr_equal(result, PTHREAD_CANCELED);
}

static void *get_status(void *userdata)
{
	toytimer_status status;

	toytimer_get_status(((struct blocked *)userdata)->t, &status);
	return NULL;
}

static void *register_many(void *userdata)
{
	enum { N = 3000 };
	toytimer_registration r[N];
	uint64_t timers[N];
	int errors[N];

	for (size_t i = 0; i < N; i++)
		r[i] = (toytimer_registration){.due = S, .flags = TOYTIMER_RELATIVE};
	toytimer_register_many(((struct blocked *)userdata)->t, r, N, timers, errors);
	return NULL;
}

static void *cancel(void *userdata)
{
	struct blocked *b = userdata;

	toytimer_cancel(b->t, b->timer);
	return NULL;
}

static void *rearm(void *userdata)
{
	toytimer_registration r = {.due = S, .flags = TOYTIMER_RELATIVE};
	struct blocked *b = userdata;

	toytimer_rearm(b->t, b->timer, &r);
	return NULL;
}

static int list_nothing(const toytimer_listed *listed, void *userdata)
{
	(void)listed;
	(void)userdata;
	return 0;
}

static void *list(void *userdata)
{
	toytimer_list(((struct blocked *)userdata)->t, 0, list_nothing, NULL);
	return NULL;
}

static void *open_another(void *userdata)
{
	toytimer *t;

	(void)userdata;
	toytimer_open(&t, daemon_socket(&d));
	return NULL;
}

/* Each call waits for a daemon that does not answer, alone and while another thread waits. With
 * two threads, the cancelled thread leads and the other follows. */
static void test_a_thread_cancelled_in_a_call_leaves_the_handle_usable(void **state)
{
	static void *(*const calls[])(void *) = {
		get_status, register_many, cancel, rearm, list, open_another};

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct blocked b = {.t = open_handle()}, other = b;

		b.timer = add_timer(b.t, 3600 * S, ignore_event, NULL);
		kill(d.pid, SIGSTOP);
		cancel_thread(&b, calls[i]);
		assert_int_equal(pthread_create(&other.thread, NULL, get_status, &other), 0);
		usleep(20000);
		cancel_thread(&b, calls[i]);
		kill(d.pid, SIGCONT);
		assert_int_equal(pthread_join(other.thread, NULL), 0);
		/* The cancelled call may or may not have had its effect. */
		toytimer_cancel(b.t, b.timer);
		check_usable(b.t);
		toytimer_unref(b.t);
	}
}

static void *run(void *userdata)
{
	toytimer_run(((struct blocked *)userdata)->t);
	return NULL;
}

static void *wait_forever(void *userdata)
{
	toytimer_wait(((struct blocked *)userdata)->t, TOYTIMER_FOREVER);
	return NULL;
}

static void test_a_thread_cancelled_in_run_leaves_the_handle_usable(void **state)
{
	struct blocked b = {.t = open_handle()};

	(void)state;
	b.timer = add_timer(b.t, 3600 * S, ignore_event, NULL);
	cancel_thread(&b, run);
	cancel_thread(&b, wait_forever);
	assert_int_equal(toytimer_cancel(b.t, b.timer), 0);
	check_usable(b.t);
	toytimer_unref(b.t);
}

/* Stays in its first call until the thread has been cancelled. It makes no call that ends a
 * cancelled thread. */
static atomic_bool cancelled;
static atomic_int handled;

static int await_cancel(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t;
	(void)event;
	(void)userdata;
	atomic_fetch_add(&handled, 1);
	while (!atomic_load(&cancelled))
		sched_yield();
	return 0;
}

/* The events have arrived, so toytimer_run() never sleeps. */
static void test_a_thread_in_run_can_be_cancelled_between_two_events(void **state)
{
	enum { N = 100 };
	struct blocked b = {.t = open_handle()};
	toytimer_registration r[N];

	(void)state;
	for (size_t i = 0; i < N; i++)
		r[i] = (toytimer_registration){.handler = await_cancel};
	assert_int_equal(toytimer_register_many(b.t, r, N, NULL, NULL), N);
	assert_int_equal(pthread_create(&b.thread, NULL, run, &b), 0);
	while (!atomic_load(&handled))
		sched_yield();
	assert_int_equal(pthread_cancel(b.thread), 0);
	atomic_store(&cancelled, true);
	assert_int_equal(pthread_join(b.thread, NULL), 0);
	assert_int_equal(atomic_load(&handled), 1);
	check_usable(b.t);
	assert_int_equal(atomic_load(&handled), N);
	toytimer_unref(b.t);
}

static int sleep_long(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t;
	(void)event;
	(void)userdata;
	sleep(60);
	return 0;
}

static int end_thread(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t;
	(void)event;
	pthread_exit(userdata);
}

static void test_a_thread_that_ends_in_a_handler_leaves_the_handle_usable(void **state)
{
	struct blocked b = {.t = open_handle()};

	(void)state;
	add_timer(b.t, 0, sleep_long, NULL);
	cancel_thread(&b, run);
	check_usable(b.t);
	add_timer(b.t, 0, end_thread, PTHREAD_CANCELED);
	assert_int_equal(pthread_create(&b.thread, NULL, run, &b), 0);
	assert_int_equal(pthread_join(b.thread, NULL), 0);
	check_usable(b.t);
	toytimer_unref(b.t);
}

static jmp_buf target;

static int jump(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t;
	(void)event;
	(void)userdata;
	longjmp(target, 1);
}

static int drop_and_jump(toytimer *t, const toytimer_event *event, void *userdata)
{
	toytimer_unref(t);
	return jump(t, event, userdata);
}

/* Calls toytimer_run() with a deeper stack than the handler's jump goes back to. */
static __attribute__((noinline)) int run_deep_down(toytimer *t)
{
	volatile char room[100000];

	room[0] = room[sizeof(room) - 1] = 1;
	return toytimer_run(t) + room[0] - 1;
}

static void test_a_jump_out_of_a_handler_leaves_the_handle_usable(void **state)
{
	toytimer *volatile t = open_handle();

	(void)state;
	for (volatile int i = 0; i < 3; i++) {
		add_timer(t, 0, jump, NULL);
		if (!setjmp(target))
			fail_msg("%d", toytimer_run(t));
		if (i == 1)
			assert_int_equal(run_deep_down(t), 0);
		check_usable(t);
	}
	add_timer(t, 3600 * S, ignore_event, NULL);
	add_timer(t, 0, drop_and_jump, NULL);
	if (!setjmp(target))
		fail_msg("%d", toytimer_run(t));
	t = open_handle();
	while (daemon_timers(t))
		usleep(1000);
	toytimer_unref(t);
}

static int run_within(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)event;
	assert_int_equal(toytimer_process(t), -EBUSY);
	assert_int_equal(toytimer_run(t), -EBUSY);
	assert_int_equal(run_deep_down(t), -EBUSY);
	++*(int *)userdata;
	return 0;
}

static void test_run_within_a_handler_is_not_taken_for_a_jump(void **state)
{
	toytimer *t = open_handle();
	int called = 0;

	(void)state;
	add_timer(t, 0, run_within, &called);
	assert_int_equal(run_deep_down(t), 0);
	add_timer(t, 0, run_within, &called);
	assert_int_equal(toytimer_run(t), 0);
	assert_int_equal(called, 2);
	toytimer_unref(t);
}

static void test_an_exception_out_of_a_handler_leaves_the_handle_usable(void **state)
{
	(void)state;
#ifdef HAVE_CXX
	toytimer *t = open_handle();
	uint64_t timer;

	for (int i = 0; i < 3; i++) {
		add_timer(t, 0, throwing_handler, NULL);
		assert_int_equal(throwing_run(t), 1);
		check_usable(t);
	}
	timer = add_timer(t, 3600 * S, ignore_event, NULL);
	assert_int_equal(throwing_list(t), 1);
	assert_int_equal(toytimer_cancel(t, timer), 0);
	check_usable(t);
	toytimer_unref(t);
#else
	skip();
#endif
}

struct jumper {
	toytimer *t;
	jmp_buf target;
	sem_t jumped, over;
	bool stays; /* the thread lives on without calling the library */
};

static int jump_to(toytimer *t, const toytimer_event *event, void *userdata)
{
	struct jumper *jumper = userdata;

	(void)t;
	(void)event;
	longjmp(jumper->target, 1);
}

static void *jump_out(void *userdata)
{
	struct jumper *jumper = userdata;

	if (!setjmp(jumper->target))
		toytimer_run(jumper->t);
	sem_post(&jumper->jumped);
	if (jumper->stays)
		sem_wait(&jumper->over);
	return NULL;
}

/* The thread makes no further call of the library. Other threads must still get their events. */
static void test_a_thread_that_jumps_and_never_calls_again(void **state)
{
	(void)state;
#ifndef __GLIBC__
	skip(); /* longjmp() runs no clean-up, see libtoytimer(3) */
#endif
	for (int stays = 0; stays < 2; stays++) {
		struct jumper jumper = {.t = open_handle(), .stays = stays};
		struct recorder recorder = {0};
		toytimer_registration r = recorder_after(&recorder, 0);
		pthread_t thread;

		sem_init(&jumper.jumped, 0, 0);
		sem_init(&jumper.over, 0, 0);
		r.handler = jump_to;
		r.userdata = &jumper;
		assert_int_equal(toytimer_register(jumper.t, &r, NULL), 0);
		assert_int_equal(pthread_create(&thread, NULL, jump_out, &jumper), 0);
		sem_wait(&jumper.jumped);
		if (!stays)
			pthread_join(thread, NULL);
		r = recorder_after(&recorder, MS);
		assert_int_equal(toytimer_register(jumper.t, &r, NULL), 0);
		recorder_await(&recorder, jumper.t, 1);
		assert_int_equal(toytimer_run(jumper.t), 0);
		sem_post(&jumper.over);
		if (stays)
			pthread_join(thread, NULL);
		toytimer_unref(jumper.t);
		recorder_clear(&recorder);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_thread_cancelled_in_a_call_leaves_the_handle_usable),
		cmocka_unit_test(test_a_thread_cancelled_in_run_leaves_the_handle_usable),
		cmocka_unit_test(test_a_thread_in_run_can_be_cancelled_between_two_events),
		cmocka_unit_test(test_a_thread_that_ends_in_a_handler_leaves_the_handle_usable),
		cmocka_unit_test(test_a_jump_out_of_a_handler_leaves_the_handle_usable),
		cmocka_unit_test(test_run_within_a_handler_is_not_taken_for_a_jump),
		cmocka_unit_test(test_an_exception_out_of_a_handler_leaves_the_handle_usable),
		cmocka_unit_test(test_a_thread_that_jumps_and_never_calls_again),
	};

	return cmocka_run_group_tests(tests, start_daemon, stop_daemon);
}
