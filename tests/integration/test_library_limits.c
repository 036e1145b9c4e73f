/* SPDX-License-Identifier: MIT */
/*
 * libtoytimer against the real daemon: each limit at its boundary and one over it, with the error
 * that names it. Only the totals bind root, so another user tries the limits per user, in a
 * process that ends with a line about the first check that failed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handles.h"
#include "recorder.h"

#define OTHER_UID 54321 /* that nobody has */

#define CHECK(condition)                       \
	do {                                   \
		if (!(condition))              \
			_exit(__LINE__ % 256); \
	} while (0)

/* Runs it in a process of its own, as another user if we are root. */
static void as_another(void (*what)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (geteuid() == 0)
			CHECK(setgid(OTHER_UID) == 0 && setuid(OTHER_UID) == 0);
		what();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status)
		print_error("the other user's process: status %#x, line %d\n", (unsigned int)status,
			WEXITSTATUS(status));
	assert_int_equal(status, 0);
}

static void test_too_many_timers_in_all(void **state)
{
	toytimer_registration r[12];
	uint64_t timers[12], timer;
	int errors[12];
	toytimer *t;

	(void)state;
	daemon_start(&d, "--max-timers", "10", NULL);
	t = open_handle();
	for (int i = 0; i < 12; i++)
		r[i] = (toytimer_registration){.due = 3600 * S, .flags = TOYTIMER_RELATIVE};
	assert_int_equal(toytimer_register_many(t, r, 12, timers, errors), 10);
	for (int i = 0; i < 12; i++) {
		assert_int_equal(errors[i], i < 10 ? 0 : -ENOSPC);
		assert_int_equal(timers[i] == 0, i >= 10);
	}
	assert_int_equal(toytimer_count(t), 10);
	assert_int_equal(toytimer_register(t, &r[0], NULL), -ENOSPC);
	assert_int_equal(toytimer_cancel(t, timers[0]), 0);
	assert_int_equal(toytimer_register(t, &r[0], &timer), 0);
	toytimer_unref(t);
}

static void test_a_refusal_is_an_event(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 3600 * S);
	uint64_t timers[2];
	toytimer *t;

	(void)state;
	daemon_start(&d, "--max-timers", "1", NULL);
	t = open_handle();
	assert_int_equal(toytimer_register_async(t, &r, &timers[0]), 0);
	assert_int_equal(toytimer_register_async(t, &r, &timers[1]), 0);
	recorder_await(&recorder, t, 1);
	assert_int_equal(recorder.events[0].type, TOYTIMER_REFUSED);
	assert_int_equal(recorder.events[0].error, -ENOSPC);
	assert_int_equal(recorder.events[0].timer, timers[1]);
	assert_int_equal(recorder.events[0].id, 0);
	assert_true(recorder.events[0].last);
	assert_int_equal(toytimer_count(t), 1);
	recorder_clear(&recorder);
	toytimer_unref(t);
}

static void test_too_many_clients_in_all(void **state)
{
	toytimer *t[2], *none = NULL;

	(void)state;
	daemon_start(&d, "--max-clients", "2", NULL);
	t[0] = open_handle();
	t[1] = open_handle();
	assert_int_equal(toytimer_open(&none, daemon_socket(&d)), -ENFILE);
	assert_null(none);
	toytimer_unref(t[0]);
	/* The daemon may take a moment to see it. */
	for (int i = 0; toytimer_open(&t[0], daemon_socket(&d)) < 0; i++) {
		assert_true(i < 1000);
		usleep(10000);
	}
	toytimer_unref(t[0]);
	toytimer_unref(t[1]);
}

static void timers_of_a_user(void)
{
	toytimer_registration r = {.due = 3600 * S, .flags = TOYTIMER_RELATIVE};
	toytimer *t;
	uint64_t timer;

	CHECK(toytimer_open(&t, daemon_socket(&d)) == 0);
	for (int i = 0; i < 5; i++)
		CHECK(toytimer_register(t, &r, &timer) == 0);
	CHECK(toytimer_register(t, &r, NULL) == -EDQUOT);
	CHECK(toytimer_cancel(t, timer) == 0);
	CHECK(toytimer_register(t, &r, NULL) == 0);
	CHECK(toytimer_register(t, &r, NULL) == -EDQUOT);
	toytimer_unref(t);
}

static void test_too_many_timers_of_a_user(void **state)
{
	(void)state;
	daemon_start(&d, "--max-timers-per-user", "5", NULL);
	as_another(timers_of_a_user);
}

static void clients_of_a_user(void)
{
	toytimer *t[3];

	for (int i = 0; i < 3; i++)
		CHECK(toytimer_open(&t[i], daemon_socket(&d)) == (i < 2 ? 0 : -EUSERS));
	toytimer_unref(t[0]);
	toytimer_unref(t[1]);
}

static void test_too_many_clients_of_a_user(void **state)
{
	(void)state;
	daemon_start(&d, "--max-clients-per-user", "2", NULL);
	as_another(clients_of_a_user);
}

static uint64_t foreign_id;

static int never(const toytimer_listed *listed, void *userdata)
{
	(void)listed, (void)userdata;
	return 1;
}

static void foreign_timers(void)
{
	toytimer *t;

	CHECK(toytimer_open(&t, daemon_socket(&d)) == 0);
	CHECK(toytimer_list(t, 0, never, NULL) == 0);
	CHECK(toytimer_list(t, TOYTIMER_LIST_ALL, never, NULL) == -EACCES);
	CHECK(toytimer_cancel_id(t, foreign_id) == -ENOENT);
	toytimer_unref(t);
}

static void test_foreign_timers_look_unknown(void **state)
{
	toytimer_registration r = {.due = 3600 * S, .flags = TOYTIMER_RELATIVE};
	toytimer *t;
	uint64_t timer;

	(void)state;
	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
	daemon_start(&d, NULL);
	t = open_handle();
	assert_int_equal(toytimer_register(t, &r, &timer), 0);
	assert_int_equal(toytimer_get_timer(t, timer, &foreign_id, NULL), 0);
	as_another(foreign_timers);
	assert_int_equal(toytimer_cancel(t, timer), 0);
	toytimer_unref(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_too_many_timers_in_all, clean_daemon),
		cmocka_unit_test_teardown(test_a_refusal_is_an_event, clean_daemon),
		cmocka_unit_test_teardown(test_too_many_clients_in_all, clean_daemon),
		cmocka_unit_test_teardown(test_too_many_timers_of_a_user, clean_daemon),
		cmocka_unit_test_teardown(test_too_many_clients_of_a_user, clean_daemon),
		cmocka_unit_test_teardown(test_foreign_timers_look_unknown, clean_daemon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
