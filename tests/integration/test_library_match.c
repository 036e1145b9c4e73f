/* SPDX-License-Identifier: MIT */
/*
 * Timers by user and label, the daemon of the user, and the sentence about -EINVAL; against the
 * real daemon.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "handles.h"
#include "recorder.h"
#include "toytimer-queue.h"

/* More than two pages of a listing, and more than one packet of a cancel request. */
#define MANY 5000

static void add(toytimer *t, struct recorder *recorder, const char *label, size_t n)
{
	toytimer_registration r = recorder_after(recorder, 3600 * S);

	r.label = label;
	for (size_t i = 0; i < n; i++)
		assert_int_equal(toytimer_register_async(t, &r, NULL), 0);
}

static int count(const toytimer_listed *listed, void *userdata)
{
	(void)listed;
	++*(size_t *)userdata;
	return 0;
}

static size_t matching(toytimer *t, const toytimer_match *m)
{
	size_t n = 0;

	assert_int_equal(toytimer_list_matching(t, m, count, &n), 0);
	return n;
}

static void test_labels_match_exactly(void **state)
{
	struct recorder own = {0}, others = {0};
	toytimer *t = open_handle(), *other = open_handle();
	toytimer_match tea = {.label = "tea"}, none = {.label = ""};
	uint64_t n = 0;

	(void)state;
	add(t, &own, "tea", 2);
	add(t, &own, NULL, 1);
	add(t, &own, "tea time", 1);
	add(other, &others, "tea", 1);
	/* The handle first sends its own registrations. */
	assert_int_equal(matching(other, &tea), 1);
	assert_int_equal(matching(t, &tea), 3);
	assert_int_equal(matching(t, &none), 1);
	assert_int_equal(matching(t, NULL), 5);

	assert_int_equal(toytimer_cancel_matching(t, &tea, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(toytimer_count(t), 2);
	recorder_await(&others, other, 1);
	assert_int_equal(others.events[0].type, TOYTIMER_CANCELLED);
	assert_int_equal(toytimer_cancel_matching(t, &tea, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(toytimer_cancel_matching(t, NULL, NULL), 0);
	assert_int_equal(toytimer_count(t), 0);
	assert_int_equal(toytimer_run(t), 0);
	assert_int_equal(own.n, 0);
	recorder_clear(&own);
	recorder_clear(&others);
	toytimer_unref(other);
	toytimer_unref(t);
}

static void test_many_timers_match_in_pieces(void **state)
{
	struct recorder recorder = {0};
	toytimer *t = open_handle(), *other = open_handle();
	uint64_t n = 0;

	(void)state;
	add(t, &recorder, "many", MANY);
	assert_int_equal(matching(t, NULL), MANY);
	assert_int_equal(toytimer_cancel_matching(other, NULL, &n), 0);
	assert_int_equal(n, MANY);
	recorder_await(&recorder, t, MANY);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(recorder.events[i].type, TOYTIMER_CANCELLED);
	recorder_clear(&recorder);
	toytimer_unref(other);
	toytimer_unref(t);
}

/* The last wake has arrived and no handler has run. */
static void test_a_timer_with_a_queued_last_wake_is_cancelled(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 0);
	toytimer_status status;
	toytimer *t = open_handle();
	uint64_t n = 0;

	(void)state;
	r.label = "ended";
	assert_int_equal(toytimer_register(t, &r, NULL), 0);
	do
		assert_int_equal(toytimer_get_status(t, &status), 0);
	while (status.timers);
	assert_int_equal(toytimer_cancel_matching(t, &(toytimer_match){.label = "end"}, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(toytimer_cancel_matching(t, &(toytimer_match){.label = "ended"}, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(toytimer_run(t), 0);
	assert_int_equal(recorder.n, 0);
	toytimer_unref(t);
}

static void test_only_root_may_match_other_users(void **state)
{
	toytimer_match other = {.flags = TOYTIMER_MATCH_USER, .uid = 4321};
	toytimer_match everybody = {.flags = TOYTIMER_MATCH_EVERYBODY};
	int expected = geteuid() == 0 ? 0 : -EACCES;
	toytimer *t = open_handle();
	size_t n = 0;

	(void)state;
	assert_int_equal(toytimer_list_matching(t, &other, count, &n), expected);
	assert_int_equal(toytimer_list_matching(t, &everybody, count, &n), expected);
	assert_int_equal(toytimer_cancel_matching(t, &other, NULL), expected);
	other.uid = geteuid();
	assert_int_equal(toytimer_list_matching(t, &other, count, &n), 0);
	assert_int_equal(n, 0);
	toytimer_unref(t);
}

static int invalid(int r, const char *member)
{
	assert_int_equal(r, -EINVAL);
	assert_non_null(strstr(toytimer_get_error(), member));
	return 0;
}

static void test_the_error_names_the_invalid_member(void **state)
{
	toytimer_registration r = {.due = 1}, bad;
	toytimer_match m = {0};
	toytimer *t = open_handle();
	char long_path[120] = "/";
	toytimer_queue *q;
	uint64_t timer;

	(void)state;
	memset(long_path + 1, 'x', sizeof(long_path) - 2);
#define BAD(member, value) (bad = r, bad.member = (value), toytimer_register(t, &bad, NULL))
	invalid(BAD(clock, (enum toytimer_clock)3), "clock");
	invalid(BAD(flags, 1 << 8), "flags");
	invalid(BAD(flags, TOYTIMER_TELL_CLOCK_SET), "TOYTIMER_TELL_CLOCK_SET");
	invalid(BAD(count, 2), "count");
	invalid(BAD(reserved[1], 2), "reserved");
	invalid(BAD(label, "\n"), "label");
	invalid(BAD(label, "twenty-five bytes of this"), "24 bytes");
	invalid(toytimer_register(t, NULL, NULL), "r: NULL");
	assert_int_equal(
		toytimer_register(t, &(toytimer_registration){.due = UINT64_MAX - 1}, &timer), 0);
	bad = r;
	bad.count = 2;
	invalid(toytimer_rearm(t, timer, &bad), "count");
	invalid(toytimer_list(t, 2, count, NULL), "flags");
	invalid(toytimer_list(t, 0, NULL, NULL), "handler");
	m.uid = 7;
	invalid(toytimer_cancel_matching(t, &m, NULL), "uid");
	m = (toytimer_match){.label = "\x1b"};
	invalid(toytimer_cancel_matching(t, &m, NULL), "label");
	toytimer_unref(t);

	invalid(toytimer_open(&t, ""), "path");
	invalid(toytimer_cancel(NULL, 1), "handle");
	invalid(toytimer_open(&t, long_path), "path");
	invalid(toytimer_get_fd(NULL), "handle");
	invalid(toytimer_queue_open(&q, long_path, 0), "path");
	invalid(toytimer_queue_detach(NULL, "jobs"), "handle");
}

/* Puts the daemon's socket at the path of a user's daemon. */
static void test_open_user_finds_the_users_daemon(void **state)
{
	char directory[128];
	toytimer *t = NULL;

	(void)state;
	unsetenv("XDG_RUNTIME_DIR");
	assert_int_equal(toytimer_open_user(&t), -ENOMEDIUM);
	snprintf(directory, sizeof(directory), "%s/run", d.directory);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", directory, 1), 0);
	assert_int_equal(toytimer_open_user(&t), -ECONNREFUSED);
	unsetenv("XDG_RUNTIME_DIR");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labels_match_exactly),
		cmocka_unit_test(test_many_timers_match_in_pieces),
		cmocka_unit_test(test_a_timer_with_a_queued_last_wake_is_cancelled),
		cmocka_unit_test(test_only_root_may_match_other_users),
		cmocka_unit_test(test_the_error_names_the_invalid_member),
		cmocka_unit_test(test_open_user_finds_the_users_daemon),
	};

	return cmocka_run_group_tests(tests, start_daemon, stop_daemon);
}
