/* SPDX-License-Identifier: MIT */
#include "recorder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

int recorder_note(toytimer *t, const toytimer_event *event, void *userdata)
{
	struct recorder *recorder = userdata;

	(void)t;
	if (event->type == TOYTIMER_WOKEN)
		assert_true(toytimer_now(recorder->clock) >= event->due);
	if (recorder->n == recorder->room) {
		recorder->room = recorder->room ? recorder->room * 2 : 16;
		recorder->events = reallocarray(
			recorder->events, recorder->room, sizeof(*recorder->events));
		assert_non_null(recorder->events);
	}
	recorder->events[recorder->n++] = *event;
	return 0;
}

toytimer_registration recorder_after(struct recorder *recorder, uint64_t span)
{
	return (toytimer_registration){
		.due = span,
		.flags = TOYTIMER_RELATIVE,
		.handler = recorder_note,
		.userdata = recorder,
	};
}

void recorder_await(struct recorder *recorder, toytimer *t, size_t n)
{
	uint64_t until = toytimer_now(TOYTIMER_MONOTONIC) + PATIENCE_US;

	while (recorder->n < n) {
		int r = toytimer_process(t);

		assert_true(r >= 0);
		if (r == 0)
			toytimer_wait(t, 100 * MS);
		assert_true(toytimer_now(TOYTIMER_MONOTONIC) < until);
	}
	assert_int_equal(recorder->n, n);
}

void recorder_linger(toytimer *t, uint64_t span)
{
	uint64_t now, until = toytimer_now(TOYTIMER_MONOTONIC) + span;

	while ((now = toytimer_now(TOYTIMER_MONOTONIC)) < until) {
		int r = toytimer_process(t);

		assert_true(r >= 0);
		if (r == 0)
			toytimer_wait(t, until - now);
	}
}

uint64_t recorder_periods(const struct recorder *recorder)
{
	uint64_t periods = 0;

	for (size_t i = 0; i < recorder->n; i++)
		if (recorder->events[i].type == TOYTIMER_WOKEN)
			periods += 1 + recorder->events[i].overruns;
	return periods;
}

void recorder_clear(struct recorder *recorder)
{
	free(recorder->events);
	*recorder = (struct recorder){0};
}
