/* SPDX-License-Identifier: MIT */
/*
 * libtoytimer against the real daemon, in programs that fork within a handler or a call. The
 * child's call ends, and the handle stays usable for the parent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "handles.h"
#include "recorder.h"

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
				add_timer(t, i * 20 * MS, fork_once, &f);
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
	uint64_t timer = add_timer(t, 3600 * S, ignore_event, NULL);
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
		uint64_t timer = add_timer(t, 3600 * S, ignore_event, NULL);
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

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static void *ask_status(void *userdata)
{
	toytimer_status status;
	int r = toytimer_get_status(userdata, &status);

	if (signal_child == 0)
		_exit(r != -ECHILD);
	return r == 0 ? NULL : userdata;
}

/* The exit status of the child, or -1 if it does not end. */
static int await_child(void)
{
	int status;

	for (int i = 0; i < 500; i++) {
		if (waitpid(signal_child, &status, WNOHANG) == signal_child)
			return status;
		pause_ms(10);
	}
	kill(signal_child, SIGKILL);
	waitpid(signal_child, &status, 0);
	return -1;
}

/* The child has neither the leading thread nor a thread that could wake it. */
static void test_fork_in_a_signal_handler_of_a_follower(void **state)
{
	struct sigaction action = {.sa_handler = fork_in_signal, .sa_flags = SA_RESTART}, before;
	toytimer *t = open_handle();
	pthread_t leader, follower;
	void *failed;
	int status;

	(void)state;
	signal_child = -1;
	assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
	toytimer_set_timeout(t, TOYTIMER_FOREVER);
	kill(d.pid, SIGSTOP);
	assert_int_equal(pthread_create(&leader, NULL, ask_status, t), 0);
	pause_ms(50);
	assert_int_equal(pthread_create(&follower, NULL, ask_status, t), 0);
	pause_ms(50);
	pthread_kill(follower, SIGUSR1);
	while (signal_child < 0)
		pause_ms(5);
	status = await_child();
	kill(d.pid, SIGCONT);
	assert_int_equal(status, 0);
	pthread_join(leader, &failed);
	assert_null(failed);
	pthread_join(follower, &failed);
	assert_null(failed);
	sigaction(SIGUSR1, &before, NULL);
	toytimer_unref(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fork_in_a_handler_keeps_the_parents_wakes),
		cmocka_unit_test(test_fork_in_a_list_keeps_the_parents_answers),
		cmocka_unit_test(test_fork_in_a_signal_handler_ends_the_childs_call),
		cmocka_unit_test(test_fork_in_a_signal_handler_of_a_follower),
	};

	return cmocka_run_group_tests(tests, start_daemon, stop_daemon);
}
