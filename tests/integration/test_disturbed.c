/* SPDX-License-Identifier: MIT */
/*
 * The daemon in a broken environment: it is stopped for a while, or cannot write its log. Every
 * client still gets all its wakes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon.h"
#include "sweep.h"
#include "wire.h"

#define MS UINT64_C(1000)

#define STOPPED (1500 * MS)
#define MANY	30000	  /* timers of one client that become due while the daemon is stopped */
#define EVERY	(10 * MS) /* the period of another client's timer */
#define OTHERS	20	  /* clients with one timer each */

static struct test_daemon d;
static struct wire many, every, others[OTHERS];

/* The wakes that the client with many timers has received. */
static struct {
	uint8_t woken[MANY];
	uint32_t n, packets;
	uint64_t due, sent; /* of the last wake */
} got;

static void enroll(struct wire *w, uint32_t n, uint64_t span, uint64_t step, uint64_t period)
{
	for (uint32_t done = 0; done < n;) {
		wire_begin(w, PROTO_REGISTER);
		for (uint32_t i = 0; done < n && i < 1000; i++, done++)
			wire_put(w,
				&(struct proto_register){.cookie = done,
					.due = span + done * step,
					.every = period,
					.flags = PROTO_RELATIVE});
		wire_end(w, 0);
		wire_expect(w, PROTO_REGISTER | PROTO_ANSWER);
	}
}

/* Checks that each wake comes once, in the order of dues. */
static void take_many(void)
{
	wire_expect(&many, PROTO_WAKE);
	got.packets++;
	for (uint32_t i = 0; i < many.header.count; i++) {
		struct proto_wake wake;

		wire_get(&many, i, &wake);
		check(wake.cookie < MANY && !got.woken[wake.cookie]++);
		check(wake.due >= got.due && wake.overruns == 0);
		got.due = wake.due;
		got.sent = wake.due + wake.late;
		got.n++;
	}
}

/* Return: the instant at which the daemon sent it. */
static uint64_t take_other(struct wire *w)
{
	struct proto_wake wake;

	wire_expect(w, PROTO_WAKE);
	check(w->header.count == 1);
	wire_get(w, 0, &wake);
	check(wake.flags & PROTO_WAKE_LAST);
	return wake.due + wake.late;
}

/* Expects the wakes from before the stop, then one wake for all missed periods, and then a wake for
 * each period. */
static uint64_t take_every(uint64_t stopped)
{
	struct proto_wake wake;
	uint64_t due = 0;

	do {
		wire_expect(&every, PROTO_WAKE);
		wire_get(&every, 0, &wake);
		check(!due || wake.due == due);
		check(wake.overruns == wake.late / EVERY);
		due = wake.due + (wake.overruns + 1) * EVERY;
	} while (wake.due + wake.late < stopped + STOPPED / 2);
	check(wake.overruns >= STOPPED / EVERY - 2);
	printf("stopped for %llu ms: one wake stands for %llu periods\n",
		(unsigned long long)(STOPPED / MS), (unsigned long long)wake.overruns + 1);
	return wake.due + wake.late;
}

static void test_wakes_come_after_the_daemon_was_stopped(void **state)
{
	uint64_t stopped, first, last_other = 0, sent;

	(void)state;
	daemon_start(&d, NULL);
	wire_open(&many, daemon_socket(&d));
	wire_open(&every, daemon_socket(&d));
	enroll(&many, MANY, 700 * MS, 1, 0);
	for (int i = 0; i < OTHERS; i++) {
		wire_open(&others[i], daemon_socket(&d));
		enroll(&others[i], 1, 750 * MS, 0, 0);
	}
	enroll(&every, 1, EVERY, 0, EVERY);
	check(kill(d.pid, SIGSTOP) == 0);
	stopped = wire_now(PROTO_CLOCK_MONOTONIC);
	wire_sleep_us(STOPPED);
	check(kill(d.pid, SIGCONT) == 0);
	take_many();
	first = got.sent;
	while (got.n < MANY)
		take_many();
	for (int i = 0; i < OTHERS; i++) {
		sent = take_other(&others[i]);
		last_other = sent > last_other ? sent : last_other;
	}
	sent = take_every(stopped);
	printf("%u wakes late, in %u packets within %.1f ms; the others had theirs after %.1f ms, "
	       "the periodic one after %.1f ms\n",
		got.n, got.packets, (double)(got.sent - first) / 1000,
		(double)((int64_t)(last_other - first)) / 1000,
		(double)((int64_t)(sent - first)) / 1000);
	/* These wakes did not wait until the daemon had sent the batch, which took many turns. */
	check(last_other <= got.sent && sent <= got.sent);
}

/* Clients cause more log lines than the daemon may write. The daemon still serves a good client. */
static void check_unheard(void)
{
	static struct wire w[OTHERS];
	struct proto_status_answer status;
	struct client client;

	client_start(&client, daemon_socket(&d));
	for (int i = 0; i < OTHERS; i++) {
		wire_open(&w[i], daemon_socket(&d));
		enroll(&w[i], 20, 3600000 * MS, 0, 0); /* more than --max-timers */
		wire_send(&w[i], "?", 1);
		while (wire_wait(&w[i], WIRE_PATIENCE_MS) && w[i].size > 0)
			;
		wire_close(&w[i]);
		check(kill(d.pid, SIGHUP) == 0);
	}
	client_check(&client);
	assert_int_equal(toytimer_get_reconnects(client.t), 0);
	wire_status(daemon_socket(&d), &status);
	check(status.refused > 0);
	toytimer_unref(client.t);
}

/* Prepares the directory, and removes the log, so that the test can make something else in its
 * place. */
static void forget_log(void)
{
	if (getenv("TIMERD_UNIT")) {
		print_message("a unit has no standard error of the test's choice\n");
		skip();
	}
	daemon_start(&d, NULL);
	daemon_stop(&d);
	check(unlink(d.log) == 0);
}

/* Standard error leads to a full disk. */
static void test_no_room_to_log(void **state)
{
	(void)state;
	forget_log();
	check(symlink("/dev/full", d.log) == 0);
	daemon_start(&d, "--log-level", "debug", "--max-timers", "10", NULL);
	check_unheard();
}

/* Standard error is a pipe that nobody reads, and then one without a reader. */
static void test_nobody_reads_log(void **state)
{
	static const char junk[4096];
	int fd;

	(void)state;
	forget_log();
	check(mkfifo(d.log, 0600) == 0);
	fd = open(d.log, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	check(fd >= 0);
	while (write(fd, junk, sizeof(junk)) > 0)
		;
	daemon_start(&d, "--log-level", "debug", "--max-timers", "10", NULL);
	check_unheard();
	close(fd);
	check_unheard();
}

static int after_each(void **state)
{
	(void)state;
	daemon_finish(&d);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_wakes_come_after_the_daemon_was_stopped, after_each),
		cmocka_unit_test_teardown(test_no_room_to_log, after_each),
		cmocka_unit_test_teardown(test_nobody_reads_log, after_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
