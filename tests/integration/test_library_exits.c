/* SPDX-License-Identifier: MIT */
/*
 * libtoytimer against the real daemon, in programs whose handlers and threads do not return: they
 * jump, throw, end, are cancelled, or go on in a forked child. The handle stays usable: the other
 * timers wake, calls are answered, and a program that polls can sleep.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handles.h"
#include "recorder.h"
#include "throwing.h"

static uint64_t add(toytimer *t, uint64_t span, toytimer_handler handler, void *userdata)
{
	toytimer_registration r = {
		.due = span,
		.flags = TOYTIMER_RELATIVE,
		.handler = handler,
		.userdata = userdata,
	};
	uint64_t timer;

	assert_int_equal(toytimer_register(t, &r, &timer), 0);
	return timer;
}

/* Everything that a flag which was left behind would stop or keep busy. */
static void check_usable(toytimer *t)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 5 * MS);
	struct pollfd fd = {.fd = toytimer_get_fd(t), .events = POLLIN};
	toytimer_status status;

	assert_int_equal(toytimer_set_timeout(t, 5 * S), 0);
	assert_int_equal(toytimer_get_status(t, &status), 0);
	assert_int_equal(toytimer_register(t, &r, NULL), 0);
	assert_int_equal(toytimer_run(t), 0);
	assert_int_equal(recorder.n, 1);
	assert_int_equal(toytimer_count(t), 0);
	assert_int_equal(poll(&fd, 1, 20), 0);
	recorder_clear(&recorder);
}

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

static int ignore(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t;
	(void)event;
	(void)userdata;
	return 0;
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

		b.timer = add(b.t, 3600 * S, ignore, NULL);
		kill(d.pid, SIGSTOP);
		cancel_thread(&b, calls[i]);
		assert_int_equal(pthread_create(&other.thread, NULL, get_status, &other), 0);
		usleep(20000);
		cancel_thread(&b, calls[i]);
		kill(d.pid, SIGCONT);
		assert_int_equal(pthread_join(other.thread, NULL), 0);
		/* Of a cancelled call it is open whether it takes place. */
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
	b.timer = add(b.t, 3600 * S, ignore, NULL);
	cancel_thread(&b, run);
	cancel_thread(&b, wait_forever);
	assert_int_equal(toytimer_cancel(b.t, b.timer), 0);
	check_usable(b.t);
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
	add(b.t, 0, sleep_long, NULL);
	cancel_thread(&b, run);
	check_usable(b.t);
	add(b.t, 0, end_thread, PTHREAD_CANCELED);
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

/* From further down the stack than the handler was called. */
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
		add(t, 0, jump, NULL);
		if (!setjmp(target))
			fail_msg("%d", toytimer_run(t));
		if (i == 1)
			assert_int_equal(run_deep_down(t), 0);
		check_usable(t);
	}
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
	add(t, 0, run_within, &called);
	assert_int_equal(run_deep_down(t), 0);
	add(t, 0, run_within, &called);
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
		add(t, 0, throwing_handler, NULL);
		assert_int_equal(throwing_run(t), 1);
		check_usable(t);
	}
	timer = add(t, 3600 * S, ignore, NULL);
	assert_int_equal(throwing_list(t), 1);
	assert_int_equal(toytimer_cancel(t, timer), 0);
	check_usable(t);
	toytimer_unref(t);
#else
	skip();
#endif
}

/* What a child does with the handle that it finds in its handler. */
enum child { CHILD_RETURNS, CHILD_DROPS, CHILD_CALLS };

struct forking {
	enum child what;
	pid_t child;
	unsigned int woken;
};

static int fork_once(toytimer *t, const toytimer_event *event, void *userdata)
{
	struct forking *f = userdata;
	toytimer_status status;

	(void)event;
	f->woken++;
	if (f->woken > 1)
		return 0;
	f->child = fork();
	if (f->child == 0 && f->what == CHILD_CALLS)
		_exit(toytimer_get_status(t, &status) != -ECHILD ||
			toytimer_process(t) != -ECHILD || toytimer_flush(t) != -ECHILD);
	if (f->child == 0 && f->what == CHILD_DROPS)
		toytimer_unref(t);
	return 0;
}

static int fork_in_list(const toytimer_listed *listed, void *userdata)
{
	(void)listed;
	*(pid_t *)userdata = fork();
	return 0;
}

static void expect_child(pid_t pid, bool is_child, int r)
{
	int status;

	if (is_child)
		_exit(r != -ECHILD);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* The child's call ends, and the parent gets all its wakes. */
static void test_fork_in_a_handler_keeps_the_parents_wakes(void **state)
{
	(void)state;
	for (enum child what = CHILD_RETURNS; what <= CHILD_CALLS; what++)
		for (int runs = 0; runs < 2; runs++) {
			struct forking f = {.what = what};
			toytimer *t = open_handle();
			int r;

			for (uint64_t i = 0; i < 4; i++)
				add(t, i * 20 * MS, fork_once, &f);
			if (runs)
				r = toytimer_run(t);
			else
				while ((r = toytimer_process(t)) == 0)
					toytimer_wait(t, TOYTIMER_FOREVER);
			expect_child(f.child, f.child == 0, r);
			assert_int_equal(r, runs ? 0 : 1);
			assert_int_equal(toytimer_run(t), 0);
			assert_int_equal(f.woken, 4);
			check_usable(t);
			toytimer_unref(t);
		}
}

static void test_fork_in_a_list_keeps_the_parents_answers(void **state)
{
	toytimer *t = open_handle();
	pid_t child = -1;
	uint64_t timer = add(t, 3600 * S, ignore, NULL);
	int r;

	(void)state;
	r = toytimer_list(t, 0, fork_in_list, &child);
	expect_child(child, child == 0, r);
	assert_int_equal(toytimer_cancel(t, timer), 0);
	check_usable(t);
	toytimer_unref(t);
}

static volatile pid_t signal_child = -1;

static void fork_in_signal(int number)
{
	(void)number;
	signal_child = fork();
}

/* The child returns into a call that sleeps. */
static void test_fork_in_a_signal_handler_ends_the_childs_call(void **state)
{
	struct sigaction action = {.sa_handler = fork_in_signal, .sa_flags = SA_RESTART}, before;
	const struct itimerval once = {.it_value.tv_usec = 30000};
	toytimer_status status;

	(void)state;
	assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
	for (int what = 0; what < 2; what++) {
		toytimer *t = open_handle();
		uint64_t timer = add(t, 3600 * S, ignore, NULL);
		int r;

		toytimer_set_timeout(t, 300 * MS);
		if (what == 0)
			kill(d.pid, SIGSTOP);
		assert_int_equal(setitimer(ITIMER_REAL, &once, NULL), 0);
		r = what == 0 ? toytimer_get_status(t, &status) : toytimer_run(t);
		expect_child(signal_child, signal_child == 0, r);
		kill(d.pid, SIGCONT);
		assert_int_equal(r, what == 0 ? -ETIMEDOUT : -EINTR);
		assert_int_equal(toytimer_cancel(t, timer), 0);
		check_usable(t);
		toytimer_unref(t);
	}
	sigaction(SIGALRM, &before, NULL);
}

/* A second thread that waits and processes, while nothing is due. */
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
		uint64_t timer = add(w.t, 3600 * S, ignore, NULL);

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
		.flags = TOYTIMER_RELATIVE, .every = 3600 * S, .handler = ignore};
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
		cmocka_unit_test(test_a_thread_cancelled_in_a_call_leaves_the_handle_usable),
		cmocka_unit_test(test_a_thread_cancelled_in_run_leaves_the_handle_usable),
		cmocka_unit_test(test_a_thread_that_ends_in_a_handler_leaves_the_handle_usable),
		cmocka_unit_test(test_a_jump_out_of_a_handler_leaves_the_handle_usable),
		cmocka_unit_test(test_run_within_a_handler_is_not_taken_for_a_jump),
		cmocka_unit_test(test_an_exception_out_of_a_handler_leaves_the_handle_usable),
		cmocka_unit_test(test_fork_in_a_handler_keeps_the_parents_wakes),
		cmocka_unit_test(test_fork_in_a_list_keeps_the_parents_answers),
		cmocka_unit_test(test_fork_in_a_signal_handler_ends_the_childs_call),
		cmocka_unit_test(test_the_descriptor_is_not_readable_for_nothing),
		cmocka_unit_test(test_the_descriptor_is_not_readable_for_a_stale_event),
	};

	/* The address sanitizer takes a stack that is unwound out of a call for damaged. */
	if (getenv("ASAN_OPTIONS"))
		return 0;
	return cmocka_run_group_tests(tests, start_daemon, stop_daemon);
}
