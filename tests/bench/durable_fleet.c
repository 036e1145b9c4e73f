/* SPDX-License-Identifier: MIT */
/*
 * durable_fleet SOCKETS N [ROUNDS]: 16 queues have N timers each, which are due at one instant. All
 * are delivered and acknowledged, each queue by one host. SOCKETS has the sockets of the hosts,
 * separated by commas. The window is 1,000. With ROUNDS, repeats this; `rate` is that of the last
 * round.
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

#define QUEUES	  16
#define HOSTS_MAX 8
#define FILL	  10000

static char payload[64];

struct consuming {
	size_t left; /* of this process */
};

static void fill(const char *path, size_t n)
{
	static toytimer_queue_timer timers[FILL];
	toytimer_queue *q = queues_open(path);
	uint64_t due = toytimer_now(TOYTIMER_REALTIME);

	for (size_t i = 0; i < FILL; i++)
		timers[i] = (toytimer_queue_timer){
			.due = due,
			.clock = TOYTIMER_REALTIME,
			.payload = payload,
			.payload_size = sizeof(payload),
		};
	for (unsigned int k = 0; k < QUEUES; k++) {
		char name[16];

		snprintf(name, sizeof(name), "fleet%u", k);
		for (size_t i = 0; i < n; i += FILL) {
			size_t some = n - i < FILL ? n - i : FILL;
			int r = toytimer_queue_put_many(q, name, timers, some, NULL);

			if (r != (int)some)
				bench_die("toytimer_queue_put_many", r < 0 ? r : EPROTO);
		}
	}
	toytimer_queue_unref(q);
}

/* Waits for the answer to the last acknowledgement: the host stores the others before it. */
static int take(toytimer_queue *q, const toytimer_wake *wake, void *userdata)
{
	struct consuming *c = userdata;
	int r = --c->left ? toytimer_queue_ack_async(q, &wake->ref)
			  : toytimer_queue_ack(q, &wake->ref);

	if (r < 0)
		bench_die("toytimer_queue_ack", r);
	return c->left ? 0 : toytimer_queue_stop(q);
}

/* Consumes the host's share of the queues. Ends when all acknowledgements are stored. */
static _Noreturn void consume(const char *path, unsigned int host, unsigned int hosts, size_t n)
{
	toytimer_queue *q = queues_open(path);
	struct consuming c = {0};
	toytimer_queue_consumer consumer = {.window = 1000, .handler = take, .userdata = &c};
	int r = 0;

	for (unsigned int k = host; k < QUEUES; k += hosts)
		c.left += n;
	for (unsigned int k = host; k < QUEUES && r >= 0; k += hosts) {
		char name[16];

		snprintf(name, sizeof(name), "fleet%u", k);
		r = toytimer_queue_consume(q, name, &consumer);
	}
	if (r >= 0)
		r = toytimer_queue_run(q);
	_exit(r < 0);
}

static double drain(char *const paths[], unsigned int hosts, size_t n)
{
	uint64_t start;

	fill(paths[0], n);
	start = bench_ns();
	for (unsigned int i = 0; i < hosts; i++)
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			consume(paths[i], i, hosts, n);
		}
	for (int status; wait(&status) > 0;)
		if (status)
			bench_die("a consumer has failed", 0);
	return (double)(n * QUEUES) * 1e6 / (double)(bench_ns() - start);
}

int main(int argc, char **argv)
{
	size_t n = bench_argument(argc, argv, 2, 160000) / QUEUES;
	size_t rounds = bench_argument(argc, argv, 3, 1);
	char *paths[HOSTS_MAX];
	unsigned int hosts = 0;
	double rate = 0;

	if (argc < 2)
		bench_die("durable_fleet SOCKETS N [ROUNDS]", 0);
	for (char *at = strtok(argv[1], ","); at && hosts < HOSTS_MAX; at = strtok(NULL, ","))
		paths[hosts++] = at;
	for (size_t i = 0; i < rounds; i++) {
		rate = drain(paths, hosts, n);
		fprintf(stderr, "round %zu: %.1f k/s\n", i + 1, rate);
	}
	bench_print("rate", rate, "k/s");
}
