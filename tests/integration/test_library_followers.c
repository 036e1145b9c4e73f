/* SPDX-License-Identifier: MIT */
/*
 * Threads that depend on another thread of the same handle: on one that waits for the daemon for
 * all, and on one that runs a handler. The other thread forks, or leaves the handler by a jump.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon.h"
#include "recorder.h"

static struct test_daemon d;

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static toytimer *open_handle(void)
{
	toytimer *t = NULL;

	assert_int_equal(toytimer_open(&t, daemon_socket(&d)), 0);
	return t;
}

static volatile pid_t child = -1;

static void fork_in_signal(int number)
{
	(void)number;
	child = fork();
}

static void *ask_status(void *userdata)
{
	toytimer_status status;
	int r = toytimer_get_status(userdata, &status);

	if (child == 0)
		_exit(r != -ECHILD);
	return r == 0 ? NULL : userdata;
}

/* The exit status of the child, or -1 if it does not end. */
static int await_child(void)
{
	int status;

	for (int i = 0; i < 500; i++) {
		if (waitpid(child, &status, WNOHANG) == child)
			return status;
		pause_ms(10);
	}
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	return -1;
}

/* The child has neither the thread that leads nor anybody who tells of progress. */
static void test_fork_in_a_signal_handler_of_a_follower(void **state)
{
	struct sigaction action = {.sa_handler = fork_in_signal, .sa_flags = SA_RESTART}, before;
	toytimer *t = open_handle();
	pthread_t leader, follower;
	void *failed;
	int status;

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
	toytimer_set_timeout(t, TOYTIMER_FOREVER);
	kill(d.pid, SIGSTOP);
	assert_int_equal(pthread_create(&leader, NULL, ask_status, t), 0);
	pause_ms(50);
	assert_int_equal(pthread_create(&follower, NULL, ask_status, t), 0);
	pause_ms(50);
	pthread_kill(follower, SIGUSR1);
	while (child < 0)
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

struct jumper {
	toytimer *t;
	jmp_buf target;
	sem_t jumped, over;
	bool stays; /* the thread lives on, and does something else */
};

static int jump(toytimer *t, const toytimer_event *event, void *userdata)
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

#ifdef __has_feature
#	define SANITIZED __has_feature(address_sanitizer)
#else
#	define SANITIZED 0
#endif

/* It makes no call of the library any more: other threads have their events all the same. */
__attribute__((unused)) static void test_thread_that_jumps_and_never_calls_again(void **state)
{
	(void)state;
#ifndef __GLIBC__
	skip(); /* longjmp() tells nobody, see libtoytimer(3) */
#endif
	for (int stays = 0; stays < 2; stays++) {
		struct jumper jumper = {.t = open_handle(), .stays = stays};
		struct recorder recorder = {0};
		toytimer_registration r = recorder_after(&recorder, 0);
		pthread_t thread;

		sem_init(&jumper.jumped, 0, 0);
		sem_init(&jumper.over, 0, 0);
		r.handler = jump;
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

static int start(void **state)
{
	(void)state;
	daemon_start(&d, NULL);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	daemon_stop(&d);
	daemon_clean(&d);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fork_in_a_signal_handler_of_a_follower),
/* The address sanitizer's own longjmp() calls none of glibc's clean-up. */
#if !defined(__SANITIZE_ADDRESS__) && !SANITIZED
		cmocka_unit_test(test_thread_that_jumps_and_never_calls_again),
#endif
	};

	return cmocka_run_group_tests(tests, start, stop);
}
