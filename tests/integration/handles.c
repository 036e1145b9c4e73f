/* SPDX-License-Identifier: MIT */
/* One daemon serves all tests of a program. A test releases only its own handles and timers. */
#include "handles.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>

#include "recorder.h"

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

uint64_t add_timer(toytimer *t, uint64_t span, toytimer_handler handler, void *userdata)
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

int ignore_event(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t;
	(void)event;
	(void)userdata;
	return 0;
}

void check_usable(toytimer *t)
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

uint64_t daemon_timers(toytimer *t)
{
	toytimer_status status;

	assert_int_equal(toytimer_get_status(t, &status), 0);
	return status.timers;
}
