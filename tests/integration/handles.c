/* SPDX-License-Identifier: MIT */
/* One daemon for all tests of a program: a test takes only its own handles and timers away. */
#include "handles.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <signal.h>

struct test_daemon d;

int start_daemon(void **state)
{
	(void)state;
	daemon_start(&d, NULL);
	return 0;
}

int start_large_daemon(void **state)
{
	(void)state;
	daemon_start(&d, "--max-timers", "400000", "--max-timers-per-user", "400000", NULL);
	return 0;
}

int stop_daemon(void **state)
{
	(void)state;
	if (d.pid > 0)
		kill(d.pid, SIGCONT);
	assert_int_equal(daemon_stop(&d), 0);
	daemon_clean(&d);
	return 0;
}

int clean_daemon(void **state)
{
	(void)state;
	daemon_clean(&d);
	return 0;
}

toytimer *open_handle(void)
{
	toytimer *t = NULL;

	assert_int_equal(toytimer_open(&t, daemon_socket(&d)), 0);
	assert_non_null(t);
	return t;
}

uint64_t register_one(toytimer *t, const toytimer_registration *r)
{
	uint64_t timer;

	assert_int_equal(toytimer_register(t, r, &timer), 0);
	return timer;
}

uint64_t daemon_timers(toytimer *t)
{
	toytimer_status status;

	assert_int_equal(toytimer_get_status(t, &status), 0);
	return status.timers;
}
