/* SPDX-License-Identifier: MIT */
/*
 * libtoytimer against the real daemon: cancelling and its races, re-arming, listing, status, and a
 * daemon that does not answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "handles.h"
#include "recorder.h"

/* At most this much is left of an hour. The daemon counts from the start of its turn, which on a
 * busy machine can be earlier than the client's call. */
#define HOUR_LEFT_MAX (3660 * S)

/* Receives wakes without running handlers: blocking calls receive, but do not process. */
static void receive_for(toytimer *t, uint64_t span)
{
	uint64_t until = toytimer_now(TOYTIMER_MONOTONIC) + span;

	while (toytimer_now(TOYTIMER_MONOTONIC) < until)
		daemon_timers(t);
}

static void test_a_cancelled_timer_does_not_wake(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 3600 * S);
	toytimer *t = open_handle();
	uint64_t timer = register_one(t, &r);

	(void)state;
	assert_int_equal(daemon_timers(t), 1);
	assert_int_equal(toytimer_cancel(t, timer), 0);
	assert_int_equal(daemon_timers(t), 0);
	assert_int_equal(toytimer_cancel(t, timer), -ENOENT);
	assert_int_equal(toytimer_cancel(t, 0), -ENOENT);
	assert_int_equal(toytimer_cancel(t, UINT64_MAX), -ENOENT);
	/* The old name must not mean the new timer in the same slot. */
	assert_int_not_equal(register_one(t, &r), timer);
	assert_int_equal(toytimer_cancel(t, timer), -ENOENT);
	assert_int_equal(toytimer_count(t), 1);
	assert_int_equal(toytimer_run(NULL), -EINVAL);
	toytimer_unref(t);
	recorder_clear(&recorder);
}

/* The wake has arrived and no handler has run. It may be the last wake or not. */
static void test_a_received_wake_of_a_cancelled_timer_is_dropped(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 0);
	toytimer *t = open_handle();
	uint64_t once, often, by_id, id;

	(void)state;
	once = register_one(t, &r);
	by_id = register_one(t, &r);
	assert_int_equal(toytimer_get_timer(t, by_id, &id, NULL), 0);
	r.every = 10 * MS;
	often = register_one(t, &r);
	receive_for(t, 50 * MS);
	assert_int_equal(toytimer_cancel(t, often), 0);
	assert_int_equal(toytimer_cancel(t, once), 0);
	assert_int_equal(toytimer_cancel(t, once), -ENOENT);
	assert_int_equal(toytimer_cancel_id(t, id), 0);
	assert_int_equal(toytimer_count(t), 0);
	assert_int_equal(toytimer_run(t), 0);
	assert_int_equal(recorder.n, 0);
	toytimer_unref(t);
	recorder_clear(&recorder);
}

/* Cancels race with wakes. Each timer wakes or is cancelled, never both and never neither. */
static void test_a_timer_wakes_or_is_cancelled(void **state)
{
	enum { N = 2000 };
	struct recorder recorder = {0};
	uint64_t timers[N];
	bool woken[N] = {0};
	int cancelled = 0, errors[N];
	toytimer *t = open_handle();

	(void)state;
	for (size_t i = 0; i < N; i++) {
		toytimer_registration r = recorder_after(&recorder, i * 5);

		assert_int_equal(toytimer_register_async(t, &r, &timers[i]), 0);
	}
	for (size_t i = 0; i < N; i += 100)
		cancelled += toytimer_cancel_many(t, timers + i, 100, errors + i);
	recorder_await(&recorder, t, (size_t)(N - cancelled));
	assert_int_equal(toytimer_count(t), 0);
	for (size_t i = 0; i < recorder.n; i++)
		for (size_t j = 0; j < N; j++)
			if (timers[j] == recorder.events[i].timer) {
				assert_false(woken[j]);
				woken[j] = true;
			}
	for (size_t i = 0; i < N; i++)
		assert_int_equal(errors[i], woken[i] ? -ENOENT : 0);
	assert_int_equal(daemon_timers(t), 0);
	toytimer_unref(t);
	recorder_clear(&recorder);
}

static void test_many_timers_are_cancelled_at_once(void **state)
{
	enum { N = 20000 };
	toytimer_registration *r = calloc(N, sizeof(*r));
	uint64_t *timers = calloc(N + 1, sizeof(*timers));
	int *errors = calloc(N + 1, sizeof(*errors));
	toytimer *t = open_handle();

	(void)state;
	for (size_t i = 0; i < N; i++)
		r[i] = (toytimer_registration){.due = 3600 * S, .flags = TOYTIMER_RELATIVE};
	assert_int_equal(toytimer_register_many(t, r, N, timers, NULL), N);
	timers[N] = timers[17]; /* a second time */
	assert_int_equal(toytimer_cancel_many(t, timers, N + 1, errors), N);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(errors[i], 0);
	assert_int_equal(errors[N], -ENOENT);
	assert_int_equal(daemon_timers(t), 0);
	assert_int_equal(toytimer_cancel_many(t, timers, N, NULL), 0);
	assert_int_equal(toytimer_register_many(t, r, 0, NULL, NULL), 0);
	assert_int_equal(toytimer_cancel_many(t, NULL, 0, NULL), 0);
	assert_int_equal(toytimer_cancel_many(t, NULL, 1, NULL), -EINVAL);
	assert_int_equal(toytimer_register_many(t, NULL, 1, NULL, NULL), -EINVAL);
	toytimer_unref(t);
	free(errors);
	free(timers);
	free(r);
}

/* A registration that is not sent or not answered yet is cancelled without a trace. */
static void test_an_unanswered_registration_can_be_cancelled(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 0);
	toytimer *t = open_handle();
	uint64_t timers[3];

	(void)state;
	assert_int_equal(toytimer_register_async(t, &r, &timers[0]), 0);
	assert_int_equal(toytimer_cancel(t, timers[0]), 0);
	r.due = 3600 * S;
	assert_int_equal(toytimer_register_async(t, &r, &timers[1]), 0);
	assert_int_equal(toytimer_register_async(t, &r, &timers[2]), 0);
	assert_int_equal(toytimer_flush(t), 0);
	assert_int_equal(toytimer_cancel_many(t, timers + 1, 2, NULL), 2);
	assert_int_equal(toytimer_count(t), 0);
	recorder_linger(t, 50 * MS);
	assert_int_equal(recorder.n, 0);
	assert_int_equal(daemon_timers(t), 0);
	toytimer_unref(t);
	recorder_clear(&recorder);
}

static void test_cancelling_by_id_tells_the_owner(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 3600 * S);
	toytimer *t = open_handle(), *other = open_handle();
	uint64_t timers[2], ids[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		timers[i] = register_one(t, &r);
		assert_int_equal(toytimer_get_timer(t, timers[i], &ids[i], NULL), 0);
	}
	/* The handle's own timer: no event, as with toytimer_cancel(). */
	assert_int_equal(toytimer_cancel_id(t, ids[0]), 0);
	assert_int_equal(toytimer_count(t), 1);
	assert_int_equal(toytimer_cancel_id(t, ids[0]), -ENOENT);
	/* A timer of another handle: that handle gets an event. */
	assert_int_equal(toytimer_cancel_id(other, ids[1]), 0);
	assert_int_equal(toytimer_cancel_id(other, ids[1]), -ENOENT);
	assert_int_equal(toytimer_cancel_id(other, 0), -ENOENT);
	assert_int_equal(toytimer_run(t), 0);
	assert_int_equal(recorder.n, 1);
	assert_int_equal(recorder.events[0].type, TOYTIMER_CANCELLED);
	assert_int_equal(recorder.events[0].timer, timers[1]);
	assert_int_equal(recorder.events[0].id, ids[1]);
	assert_true(recorder.events[0].last);
	assert_int_equal(toytimer_cancel(t, timers[1]), -ENOENT);
	toytimer_unref(other);
	toytimer_unref(t);
	recorder_clear(&recorder);
}

static void test_a_rearmed_timer_wakes_at_its_new_due(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 3600 * S);
	toytimer *t = open_handle();
	uint64_t timer = register_one(t, &r), id[2], due[2];

	(void)state;
	assert_int_equal(toytimer_get_timer(t, timer, &id[0], &due[0]), 0);
	r.due = 10 * MS;
	r.every = 10 * MS;
	r.count = 3;
	r.handler = NULL; /* unchanged */
	assert_int_equal(toytimer_rearm(t, timer, &r), 0);
	assert_int_equal(toytimer_get_timer(t, timer, &id[1], &due[1]), 0);
	assert_int_equal(id[0], id[1]);
	assert_true(due[1] < due[0]);
	recorder_await(&recorder, t, 2);
	/* In the middle of its count: another count from now on. */
	r.count = 2;
	assert_int_equal(toytimer_rearm(t, timer, &r), 0);
	assert_int_equal(toytimer_run(t), 0);
	assert_true(recorder.n >= 4);
	assert_true(recorder.events[recorder.n - 1].last);

	assert_int_equal(toytimer_rearm(t, timer, &r), -ENOENT);
	timer = register_one(t, &r);
	r.every = 0;
	assert_int_equal(toytimer_rearm(t, timer, &r), -EINVAL);
	r.count = 0;
	r.due = TOYTIMER_FOREVER;
	assert_int_equal(toytimer_rearm(t, timer, &r), -ERANGE);
	assert_int_equal(toytimer_rearm(t, timer, NULL), -EINVAL);
	/* The answer to one registration has not come, and the other one is not sent yet. */
	r.due = 0;
	assert_int_equal(toytimer_register_async(t, &r, &timer), 0);
	assert_int_equal(toytimer_rearm(t, timer, &r), 0);
	r.due = 3600 * S;
	assert_int_equal(toytimer_register_async(t, &r, &timer), 0);
	assert_int_equal(toytimer_flush(t), 0);
	assert_int_equal(toytimer_rearm(t, timer, &r), 0);
	assert_int_equal(toytimer_cancel(t, timer), 0);
	toytimer_unref(t);
	recorder_clear(&recorder);
}

struct listing {
	size_t n, labelled;
	toytimer_listed last;
	int stop;
};

static int note_listed(const toytimer_listed *listed, void *userdata)
{
	struct listing *listing = userdata;

	listing->n++;
	listing->labelled += strcmp(listed->label, "exactly 24 bytes long ..") == 0;
	listing->last = *listed;
	return listing->stop;
}

static void test_a_list_shows_what_was_registered(void **state)
{
	enum { N = 3000 }; /* of which a packet holds some 580 */
	toytimer_registration r = {
		.due = toytimer_now(TOYTIMER_REALTIME) + 3600 * S,
		.slack = 3 * S,
		.every = 7 * S,
		.count = 5,
		.clock = TOYTIMER_REALTIME,
		.label = "exactly 24 bytes long ..",
	};
	struct listing listing = {0};
	toytimer *t = open_handle();
	uint64_t timer, id;

	(void)state;
	for (size_t i = 0; i < N; i++)
		assert_int_equal(toytimer_register_async(t, &r, &timer), 0);
	/* Everything that was queued before is in the list. */
	assert_int_equal(toytimer_list(t, 0, note_listed, &listing), 0);
	assert_int_equal(listing.n, N);
	assert_int_equal(listing.labelled, N);
	assert_int_equal(listing.last.clock, TOYTIMER_REALTIME);
	assert_int_equal(listing.last.due, r.due);
	assert_int_equal(listing.last.slack, r.slack);
	assert_int_equal(listing.last.every, r.every);
	assert_int_equal(listing.last.count, r.count);
	assert_int_equal(listing.last.fired, 0);
	assert_int_equal(listing.last.uid, getuid());
	assert_int_equal(listing.last.pid, getpid());
	assert_true(listing.last.left > 0 && listing.last.left <= (int64_t)HOUR_LEFT_MAX);
	assert_int_equal(toytimer_get_timer(t, timer, &id, NULL), 0);
	assert_int_not_equal(id, 0);

	listing = (struct listing){.stop = 9};
	assert_int_equal(toytimer_list(t, 0, note_listed, &listing), 9);
	assert_int_equal(listing.n, 1);
	assert_int_equal(toytimer_list(t, 0, NULL, NULL), -EINVAL);
	assert_int_equal(toytimer_list(t, 2, note_listed, &listing), -EINVAL);
	assert_int_equal(toytimer_list(t, TOYTIMER_LIST_ALL, note_listed, &listing),
		geteuid() == 0 ? 9 : -EACCES);
	toytimer_unref(t);
}

static void test_status_counts_what_happened(void **state)
{
	toytimer_registration r = {.due = 3600 * S, .flags = TOYTIMER_RELATIVE};
	toytimer_status before, after;
	toytimer *t = open_handle();
	uint64_t timer;

	(void)state;
	assert_int_equal(toytimer_get_status(t, NULL), -EINVAL);
	assert_int_equal(toytimer_get_status(t, &before), 0);
	assert_int_equal(before.pid, d.pid);
	assert_int_equal(before.clients, 1);
	assert_true(strlen(before.version) > 0);
	timer = register_one(t, &r);
	assert_int_equal(toytimer_get_status(t, &after), 0);
	assert_int_equal(after.timers, before.timers + 1);
	assert_int_equal(after.registered, before.registered + 1);
	assert_true(after.uptime >= before.uptime);
	assert_true(after.next <= HOUR_LEFT_MAX);
	assert_int_equal(toytimer_cancel(t, timer), 0);
	assert_int_equal(toytimer_get_status(t, &after), 0);
	assert_int_equal(after.cancelled, before.cancelled + 1);
	toytimer_unref(t);
}

/* Processes until the daemon has that many timers. */
static void await_timers(toytimer *t, toytimer *other, uint64_t n)
{
	uint64_t until = toytimer_now(TOYTIMER_MONOTONIC) + 20 * S;

	while (daemon_timers(other) != n) {
		assert_true(toytimer_process(t) >= 0);
		assert_true(toytimer_now(TOYTIMER_MONOTONIC) < until);
	}
}

/* The daemon hangs: calls end in time. When the daemon is back, the library completes what they
 * began. */
static void test_calls_to_a_stopped_daemon_time_out(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 3600 * S);
	toytimer *t = open_handle(), *other = open_handle();
	uint64_t timers[3], timer = 42, start_us;
	toytimer_status status;

	(void)state;
	for (int i = 0; i < 3; i++)
		timers[i] = register_one(t, &r);
	assert_int_equal(toytimer_set_timeout(t, 20 * MS), 0);
	kill(d.pid, SIGSTOP);
	start_us = toytimer_now(TOYTIMER_MONOTONIC);
	assert_int_equal(toytimer_get_status(t, &status), -ETIMEDOUT);
	assert_true(toytimer_now(TOYTIMER_MONOTONIC) >= start_us + 20 * MS);
	assert_int_equal(toytimer_register(t, &r, &timer), -ETIMEDOUT);
	assert_int_equal(timer, 42);
	assert_int_equal(toytimer_cancel(t, timers[0]), -ETIMEDOUT);
	r.due = 20 * MS;
	assert_int_equal(toytimer_rearm(t, timers[1], &r), -ETIMEDOUT);
	assert_int_equal(toytimer_list(t, 0, NULL, NULL), -EINVAL);
	assert_int_equal(toytimer_count(t), 2);
	kill(d.pid, SIGCONT);

	/* Of the five timers, two remain. The re-arming took place late. */
	recorder_await(&recorder, t, 1);
	assert_int_equal(recorder.events[0].timer, timers[1]);
	await_timers(t, other, 1);
	assert_int_equal(toytimer_set_timeout(t, TOYTIMER_FOREVER), 0);
	assert_int_equal(toytimer_cancel(t, timers[0]), -ENOENT);
	assert_int_equal(toytimer_cancel(t, timers[2]), 0);
	assert_int_equal(toytimer_get_reconnects(t), 0);
	toytimer_unref(other);
	toytimer_unref(t);
	recorder_clear(&recorder);
}

static void test_every_error_has_a_sentence(void **state)
{
	static const int errors[] = {EDQUOT, ENOSPC, EUSERS, ENFILE, EMFILE, EPERM, EOPNOTSUPP,
		EACCES, ENOENT, EINVAL, ERANGE, ECONNREFUSED, ETIMEDOUT, EPROTO, ENOMEM, ECHILD,
		EBUSY, EINTR, EBADF};
	const char *unknown = toytimer_strerror(-99999);

	(void)state;
	assert_non_null(unknown);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		assert_string_not_equal(toytimer_strerror(-errors[i]), unknown);
		assert_string_equal(toytimer_strerror(-errors[i]), toytimer_strerror(errors[i]));
	}
	assert_non_null(strstr(toytimer_strerror(-EDQUOT), "--max-timers-per-user"));
	assert_non_null(strstr(toytimer_strerror(-ENOSPC), "--max-timers"));
	assert_non_null(strstr(toytimer_strerror(-EUSERS), "--max-clients-per-user"));
	assert_non_null(strstr(toytimer_strerror(-ENFILE), "--max-clients"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_cancelled_timer_does_not_wake),
		cmocka_unit_test(test_a_received_wake_of_a_cancelled_timer_is_dropped),
		cmocka_unit_test(test_a_timer_wakes_or_is_cancelled),
		cmocka_unit_test(test_many_timers_are_cancelled_at_once),
		cmocka_unit_test(test_an_unanswered_registration_can_be_cancelled),
		cmocka_unit_test(test_cancelling_by_id_tells_the_owner),
		cmocka_unit_test(test_a_rearmed_timer_wakes_at_its_new_due),
		cmocka_unit_test(test_a_list_shows_what_was_registered),
		cmocka_unit_test(test_status_counts_what_happened),
		cmocka_unit_test(test_calls_to_a_stopped_daemon_time_out),
		cmocka_unit_test(test_every_error_has_a_sentence),
	};

	return cmocka_run_group_tests(tests, start_large_daemon, stop_daemon);
}
