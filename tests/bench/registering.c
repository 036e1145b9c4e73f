/* SPDX-License-Identifier: MIT */
/*
 * registering SOCKET N CLIENTS PATTERN: registers N timers through libtoytimer, in batches that are
 * answered.
 *
 * Each of CLIENTS processes has an equal share of N. `fill`: from no timer to N. `held`: a tenth
 * more while N are held. `cancel`: this tenth, in random order. Prints millions a second of all
 * clients together, from the start until the last answer to the last client.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "toytimer.h"

#define HOUR	UINT64_C(3600000000)
#define RANDOM	UINT64_C(1000000000000) /* us over which random dues are spread */
#define ORDERED UINT64_C(16)		/* how far ordered dues may be from their order */

enum { PHASES = 3 };

/* Pipes with one byte for each client: it is ready for a phase; it may begin the phase (or exit,
 * after the last one); it has ended the phase. Each phase has its own pipe for the start, so that a
 * fast client cannot take the byte of a slow one. */
static int ready[2], begin[PHASES + 1][2], done[2];

static void put(int fd)
{
	if (write(fd, "", 1) != 1)
		_exit(1);
}

static void take(int fd)
{
	char byte;

	if (read(fd, &byte, 1) != 1)
		_exit(1);
}

static void make_dues(toytimer_registration *r, size_t n, bool ordered, uint64_t seed)
{
	uint64_t base = toytimer_now(TOYTIMER_MONOTONIC) + HOUR;

	for (size_t i = 0; i < n; i++)
		r[i].due = base +
			(ordered ? i + bench_random(&seed) % ORDERED
				 : bench_random(&seed) % RANDOM);
}

static void pick(uint64_t *timers, size_t n, uint64_t seed)
{
	uint32_t *order = bench_permutation(n, &seed);
	uint64_t *copy = bench_alloc(n, sizeof(*copy));

	memcpy(copy, timers, n * sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		timers[i] = copy[order[i]];
	free(copy);
	free(order);
}

static void client(const char *path, size_t n, bool ordered, uint64_t seed)
{
	size_t more = n / 10, sizes[PHASES] = {n, more, more};
	toytimer_registration *r = bench_alloc(n + more, sizeof(*r));
	uint64_t *timers = bench_alloc(n + more, sizeof(*timers));
	toytimer *t;
	int error = toytimer_open(&t, path), count;

	if (error < 0)
		bench_die("toytimer_open", error);
	toytimer_set_timeout(t, TOYTIMER_FOREVER);
	make_dues(r, n + more, ordered, seed);
	memset(timers, 1, (n + more) * sizeof(*timers));
	for (int phase = 0; phase < PHASES; phase++) {
		put(ready[1]);
		take(begin[phase][0]);
		if (phase == 0)
			count = toytimer_register_many(t, r, n, timers, NULL);
		else if (phase == 1)
			count = toytimer_register_many(t, r + n, more, timers + n, NULL);
		else
			count = toytimer_cancel_many(t, timers + n, more, NULL);
		put(done[1]);
		if (count < 0 || (size_t)count != sizes[phase])
			bench_die("registering", count < 0 ? count : EPROTO);
		if (phase == 1)
			pick(timers + n, more, seed);
	}
	/* Waits until all clients are done, because the end of a client is work for the daemon. */
	take(begin[PHASES][0]);
	_exit(0);
}

static void measure(int phase, size_t n, size_t clients)
{
	static const char *const names[PHASES] = {"fill", "held", "cancel"};
	uint64_t start;

	for (size_t i = 0; i < clients; i++)
		take(ready[0]);
	start = bench_ns();
	for (size_t i = 0; i < clients; i++)
		put(begin[phase][1]);
	for (size_t i = 0; i < clients; i++)
		take(done[0]);
	bench_print(names[phase], (double)n * 1e3 / (double)(bench_ns() - start), "M/s");
}

int main(int argc, char **argv)
{
	size_t n = bench_argument(argc, argv, 2, 1000000);
	size_t clients = bench_argument(argc, argv, 3, 1);
	bool ordered = argc > 4 && !strcmp(argv[4], "ordered");

	if (argc < 2 || pipe(ready) < 0 || pipe(done) < 0)
		bench_die("registering SOCKET N CLIENTS PATTERN", errno);
	for (int i = 0; i <= PHASES; i++)
		if (pipe(begin[i]) < 0)
			bench_die("pipe", errno);
	n -= n % (10 * clients);
	for (size_t i = 0; i < clients; i++) {
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(done[0]);
			close(ready[0]);
			client(argv[1], n / clients, ordered, 1 + i);
		}
	}
	close(done[1]);
	close(ready[1]);
	for (int phase = 0; phase < PHASES; phase++)
		measure(phase, phase == 0 ? n : n / 10, clients);
	for (size_t i = 0; i < clients; i++)
		put(begin[PHASES][1]);
	while (wait(NULL) > 0)
		;
}
