/* SPDX-License-Identifier: MIT */
/*
 * crowd SOCKET|timerfd CLIENTS SECONDS: each client has a wake every 100 ms, at a random phase.
 * Prints how late a wake is when its receiver runs.
 */
#include <string.h>

#include "bench.h"
#include "clients.h"

#define EVERY	  UINT64_C(100000) /* us */
#define AHEAD	  UINT64_C(1000000)
#define PROCESSES 10

int main(int argc, char **argv)
{
	size_t clients = bench_argument(argc, argv, 2, 1000);
	uint32_t count = (uint32_t)bench_argument(argc, argv, 3, 5) * 10;
	struct client_plan *plans = bench_shared(clients * sizeof(*plans));
	struct clients_run run = {
		.socket = argc > 1 && strcmp(argv[1], "timerfd") ? argv[1] : NULL,
		.processes = PROCESSES,
		.clients = clients,
		.plans = plans,
		.wakes = clients * count,
		.lateness = bench_shared(clients * count * sizeof(uint64_t)),
		.woken = bench_shared(sizeof(size_t)),
	};
	uint64_t random = 1, start;

	if (argc < 2)
		bench_die("crowd SOCKET|timerfd CLIENTS SECONDS", 0);
	clients_start(&run);
	start = bench_ns() / 1000 + AHEAD;
	for (size_t i = 0; i < clients; i++)
		plans[i] = (struct client_plan){
			.first = start + bench_random(&random) % EVERY,
			.every = EVERY,
			.count = count,
		};
	clients_register();
	clients_wait();
	bench_print_samples("late", run.lateness, *run.woken < run.wakes ? *run.woken : run.wakes);
	bench_print("merged", (double)(run.wakes - *run.woken), "wakes");
}
