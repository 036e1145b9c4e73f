/* SPDX-License-Identifier: MIT */
/*
 * durable_late QUEUES TIMERD N CLIENTS: how late a lone wake is when its consumer runs, alternately
 * for a durable timer and for a timer of timerd, while CLIENTS processes store timers one by one
 * without a pause. Also prints how long the answers to these clients took.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "toytimer-queue.h"
#include "toytimer.h"

#define GAP_LEAST   UINT64_C(5000) /* us ahead: until then the timer is stored */
#define GAP_RANGE   UINT64_C(4000)
#define BUSY_LEAST  UINT64_C(100000)
#define SAMPLES_MAX 65536

static toytimer_queue *queues;
static toytimer *timerd;
static toytimer_wake_ref last; /* the latest wake */
/* How long the latest answers to the clients took, in a ring. */
static struct {
	uint64_t next, ns[SAMPLES_MAX];
} * answers;

static int delivered(toytimer_queue *q, const toytimer_wake *wake, void *userdata)
{
	*(uint64_t *)userdata = bench_ns();
	last = wake->ref;
	return toytimer_queue_stop(q);
}

static int woken(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t, (void)event;
	*(uint64_t *)userdata = bench_ns();
	return 0;
}

/* Nobody sets the wall clock meanwhile. So the due on the wall clock is a known instant of
 * CLOCK_MONOTONIC. */
static uint64_t by_timerqd(uint64_t span, uint64_t *at)
{
	uint64_t real = toytimer_now(TOYTIMER_REALTIME), monotonic = bench_ns() / 1000;
	toytimer_queue_timer timer = {.due = real + span, .clock = TOYTIMER_REALTIME};
	toytimer_queue_stored stored = {0};
	int r = toytimer_queue_put(queues, "late", &timer, &stored);
	uint64_t late;

	do {
		if (r >= 0)
			r = toytimer_queue_run(queues);
		if (r < 0)
			bench_die("toytimer_queue", r);
	} while (last.id != stored.id);
	late = *at - (monotonic + span) * 1000;
	r = toytimer_queue_ack(queues, &last);
	if (r < 0)
		bench_die("toytimer_queue_ack", r);
	return late;
}

static uint64_t by_timerd(uint64_t span, uint64_t *at)
{
	uint64_t due = bench_ns() / 1000 + span;
	toytimer_registration r = {.due = due, .handler = woken, .userdata = at};
	int error = toytimer_register(timerd, &r, NULL);

	if (error >= 0)
		error = toytimer_run(timerd);
	if (error < 0)
		bench_die("toytimer", error);
	return *at - due * 1000;
}

static _Noreturn void store(const char *path)
{
	toytimer_queue_timer timer = {
		.due = UINT64_C(365) * 24 * 3600 * 1000000,
		.flags = TOYTIMER_RELATIVE,
		.payload = "0123456789012345678901234567890123456789012345678901234567890123",
		.payload_size = 64,
	};
	toytimer_queue *q;
	int r = toytimer_queue_open(&q, path, 0);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (r >= 0) {
		uint64_t begin = bench_ns(), i;

		r = toytimer_queue_put(q, "stored", &timer, NULL);
		i = __atomic_fetch_add(&answers->next, 1, __ATOMIC_RELAXED);
		answers->ns[i % SAMPLES_MAX] = bench_ns() - begin;
	}
	bench_die("a client that stores", r);
}

static void print_answers(void)
{
	size_t n = answers->next < SAMPLES_MAX ? answers->next : SAMPLES_MAX;

	if (n)
		bench_print_samples("answer", answers->ns, n);
}

int main(int argc, char **argv)
{
	size_t n = bench_argument(argc, argv, 3, 1000);
	size_t clients = bench_argument(argc, argv, 4, 0);
	uint64_t *durable = bench_alloc(n, sizeof(*durable)), at = 0, random = 1;
	uint64_t *alone = bench_alloc(n, sizeof(*alone));
	toytimer_queue_consumer consumer = {.window = 10, .handler = delivered, .userdata = &at};
	uint64_t least = clients ? BUSY_LEAST : GAP_LEAST;
	int r;

	if (argc < 3)
		bench_die("durable_late QUEUES TIMERD N CLIENTS", 0);
	answers = bench_shared(sizeof(*answers));
	for (size_t i = 0; i < clients; i++)
		if (fork() == 0)
			store(argv[1]);
	r = toytimer_queue_open(&queues, argv[1], 0);
	if (r >= 0)
		r = toytimer_open(&timerd, argv[2]);
	if (r >= 0)
		r = toytimer_queue_consume(queues, "late", &consumer);
	if (r < 0)
		bench_die("toytimer_open", r);
	for (size_t i = 0; i < n; i++) {
		durable[i] = by_timerqd(least + bench_random(&random) % GAP_RANGE, &at);
		alone[i] = by_timerd(GAP_LEAST + bench_random(&random) % GAP_RANGE, &at);
	}
	bench_print_samples("durable", durable, n);
	bench_print_samples("volatile", alone, n);
	print_answers();
}
