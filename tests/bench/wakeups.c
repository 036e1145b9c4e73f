/* SPDX-License-Identifier: MIT */
/*
 * wakeups SOCKET CLIENTS SECONDS: clients with periods of 0.2 to 2 s and a slack of a tenth of the
 * period. Prints how often timerd's alarm rang; the fewest wake-ups that any schedule needs,
 * computed afterwards with all dues known; and the number of wakes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "clients.h"
#include "toytimer.h"

#define PERIOD_LEAST UINT64_C(200000) /* us */
#define PERIOD_RANGE UINT64_C(1800000)
#define AHEAD	     UINT64_C(1500000)
#define PROCESSES    10

struct window {
	uint64_t due, latest;
};

static int by_latest(const void *a, const void *b)
{
	const struct window *x = a, *y = b;

	return (x->latest > y->latest) - (x->latest < y->latest);
}

/* The fewest points such that each window contains one: always the earliest end of a window that
 * contains none yet. */
static size_t fewest_points(struct window *windows, size_t n)
{
	size_t points = 0;
	uint64_t last = 0;

	qsort(windows, n, sizeof(*windows), by_latest);
	for (size_t i = 0; i < n; i++) {
		if (points && windows[i].due <= last)
			continue;
		last = windows[i].latest;
		points++;
	}
	return points;
}

static toytimer_status status_of(toytimer *t)
{
	toytimer_status status;
	int error = toytimer_get_status(t, &status);

	if (error < 0)
		bench_die("toytimer_get_status", error);
	return status;
}

static size_t make_plans(struct client_plan *plans, size_t clients, uint64_t seconds)
{
	uint64_t random = 1;
	size_t wakes = 0;

	for (size_t i = 0; i < clients; i++) {
		uint64_t every = PERIOD_LEAST + bench_random(&random) % PERIOD_RANGE;

		plans[i] = (struct client_plan){
			.first = bench_random(&random) % every,
			.every = every,
			.slack = every / 10,
			.count = (uint32_t)(seconds * 1000000 / every),
		};
		wakes += plans[i].count;
	}
	return wakes;
}

static struct window *make_windows(const struct client_plan *plans, size_t clients, size_t wakes)
{
	struct window *windows = bench_alloc(wakes, sizeof(*windows));
	size_t n = 0;

	for (size_t i = 0; i < clients; i++) {
		for (uint32_t j = 0; j < plans[i].count; j++) {
			uint64_t due = plans[i].first + j * plans[i].every;

			windows[n++] = (struct window){due, due + plans[i].slack};
		}
	}
	return windows;
}

int main(int argc, char **argv)
{
	size_t clients = bench_argument(argc, argv, 2, 1000);
	struct client_plan *plans = bench_shared(clients * sizeof(*plans));
	size_t wakes = make_plans(plans, clients, bench_argument(argc, argv, 3, 10));
	struct clients_run run = {
		.socket = argc > 1 ? argv[1] : NULL,
		.processes = PROCESSES,
		.clients = clients,
		.plans = plans,
		.wakes = wakes,
		.lateness = bench_shared(wakes * sizeof(uint64_t)),
		.woken = bench_shared(sizeof(size_t)),
	};
	toytimer_status before, after;
	uint64_t start, switches;
	toytimer *t;

	if (argc < 2)
		bench_die("wakeups SOCKET CLIENTS SECONDS", 0);
	clients_start(&run);
	if (toytimer_open(&t, argv[1]) < 0)
		bench_die("toytimer_open", 0);
	start = bench_ns() / 1000 + AHEAD;
	for (size_t i = 0; i < clients; i++)
		plans[i].first += start;
	clients_register();
	before = status_of(t);
	switches = bench_proc_status((int)before.pid, "voluntary_ctxt_switches");
	clients_wait();
	after = status_of(t);
	switches = bench_proc_status((int)before.pid, "voluntary_ctxt_switches") - switches;
	bench_print("wakes", (double)wakes, "wakes");
	bench_print("wakeups", (double)(after.wakeups - before.wakeups), "wake-ups");
	bench_print("optimum", (double)fewest_points(make_windows(plans, clients, wakes), wakes),
		"wake-ups");
	bench_print("switches", (double)switches, "switches");
	bench_print("woken", (double)*run.woken, "wakes");
	toytimer_unref(t);
}
