/* SPDX-License-Identifier: MIT */
/*
 * libtoytimer against the real daemon: opening, wakes of every kind, handlers, waiting and batches.
 * test_library_calls.c has the other calls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handles.h"
#include "recorder.h"

static int open_and_fail(const char *path)
{
	toytimer *t = (toytimer *)&d;
	int r = toytimer_open(&t, path);

	assert_ptr_equal(t, &d);
	return r;
}

static void test_open_says_why_it_fails(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char path[200];

	(void)state;
	assert_int_equal(open_and_fail("/nonexistent/socket"), -ECONNREFUSED);
	assert_int_equal(open_and_fail(d.log), -ECONNREFUSED);
	assert_int_equal(open_and_fail(""), -EINVAL);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(open_and_fail(path), -EINVAL);
	assert_int_equal(toytimer_open(NULL, daemon_socket(&d)), -EINVAL);

	/* A socket of another type. */
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/stream", d.directory);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(open_and_fail(address.sun_path), -EPROTO);
	unlink(address.sun_path);
	close(fd);
}

/* At the socket of the system, which may have a daemon or not. */
static int try_system(void)
{
	toytimer *t = NULL;
	int r = toytimer_open(&t, NULL);

	toytimer_unref(t);
	return r;
}

static void test_open_follows_the_environment(void **state)
{
	toytimer *t;
	int r;

	(void)state;
	setenv("TIMERD_SOCKET", daemon_socket(&d), 1);
	assert_int_equal(toytimer_open(&t, NULL), 0);
	toytimer_unref(t);
	setenv("TIMERD_SOCKET", "/nonexistent/socket", 1);
	assert_int_equal(open_and_fail(NULL), -ECONNREFUSED);
	/* Empty is as good as unset. */
	setenv("TIMERD_SOCKET", "", 1);
	r = try_system();
	unsetenv("TIMERD_SOCKET");
	assert_int_equal(r, try_system());
}

static void test_a_one_shot_wakes_once(void **state)
{
	uint64_t timer, id, due, before = toytimer_now(TOYTIMER_MONOTONIC);
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 30 * MS);
	toytimer *t = open_handle();

	(void)state;
	assert_int_equal(toytimer_register(t, &r, &timer), 0);
	assert_int_not_equal(timer, 0);
	assert_int_equal(toytimer_count(t), 1);
	assert_int_equal(toytimer_get_timer(t, timer, &id, &due), 0);
	assert_int_not_equal(id, 0);
	assert_true(due >= before + 30 * MS);
	assert_int_equal(toytimer_run(t), 0);

	assert_int_equal(recorder.n, 1);
	assert_int_equal(recorder.events[0].type, TOYTIMER_WOKEN);
	assert_int_equal(recorder.events[0].timer, timer);
	assert_int_equal(recorder.events[0].id, id);
	assert_int_equal(recorder.events[0].due, due);
	assert_int_equal(recorder.events[0].overruns, 0);
	assert_true(recorder.events[0].last);
	assert_int_equal(toytimer_count(t), 0);
	assert_int_equal(toytimer_get_timer(t, timer, NULL, NULL), -ENOENT);
	recorder_clear(&recorder);
	toytimer_unref(t);
}

static void test_a_series_keeps_its_phase(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 20 * MS);
	toytimer *t = open_handle();
	uint64_t timer, first;

	(void)state;
	r.every = 30 * MS;
	r.count = 4;
	assert_int_equal(toytimer_register(t, &r, &timer), 0);
	assert_int_equal(toytimer_run(t), 0);
	assert_int_equal(recorder.n, 4);
	first = recorder.events[0].due;
	for (size_t i = 0, period = 0; i < 4; i++) {
		assert_int_equal(recorder.events[i].due, first + period * r.every);
		assert_int_equal(recorder.events[i].last, i == 3);
		period += 1 + (size_t)recorder.events[i].overruns;
	}
	recorder_clear(&recorder);
	toytimer_unref(t);
}

static void test_every_clock_wakes(void **state)
{
	struct recorder recorder = {0};
	toytimer *t = open_handle();

	(void)state;
	for (int clock = 0; clock < 3; clock++) {
		toytimer_registration r = recorder_after(&recorder, 5 * MS);

		r.clock = recorder.clock = (enum toytimer_clock)clock;
		assert_int_equal(toytimer_register(t, &r, NULL), 0);
		assert_int_equal(toytimer_run(t), 0);
		assert_int_equal(recorder.n, clock + 1);
		assert_true(toytimer_now(r.clock) >= recorder.events[clock].due);

		/* The same due as an instant; then an instant that has passed. */
		r.flags = 0;
		r.due = toytimer_now(r.clock) + 5 * MS;
		assert_int_equal(toytimer_register(t, &r, NULL), 0);
		r.due = 0;
		assert_int_equal(toytimer_register(t, &r, NULL), 0);
		assert_int_equal(toytimer_run(t), 0);
		assert_int_equal(recorder.n, clock + 3);
		assert_true(!recorder.events[clock + 1].due || !recorder.events[clock + 2].due);
		recorder.n = (size_t)clock + 1;
	}
	assert_int_equal(toytimer_now((enum toytimer_clock)3), 0);
	recorder_clear(&recorder);
	toytimer_unref(t);
}

static void test_invalid_registrations_are_refused(void **state)
{
	static const struct {
		toytimer_registration r;
		int error;
	} table[] = {
		{{.clock = (enum toytimer_clock)3}, -EINVAL},
		{{.clock = (enum toytimer_clock) - 1}, -EINVAL},
		{{.flags = 1 << 2}, -EINVAL},
		{{.count = 2}, -EINVAL},
		{{.label = "a label that is too long!"}, -EINVAL},
		{{.label = "a\tlabel"}, -EINVAL},
		{{.label = "\xff"}, -EINVAL},
		{{.due = TOYTIMER_FOREVER}, -ERANGE},
		{{.due = TOYTIMER_FOREVER, .flags = TOYTIMER_RELATIVE}, -ERANGE},
		{{.due = TOYTIMER_FOREVER - 1, .flags = TOYTIMER_RELATIVE}, -ERANGE},
		{{.flags = TOYTIMER_WAKE_SYSTEM}, -EOPNOTSUPP},
	};
	uint64_t timer = 42;
	toytimer *t = open_handle();

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(toytimer_get_status(NULL, NULL), -EINVAL);
		assert_int_equal(toytimer_register(t, &table[i].r, &timer), table[i].error);
		if (table[i].error == -ERANGE)
			assert_non_null(strstr(toytimer_get_error(), "registration.due:"));
		assert_int_equal(toytimer_register_async(t, &table[i].r, &timer), table[i].error);
	}
	assert_int_equal(timer, 42);
	assert_int_equal(toytimer_register(t, NULL, &timer), -EINVAL);
	assert_int_equal(toytimer_register(NULL, &table[0].r, &timer), -EINVAL);
	assert_string_equal(toytimer_get_error(), "handle: NULL");
	assert_int_equal(toytimer_count(t), 0);
	toytimer_unref(t);
}

/*
 * There is one event for each timer, in order of due, and of registration where dues are equal.
 */
static void test_a_batch_wakes_in_order(void **state)
{
	enum { N = 10000 };
	struct recorder recorder = {0};
	toytimer_registration *r = calloc(N, sizeof(*r));
	uint64_t *timers = calloc(N, sizeof(*timers)), base;
	int *errors = calloc(N, sizeof(*errors));
	toytimer *t = open_handle();

	(void)state;
	/* All timers must be registered before the first due, also on a busy machine and under a
	 * sanitizer. */
	base = toytimer_now(TOYTIMER_MONOTONIC) + 2000 * MS;
	for (size_t i = 0; i < N; i++) {
		r[i] = recorder_after(&recorder, base + i * 7919 % 50 * MS);
		r[i].flags = 0;
	}
	r[5000].count = 2;
	assert_int_equal(toytimer_register_many(t, r, N, timers, errors), N - 1);
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(errors[i], i == 5000 ? -EINVAL : 0);
		assert_int_equal(timers[i] == 0, i == 5000);
	}
	recorder_await(&recorder, t, N - 1);
	for (size_t i = 1; i < N - 1; i++) {
		const toytimer_event *a = &recorder.events[i - 1], *b = &recorder.events[i];

		assert_true(a->due <= b->due);
		/* A new handle uses its slots in order, and the names contain the slots. */
		if (a->due == b->due)
			assert_true(a->timer < b->timer);
	}
	recorder_clear(&recorder);
	toytimer_unref(t);
	free(errors);
	free(timers);
	free(r);
}

/* There are far more requests in flight than the sockets hold, while wakes come. Neither side
 * waits for the other. */
static void test_full_sockets_do_not_deadlock(void **state)
{
	enum { N = 200000 };
	struct recorder recorder = {0};
	toytimer_registration *r = calloc(N, sizeof(*r));
	toytimer *t = open_handle();

	(void)state;
	for (size_t i = 0; i < N; i++)
		r[i] = recorder_after(&recorder, 0);
	assert_int_equal(toytimer_register_many(t, r, N, NULL, NULL), N);
	for (size_t i = 0; i < N / 2; i++)
		assert_int_equal(toytimer_register_async(t, &r[i], NULL), 0);
	recorder_await(&recorder, t, N + N / 2);
	assert_int_equal(toytimer_count(t), 0);
	assert_int_equal(toytimer_process(t), 0);
	recorder_clear(&recorder);
	toytimer_unref(t);
	free(r);
}

struct chain {
	struct recorder recorder;
	uint64_t victim;
	int left;
	int in_handler[4];
};

/* A handler that makes blocking calls: it registers, re-arms and cancels. */
static int chain_woken(toytimer *t, const toytimer_event *event, void *userdata)
{
	struct chain *chain = userdata;
	toytimer_registration r = recorder_after(&chain->recorder, 3600 * S);
	toytimer_event other;
	uint64_t timer;

	recorder_note(t, event, &chain->recorder);
	assert_int_equal(toytimer_register(t, &r, &timer), 0);
	assert_int_equal(toytimer_rearm(t, timer, &r), 0);
	assert_int_equal(toytimer_cancel(t, timer), 0);
	if (chain->left-- > 0) {
		r.due = MS;
		r.handler = chain_woken;
		r.userdata = chain;
		assert_int_equal(toytimer_register_async(t, &r, NULL), 0);
		return 0;
	}
	chain->in_handler[0] = toytimer_process(t);
	chain->in_handler[1] = toytimer_run(t);
	chain->in_handler[2] = toytimer_cancel(t, event->timer);
	chain->in_handler[3] = toytimer_take_events(t, &other, NULL, 1);
	assert_int_equal(toytimer_cancel(t, chain->victim), 0);
	return 7; /* any value that is not negative means nothing to toytimer_run() */
}

static void test_a_handler_may_call_the_library(void **state)
{
	struct chain chain = {.left = 5};
	toytimer_registration r = recorder_after(&chain.recorder, 3600 * S);
	toytimer *t = open_handle();

	(void)state;
	assert_int_equal(toytimer_register(t, &r, &chain.victim), 0);
	r.due = MS;
	r.handler = chain_woken;
	r.userdata = &chain;
	assert_int_equal(toytimer_register(t, &r, NULL), 0);
	assert_int_equal(toytimer_run(t), 0);
	assert_int_equal(chain.recorder.n, 6);
	assert_int_equal(chain.in_handler[0], -EBUSY);
	assert_int_equal(chain.in_handler[1], -EBUSY);
	assert_int_equal(chain.in_handler[2], -ENOENT);
	assert_int_equal(chain.in_handler[3], -EBUSY);
	assert_int_equal(toytimer_count(t), 0);
	recorder_clear(&chain.recorder);
	toytimer_unref(t);
}

static int refuse(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t, (void)event, (void)userdata;
	return -EXDEV;
}

/* process() and run() return it after the event is finished. */
static void test_a_negative_return_of_a_handler_goes_to_the_caller(void **state)
{
	toytimer_registration r = {.due = 0, .handler = refuse};
	toytimer *t = open_handle();

	(void)state;
	assert_int_equal(toytimer_register(t, &r, NULL), 0);
	assert_int_equal(toytimer_run(t), -EXDEV);
	assert_int_equal(toytimer_run(t), 0);
	assert_int_equal(toytimer_register(t, &r, NULL), 0);
	for (int result = 0; result == 0;) {
		result = toytimer_process(t);
		assert_true(result == 0 || result == -EXDEV);
	}
	/* Without a handler the event is dropped, and run() still sees that the timer has ended. */
	r.handler = NULL;
	assert_int_equal(toytimer_register(t, &r, NULL), 0);
	assert_int_equal(toytimer_run(t), 0);
	assert_int_equal(toytimer_count(t), 0);
	toytimer_unref(t);
}

/* The due of the last period that the last event stands for. */
static uint64_t covered(const struct recorder *recorder, uint64_t every)
{
	const toytimer_event *last = &recorder->events[recorder->n - 1];

	return last->due + last->overruns * every;
}

/* The program calls process() late, but its blocking calls receive. No period is lost or counted
 * twice, and the queue does not grow with time. */
static void test_a_slow_program_loses_no_period(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, MS);
	uint64_t timer, until;
	toytimer_status status;
	toytimer *t = open_handle();

	(void)state;
	r.every = 20;
	assert_int_equal(toytimer_register(t, &r, &timer), 0);
	until = toytimer_now(TOYTIMER_MONOTONIC) + 500 * MS;
	while (toytimer_now(TOYTIMER_MONOTONIC) < until)
		assert_int_equal(toytimer_get_status(t, &status), 0);
	usleep(200 * 1000);
	while (!recorder.n || covered(&recorder, r.every) < until)
		recorder_await(&recorder, t, recorder.n + 1);
	assert_int_equal(toytimer_cancel(t, timer), 0);
	for (size_t i = 1; i < recorder.n; i++)
		assert_int_equal(recorder.events[i].due,
			recorder.events[i - 1].due +
				(1 + recorder.events[i - 1].overruns) * r.every);
	/* There are fewer events than periods, because the library merges events when thousands
	 * wait. */
	assert_true(recorder.n < recorder_periods(&recorder));
	recorder_clear(&recorder);
	toytimer_unref(t);
}

static void no_action(int signal)
{
	(void)signal;
}

static void test_wait_and_the_descriptor_agree(void **state)
{
	struct itimerval alarm = {.it_value.tv_usec = 50000};
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 20 * MS);
	toytimer *t = open_handle();
	struct pollfd fd = {.fd = toytimer_get_fd(t), .events = (short)toytimer_get_events(t)};

	(void)state;
	assert_int_equal(toytimer_wait(t, 0), 0);
	assert_int_equal(toytimer_wait(t, 10 * MS), 0);
	assert_int_equal(poll(&fd, 1, 0), 0);

	/* A loop that only polls the descriptor gets the wake of a registration that was not sent
	 * yet. */
	assert_int_equal(toytimer_register_async(t, &r, NULL), 0);
	while (recorder.n == 0) {
		assert_int_equal(poll(&fd, 1, 10000), 1);
		assert_true(toytimer_process(t) >= 0);
	}
	while (toytimer_process(t) == 1)
		;
	assert_int_equal(poll(&fd, 1, 0), 0);

	sigaction(SIGALRM, &(struct sigaction){.sa_handler = no_action}, NULL);
	setitimer(ITIMER_REAL, &alarm, NULL);
	assert_int_equal(toytimer_wait(t, TOYTIMER_FOREVER), -EINTR);
	recorder_clear(&recorder);
	toytimer_unref(t);
}

static int list_nothing(const toytimer_listed *listed, void *userdata)
{
	(void)listed, (void)userdata;
	return -EPROTO;
}

static int child_main(toytimer *t)
{
	toytimer_registration r = {.due = 1};
	toytimer_status status;
	uint64_t timer = 0;
	int errors = 0;

	errors += toytimer_register(t, &r, &timer) != -ECHILD;
	errors += toytimer_register_async(t, &r, &timer) != -ECHILD;
	errors += toytimer_process(t) != -ECHILD;
	errors += toytimer_wait(t, 0) != -ECHILD;
	errors += toytimer_run(t) != -ECHILD;
	errors += toytimer_cancel(t, 1) != -ECHILD;
	errors += toytimer_flush(t) != -ECHILD;
	errors += toytimer_get_fd(t) != -ECHILD;
	errors += toytimer_get_events(t) != -ECHILD;
	errors += toytimer_get_timer(t, 1, NULL, NULL) != -ECHILD;
	errors += toytimer_rearm(t, 1, &r) != -ECHILD;
	errors += toytimer_list(t, 0, list_nothing, NULL) != -ECHILD;
	errors += toytimer_get_reconnects(t) != 0;
	errors += toytimer_get_status(t, &status) != -ECHILD;
	errors += toytimer_count(t) != 0;
	toytimer_unref(t);
	return errors;
}

static void test_a_forked_child_cannot_use_the_handle(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 100 * MS);
	toytimer *t = open_handle();
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(toytimer_register(t, &r, NULL), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		exit(child_main(t));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(toytimer_run(t), 0);
	assert_int_equal(recorder.n, 1);
	assert_int_equal(toytimer_get_reconnects(t), 0);
	recorder_clear(&recorder);
	toytimer_unref(t);
}

static void test_handles_leave_no_descriptor(void **state)
{
	int here = daemon_count_fds(0), there = daemon_count_fds(d.pid);
	toytimer_registration r = {.due = 3600 * S, .flags = TOYTIMER_RELATIVE, .label = "leak"};

	(void)state;
	for (int i = 0; i < 100; i++) {
		toytimer *t = open_handle();

		assert_int_equal(toytimer_register(t, &r, NULL), 0);
		assert_ptr_equal(toytimer_ref(t), t);
		assert_null(toytimer_unref(t));
		assert_null(toytimer_unref(t));
		assert_int_equal(open_and_fail("/nonexistent"), -ECONNREFUSED);
	}
	assert_null(toytimer_ref(NULL));
	assert_null(toytimer_unref(NULL));
	assert_int_equal(daemon_count_fds(0), here);
	for (int i = 0; daemon_count_fds(d.pid) > there; i++) {
		assert_true(i < 1000);
		usleep(10000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_says_why_it_fails),
		cmocka_unit_test(test_open_follows_the_environment),
		cmocka_unit_test(test_a_one_shot_wakes_once),
		cmocka_unit_test(test_a_series_keeps_its_phase),
		cmocka_unit_test(test_every_clock_wakes),
		cmocka_unit_test(test_invalid_registrations_are_refused),
		cmocka_unit_test(test_a_batch_wakes_in_order),
		cmocka_unit_test(test_full_sockets_do_not_deadlock),
		cmocka_unit_test(test_a_handler_may_call_the_library),
		cmocka_unit_test(test_a_negative_return_of_a_handler_goes_to_the_caller),
		cmocka_unit_test(test_a_slow_program_loses_no_period),
		cmocka_unit_test(test_wait_and_the_descriptor_agree),
		cmocka_unit_test(test_a_forked_child_cannot_use_the_handle),
		cmocka_unit_test(test_handles_leave_no_descriptor),
	};

	return cmocka_run_group_tests(tests, start_large_daemon, stop_daemon);
}
