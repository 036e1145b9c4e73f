/* SPDX-License-Identifier: MIT */
/*
 * When the alarm rings. The daemon sets its timerfd early by the usual lateness of the kernel. It
 * still sends a wake with slack at the instant of the ring and not earlier, together with
 * everything that is due then. Otherwise there would be more rings than necessary.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon.h"
#include "wire.h"

#define MS UINT64_C(1000)

#define LESSONS 300 /* how many rings the alarm needs to learn how late the kernel is */
#define PAIRS	50
#define AHEAD	(5 * MS)
#define SLACK	(2 * MS) /* of the first timer of a pair */
#define BEFORE	4 /* microseconds from the due of the second timer to the ring for the first */

static struct test_daemon d;
static struct wire wire;

static void learn(void)
{
	struct proto_register r = {
		.due = MS,
		.every = MS,
		.count = LESSONS,
		.flags = PROTO_RELATIVE,
	};
	struct proto_wake wake = {0};

	wire_request(&wire, PROTO_REGISTER, &r, 1);
	wire_expect(&wire, PROTO_REGISTER | PROTO_ANSWER);
	while (!(wake.flags & PROTO_WAKE_LAST)) {
		wire_expect(&wire, PROTO_WAKE);
		wire_get(&wire, wire.header.count - 1, &wake);
	}
}

/* Return: false if the registrations came too late, so that the daemon sent a wake at once. */
static bool try_pair(void)
{
	uint64_t due = wire_now(PROTO_CLOCK_MONOTONIC) + AHEAD;
	struct proto_register two[] = {
		{.cookie = 0, .due = due, .slack = SLACK},
		{.cookie = 1, .due = due + SLACK - BEFORE, .slack = 100 * MS},
	};
	struct proto_wake wake;
	bool in_time;

	wire_request(&wire, PROTO_REGISTER, two, 2);
	wire_expect(&wire, PROTO_REGISTER | PROTO_ANSWER);
	in_time = wire_now(PROTO_CLOCK_MONOTONIC) < due;
	for (uint32_t woken = 0; woken < 2; woken += wire.header.count) {
		wire_expect(&wire, PROTO_WAKE);
		for (uint32_t i = 0; i < wire.header.count && in_time; i++) {
			wire_get(&wire, i, &wake);
			check(wake.cookie == i);
			check(wake.due + wake.late >= due + SLACK);
		}
	}
	return in_time;
}

static void test_pairs_with_slack_share_a_ring(void **state)
{
	unsigned int pairs = 0;

	(void)state;
	learn();
	for (int i = 0; i < PAIRS; i++)
		pairs += try_pair();
	check(pairs > 0);
}

static int before(void **state)
{
	(void)state;
	daemon_start(&d, NULL);
	wire_open(&wire, daemon_socket(&d));
	return 0;
}

static int after(void **state)
{
	(void)state;
	wire_close(&wire);
	daemon_clean(&d);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pairs_with_slack_share_a_ring, before, after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
