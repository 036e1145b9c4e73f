/* SPDX-License-Identifier: MIT */
#include "sweep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS	 UINT64_C(1000)
#define PATIENCE (20000 * MS)
#define EVERY	 (3 * MS)
#define FAR	 (3600000 * MS)

/* How many timers of a client do not become due during the test. */
#define FAR_COUNT 3

static int note_wake(toytimer *t, const toytimer_event *event, void *userdata)
{
	struct client *c = userdata;

	(void)t;
	assert_int_equal(event->type, TOYTIMER_WOKEN);
	assert_true(!c->due || event->due == c->due);
	c->due = event->due + (event->overruns + 1) * EVERY;
	c->wakes++;
	return 0;
}

static void enroll(struct client *c, toytimer_registration r)
{
	r.flags = TOYTIMER_RELATIVE;
	r.label = c->label;
	assert_int_equal(toytimer_register(c->t, &r, NULL), 0);
}

void client_start(struct client *c, const char *path)
{
	static unsigned int clients;

	*c = (struct client){0};
	snprintf(c->label, sizeof(c->label), "client %u", ++clients);
	assert_int_equal(toytimer_open(&c->t, path), 0);
	enroll(c,
		(toytimer_registration){
			.due = EVERY, .every = EVERY, .handler = note_wake, .userdata = c});
	for (int i = 0; i < FAR_COUNT; i++)
		enroll(c, (toytimer_registration){.due = FAR, .clock = (enum toytimer_clock)i});
}

struct count {
	const char *label;
	unsigned int n;
};

static int count_listed(const toytimer_listed *listed, void *userdata)
{
	struct count *count = userdata;

	count->n += strcmp(listed->label, count->label) == 0;
	return 0;
}

void client_check(struct client *c)
{
	uint64_t until = toytimer_now(TOYTIMER_MONOTONIC) + PATIENCE, wakes = c->wakes;
	struct count count = {.label = c->label};

	while (c->wakes == wakes) {
		int r = toytimer_process(c->t);

		assert_true(r >= 0);
		if (r == 0)
			toytimer_wait(c->t, 100 * MS);
		assert_true(toytimer_now(TOYTIMER_MONOTONIC) < until);
	}
	assert_int_equal(toytimer_list(c->t, 0, count_listed, &count), 0);
	assert_int_equal(count.n, 1 + FAR_COUNT);
}

static void begin(struct sweep *s, enum fault_call call, uint64_t calls, uint32_t at, bool for_ever,
	int error)
{
	s->call = call;
	s->at = at;
	s->for_ever = for_ever;
	s->error = error;
	fault_arm(s->plan, calls, at, for_ever, error);
}

void sweep_end(struct sweep *s, bool ended)
{
	s->points += fault_disarm(s->plan) > 0;
	s->ended += ended;
}

static void sweep_call(struct sweep *s, enum fault_call call, uint32_t uses, void (*point)(void))
{
	const char *wanted = getenv("FAULTS");
	const int *errors = fault_kinds[call].errors;
	uint32_t n = 0, points;

	while (errors[n])
		n++;
	points = uses > n ? uses : n;
	if (wanted && strcmp(wanted, "all") == 0)
		points = uses * n;
	for (uint32_t i = 0; uses && i < points; i++) {
		uint32_t error = points == uses * n ? i / uses : i % n;

		begin(s, call, FAULT_BIT(call), i % uses + 1, false, errors[error]);
		point();
	}
}

void sweep_run(struct sweep *s, const char *where, const uint32_t counts[FAULT_CALLS_COUNT],
	void (*point)(void))
{
	uint32_t memory = 0;

	s->points = s->ended = 0;
	s->where = where;
	for (enum fault_call call = 0; call < FAULT_CALLS_COUNT; call++) {
		memory += FAULT_MEMORY & FAULT_BIT(call) ? counts[call] : 0;
		sweep_call(s, call, counts[call], point);
	}
	for (uint32_t at = 1; at <= memory; at++)
		for (int for_ever = 0; for_ever < 2; for_ever++) {
			begin(s, FAULT_malloc, FAULT_MEMORY, at, for_ever, ENOMEM);
			point();
		}
	s->where = NULL;
	print_message("%s: %u faults, %u ended it\n", where, s->points, s->ended);
}

void sweep_copy_counts(const struct sweep *s, uint32_t counts[FAULT_CALLS_COUNT])
{
	for (size_t i = 0; i < FAULT_CALLS_COUNT; i++)
		counts[i] = atomic_load(&s->plan->counts[i]);
}

void sweep_count_uses(
	struct sweep *s, void (*work)(void), uint32_t most, uint32_t ret_counts[FAULT_CALLS_COUNT])
{
	uint32_t before[FAULT_CALLS_COUNT];

	work();
	sweep_copy_counts(s, before);
	work();
	sweep_copy_counts(s, ret_counts);
	for (size_t i = 0; i < FAULT_CALLS_COUNT; i++) {
		ret_counts[i] -= before[i];
		if (ret_counts[i] > most)
			ret_counts[i] = most;
	}
}

void sweep_tell(struct sweep *s)
{
	if (s->where)
		print_error("%s: %s fails with %d at use %u%s\n", s->where,
			fault_kinds[s->call].name, s->error, s->at,
			s->for_ever ? " and from then on" : "");
	s->where = NULL;
}

bool sweep_is_fatal(const struct sweep *s)
{
	return (s->call == FAULT_epoll_wait || s->call == FAULT_timerfd_settime) &&
		(s->error == EBADF || s->error == EFAULT || s->error == EINVAL);
}
