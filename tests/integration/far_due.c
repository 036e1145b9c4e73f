/* SPDX-License-Identifier: MIT */
/*
 * A client with dues after 2038 and up to the end of each clock. It registers, lists, re-arms and
 * cancels each timer, and checks that a timer that is due soon still fires meanwhile.
 *
 *	far_due SOCKET
 *
 * It uses no helper of the tests, so that test_far_due can also build it for a 32-bit machine.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <toytimer.h>

#define SOON	    UINT64_C(2000)
#define PATIENCE_US UINT64_C(20000000)

/* The current step, for error messages. */
static struct {
	uint64_t due;
	enum toytimer_clock clock;
	unsigned int flags;
} at;

#define check(condition) check_that(condition, #condition, __LINE__)

static void check_that(int holds, const char *text, int line)
{
	if (holds)
		return;
	fprintf(stderr, "far_due.c:%d: due %" PRIu64 ", clock %d, flags %u: not %s (%s)\n", line,
		at.due, (int)at.clock, at.flags, text, toytimer_get_error());
	exit(EXIT_FAILURE);
}

static int count_wake(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t;
	check(event->type == TOYTIMER_WOKEN);
	++*(unsigned int *)userdata;
	return 0;
}

static void await(toytimer *t, const unsigned int *wakes)
{
	while (!*wakes) {
		check(toytimer_wait(t, PATIENCE_US) == 1);
		check(toytimer_process(t) >= 0);
	}
}

struct search {
	uint64_t id;
	unsigned int found;
};

static int search(const toytimer_listed *listed, void *userdata)
{
	struct search *s = userdata;

	if (listed->id != s->id)
		return 0;
	s->found++;
	check(listed->due == at.due);
	check(listed->clock == at.clock);
	return 0;
}

static void check_listed(toytimer *t, uint64_t timer)
{
	struct search s = {0};
	uint64_t due;

	check(toytimer_get_timer(t, timer, &s.id, &due) == 0);
	check(due == at.due);
	check(toytimer_list(t, 0, search, &s) == 0);
	check(s.found == 1);
}

/* Nothing else on this clock is due before the far due, so the daemon's alarm is set to it. */
static void keep_far_due(toytimer *t)
{
	unsigned int wakes = 0;
	toytimer_registration far = {.due = at.due, .clock = at.clock, .flags = at.flags};
	toytimer_registration soon = {
		.due = SOON,
		.clock = at.clock,
		.flags = at.flags | TOYTIMER_RELATIVE,
		.handler = count_wake,
		.userdata = &wakes,
	};
	uint64_t timer, other;
	int r = toytimer_register(t, &far, &timer);

	/* The machine or the daemon's privileges do not allow it to wake the system. */
	if (at.flags & TOYTIMER_WAKE_SYSTEM && (r == -EPERM || r == -EOPNOTSUPP)) {
		printf("# no clock %d that wakes the system: %s\n", (int)at.clock,
			toytimer_strerror(r));
		return;
	}
	check(r == 0);
	check_listed(t, timer);
	check(toytimer_register(t, &soon, &other) == 0);
	await(t, &wakes);

	check(toytimer_rearm(t, timer, &far) == 0);
	check_listed(t, timer);
	check(toytimer_cancel(t, timer) == 0);

	/* The second due of the series is far. If the clock ends before it, the series ends. */
	wakes = 0;
	soon.every = at.due;
	check(toytimer_register(t, &soon, &timer) == 0);
	await(t, &wakes);
	r = toytimer_cancel(t, timer);
	check(r == 0 || r == -ENOENT);
	check(toytimer_count(t) == 0);
}

int main(int argc, char **argv)
{
	static const uint64_t dues[] = {
		(UINT64_C(1) << 31) * 1000000 - 1,
		(UINT64_C(1) << 31) * 1000000,
		(UINT64_C(1) << 32) * 1000000,
		UINT64_C(1) << 63,
		UINT64_MAX - 1,
	};
	toytimer *t;

	if (argc != 2) {
		fprintf(stderr, "usage: far_due SOCKET\n");
		return EXIT_FAILURE;
	}
	check(toytimer_open(&t, argv[1]) == 0);
	for (int clock = TOYTIMER_MONOTONIC; clock <= TOYTIMER_REALTIME; clock++)
		for (unsigned int wakes_system = 0; wakes_system < 2; wakes_system++)
			for (size_t i = 0; i < sizeof(dues) / sizeof(dues[0]); i++) {
				if (wakes_system && clock == TOYTIMER_MONOTONIC)
					continue;
				at.due = dues[i];
				at.clock = (enum toytimer_clock)clock;
				at.flags = wakes_system ? TOYTIMER_WAKE_SYSTEM : 0;
				keep_far_due(t);
			}
	check(toytimer_get_reconnects(t) == 0);
	toytimer_unref(t);
	printf("# time_t of %zu bits, pointers of %zu\n", 8 * sizeof(time_t), 8 * sizeof(void *));
	return EXIT_SUCCESS;
}
