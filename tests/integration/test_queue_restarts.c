/* SPDX-License-Identifier: MIT */
/* What survives the end of timerqd, and how timerqd stops while clients are busy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "queue_stage.h"

#define SECOND UINT64_C(1000000)
#define MINUTE (60 * SECOND)

static void test_put_survives_kill(void **state)
{
	toytimer_queue *q = open_queue();
	struct log log = {.acknowledge = true};

	(void)state;
	put(q, "jobs", 300000, "kept");
	queues_kill(&d);
	daemon_kill(&d.timerd);
	queues_start(&d, NULL);
	consume(q, "jobs", 10, 0, &log);
	expect_wakes(q, &log, 1);
	assert_string_equal(log.wakes[0].payload, "kept");
	assert_true(toytimer_queue_get_reconnects(q) >= 1);
	toytimer_queue_unref(q);
}

/* Puts timers while timerqd is killed again and again. Each is stored once. */
static void test_put_once(void **state)
{
	toytimer_queue *q = open_queue();
	toytimer_queue_timer t = {
		.due = 3600000000, .flags = TOYTIMER_RELATIVE, .clock = TOYTIMER_BOOTTIME};
	size_t n = 0, asked = 0;

	(void)state;
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 200; i++, asked++)
			put_async(q, "jobs", &t, &n);
		assert_int_equal(toytimer_queue_flush(q), 0);
		usleep((useconds_t)(round * 150));
		queues_kill(&d);
		queues_start(&d, NULL);
	}
	assert_int_equal(toytimer_queue_run(q), 0);
	assert_int_equal(n, asked);
	assert_int_equal(listed(q, "jobs"), asked);
	toytimer_queue_unref(q);
}

static int note_left(const toytimer_queue_listed *listed, void *userdata)
{
	if (listed->left > (int64_t)MINUTE)
		*(uint64_t *)userdata = (uint64_t)listed->left;
	return 0;
}

/* A span counts from the call, even if timerqd was away meanwhile. The wake is never early. */
static void test_span_while_away(void **state)
{
	const uint64_t away = 2 * SECOND;
	toytimer_queue_timer soon = {.due = away + SECOND, .flags = TOYTIMER_RELATIVE};
	toytimer_queue_timer later = {.due = 60 * MINUTE, .flags = TOYTIMER_RELATIVE};
	toytimer_queue *q = open_queue();
	struct log log = {.acknowledge = true};
	uint64_t begun, listing, left = 0;
	size_t n = 0;

	(void)state;
	soon.clock = later.clock = TOYTIMER_BOOTTIME;
	consume(q, "jobs", 1, 0, &log);
	queues_kill(&d);
	begun = toytimer_now(TOYTIMER_BOOTTIME);
	put_async(q, "jobs", &soon, &n);
	put_async(q, "jobs", &later, &n);
	usleep((useconds_t)away);
	queues_start(&d, NULL);
	process(q, &log, 1, 60000);
	assert_int_equal(log.n, 1);
	assert_true(toytimer_now(TOYTIMER_BOOTTIME) - begun >= soon.due);
	listing = toytimer_now(TOYTIMER_BOOTTIME);
	assert_int_equal(toytimer_queue_list(q, "jobs", 0, note_left, &left), 0);
	/* `left` is of an instant after `listing`. Otherwise the due would be `away` later. */
	assert_true(listing + left < begun + later.due + away / 2);
	toytimer_queue_unref(q);
}

/* Starts a process that puts timers until it is killed. */
static pid_t start_putter(void)
{
	toytimer_queue_timer t = {.due = 3600000000, .flags = TOYTIMER_RELATIVE};
	toytimer_queue *q = NULL;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	t.clock = TOYTIMER_BOOTTIME;
	if (toytimer_queue_open(&q, d.socket, 0) < 0)
		_exit(1);
	for (;;)
		if (toytimer_queue_put(q, "jobs", &t, NULL) < 0)
			usleep(1000);
}

/* timerqd stops soon although clients go on putting: it answers pending requests, and reads no
 * more. */
static void test_stops_while_busy(void **state)
{
	pid_t putters[4];

	(void)state;
	for (size_t i = 0; i < 4; i++)
		putters[i] = start_putter();
	for (int round = 0; round < 3; round++) {
		uint64_t begun;

		usleep(200000);
		begun = toytimer_now(TOYTIMER_BOOTTIME);
		assert_int_equal(queues_stop(&d), 0);
		/* Otherwise it would wait for 10 s. */
		assert_true(toytimer_now(TOYTIMER_BOOTTIME) - begun < 8000000);
		queues_start(&d, NULL);
	}
	for (size_t i = 0; i < 4; i++) {
		kill(putters[i], SIGKILL);
		waitpid(putters[i], NULL, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGED(test_put_survives_kill),
		STAGED(test_put_once),
		STAGED(test_span_while_away),
		STAGED(test_stops_while_busy),
	};

	return queues_run(tests);
}
