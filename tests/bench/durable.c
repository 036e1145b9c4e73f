/* SPDX-License-Identifier: MIT */
/*
 * durable SOCKET WORK: what timerqd does, through libtoytimer; payloads of 64 bytes.
 *
 *	put PATTERN HELD N   N timers in batches of 1,000, each batch stored before the next one is
 *			     sent, after HELD others. PATTERN: ordered, random (over a year), or
 *			     keyed (random, each with a key)
 *	one CLIENTS N	     N timers one at a time, by so many processes at once
 *	drain N		     N timers that are due at one instant: delivered and acknowledged, with
 *			     a window of 1,000
 *	hold PATTERN N	     N timers that are due in a year or later; stays until its standard
 *			     input ends
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "queues.h"

#define BATCH	 1000
#define FILL	 10000 /* a batch that is not measured */
#define QUEUE	 "bench"
#define YEAR_US	 (UINT64_C(365) * 24 * 3600 * 1000000)
#define DRAIN_US UINT64_C(1000000)

enum pattern {
	ORDERED,
	RANDOM,
	KEYED,
};

static char payload[64];
static uint64_t seed = 1;

/* Stores n timers in batches. i: how many timers were stored before. */
static void put_all(
	toytimer_queue *q, enum pattern pattern, uint64_t base, size_t i, size_t n, size_t batch)
{
	toytimer_queue_timer *timers = bench_alloc(batch, sizeof(*timers));
	char(*keys)[20] = bench_alloc(batch, sizeof(*keys));

	for (size_t end = i + n; i < end;) {
		size_t some = end - i < batch ? end - i : batch;
		int stored;

		for (size_t k = 0; k < some; k++, i++) {
			timers[k] = (toytimer_queue_timer){
				.due = base +
					(pattern == ORDERED ? i : bench_random(&seed) % YEAR_US),
				.clock = TOYTIMER_REALTIME,
				.payload = payload,
				.payload_size = sizeof(payload),
			};
			if (pattern != KEYED)
				continue;
			snprintf(keys[k], sizeof(keys[k]), "%016llx",
				(unsigned long long)bench_random(&seed));
			timers[k].key = keys[k];
		}
		stored = toytimer_queue_put_many(q, QUEUE, timers, some, NULL);
		if (stored != (int)some)
			bench_die("toytimer_queue_put_many", stored < 0 ? stored : EPROTO);
	}
	free(timers);
	free(keys);
}

static void print_rate(size_t n, uint64_t start)
{
	bench_print("rate", (double)n * 1e6 / (double)(bench_ns() - start), "k/s");
}

static enum pattern pattern_of(const char *name)
{
	return !strcmp(name, "keyed") ? KEYED : !strcmp(name, "random") ? RANDOM : ORDERED;
}

static void put(toytimer_queue *q, enum pattern pattern, size_t held, size_t n)
{
	uint64_t base = toytimer_now(TOYTIMER_REALTIME) + YEAR_US, start;

	put_all(q, pattern, base, 0, held, FILL);
	start = bench_ns();
	put_all(q, pattern, base, held, n, BATCH);
	print_rate(n, start);
}

static void put_one_by_one(toytimer_queue *q, size_t n, uint64_t *samples)
{
	uint64_t base = toytimer_now(TOYTIMER_REALTIME) + YEAR_US;

	for (size_t i = 0; i < n; i++) {
		uint64_t start = bench_ns();

		put_all(q, ORDERED, base, i, 1, 1);
		if (samples)
			samples[i] = bench_ns() - start;
	}
}

static void one(const char *path, size_t clients, size_t n)
{
	uint64_t *samples = bench_shared(n * sizeof(*samples)), start;
	int go[2], ready[2];
	char byte;

	if (pipe(go) < 0 || pipe(ready) < 0)
		bench_die("pipe", errno);
	for (size_t i = 0; i < clients; i++) {
		if (fork() == 0) {
			toytimer_queue *q = queues_open(path);

			prctl(PR_SET_PDEATHSIG, SIGKILL);
			put_one_by_one(q, 1, NULL); /* now timerqd has a number for the queue */
			if (write(ready[1], "", 1) != 1 || read(go[0], &byte, 1) != 1)
				_exit(1);
			put_one_by_one(q, n / clients, samples + i * (n / clients));
			_exit(0);
		}
	}
	for (size_t i = 0; i < clients; i++)
		if (read(ready[0], &byte, 1) != 1)
			bench_die("a client", errno);
	start = bench_ns();
	for (size_t i = 0; i < clients; i++)
		if (write(go[1], "", 1) != 1)
			bench_die("a client", errno);
	for (int status; wait(&status) > 0;)
		if (status)
			bench_die("a client has failed", 0);
	print_rate(n / clients * clients, start);
	bench_print_samples("answer", samples, n / clients * clients);
}

static size_t taken;

static int take(toytimer_queue *q, const toytimer_wake *wake, void *userdata)
{
	int r = toytimer_queue_ack_async(q, &wake->ref);

	if (r < 0)
		bench_die("toytimer_queue_ack_async", r);
	return ++taken == *(size_t *)userdata ? toytimer_queue_stop(q) : 0;
}

/* Measures from the due, after all timers were stored, until the store has no timer. */
static void drain(toytimer_queue *q, size_t n)
{
	toytimer_queue_consumer consumer = {.window = 1000, .handler = take, .userdata = &n};
	uint64_t due = toytimer_now(TOYTIMER_REALTIME);
	toytimer_queue_status status;
	uint64_t start;
	int r;

	/* All timers have the same due, which has passed. So there is a backlog. */
	for (size_t i = 0; i < n; i += FILL) {
		toytimer_queue_timer *timers = bench_alloc(FILL, sizeof(*timers));
		size_t some = n - i < FILL ? n - i : FILL;

		for (size_t k = 0; k < some; k++)
			timers[k] = (toytimer_queue_timer){
				.due = due,
				.clock = TOYTIMER_REALTIME,
				.payload = payload,
				.payload_size = sizeof(payload),
			};
		r = toytimer_queue_put_many(q, QUEUE, timers, some, NULL);
		if (r != (int)some)
			bench_die("toytimer_queue_put_many", r < 0 ? r : EPROTO);
		free(timers);
	}
	bench_sleep_until(bench_ns() + DRAIN_US * 1000);
	start = bench_ns();
	r = toytimer_queue_consume(q, QUEUE, &consumer);
	if (r >= 0)
		r = toytimer_queue_run(q);
	do {
		if (r >= 0)
			r = toytimer_queue_get_status(q, &status);
		if (r < 0)
			bench_die("drain", r);
	} while (status.timers);
	print_rate(n, start);
}

static void hold(toytimer_queue *q, enum pattern pattern, size_t n)
{
	char byte;

	put_all(q, pattern, toytimer_now(TOYTIMER_REALTIME) + YEAR_US, 0, n, FILL);
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

int main(int argc, char **argv)
{
	const char *work = argc > 2 ? argv[2] : "";

	if (!strcmp(work, "put") && argc > 3)
		put(queues_open(argv[1]), pattern_of(argv[3]), bench_argument(argc, argv, 4, 0),
			bench_argument(argc, argv, 5, 100000));
	else if (!strcmp(work, "one"))
		one(argv[1], bench_argument(argc, argv, 3, 1), bench_argument(argc, argv, 4, 1000));
	else if (!strcmp(work, "drain"))
		drain(queues_open(argv[1]), bench_argument(argc, argv, 3, 100000));
	else if (!strcmp(work, "hold") && argc > 3)
		hold(queues_open(argv[1]), pattern_of(argv[3]),
			bench_argument(argc, argv, 4, 100000));
	else
		bench_die("durable SOCKET put PATTERN HELD N | one CLIENTS N | drain N | "
			  "hold PATTERN N",
			0);
}
