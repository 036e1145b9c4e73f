/* SPDX-License-Identifier: MIT */
/*
 * life N PATTERN [REPEATS [fresh|both [RECORDS]]]: adds N timers, cancels half of them in random
 * order, and expires the others in the loop. PATTERN: dues are `random`, or `ordered`: nearly in
 * order, like timeouts of equal length that start one after another.
 *
 * A second run uses the same loop, unless `fresh` is given: `aged`, with handles and free memory as
 * the first run left them. Prints nanoseconds of CPU time for a timer: add, cancel, expire; and
 * life, which is add plus the mean of the other two. CPU time is the right measure, because one
 * thread does all the work and waits for nothing, and because other programs affect CPU time less.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"
#include "life.h"

#define SOONEST	   UINT64_C(1000000000)	   /* us */
#define RANDOM_MS  UINT64_C(1000000000)	   /* dues are spread over this span */
#define ORDERED_MS UINT64_C(16)		   /* how far a due may be from its place in the order */
#define ALL_DUE	   UINT64_C(3000000000000) /* us */

struct figures {
	double add, cancel, expire;
};

static void make_dues(uint64_t *dues, size_t n, int ordered, uint64_t *random)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t ms = ordered ? i + bench_random(random) % ORDERED_MS
				      : bench_random(random) % RANDOM_MS;

		dues[i] = SOONEST + ms * 1000;
	}
}

static uint64_t cpu_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

static double ns_each(uint64_t since, size_t n)
{
	return (double)(cpu_ns() - since) / (double)n;
}

static void live(const uint64_t *dues, const uint32_t *order, size_t n, struct figures *sum)
{
	size_t half = n / 2;
	uint64_t since = cpu_ns();

	for (size_t i = 0; i < n; i++)
		life_add(i, dues[i]);
	life_flush();
	sum->add += ns_each(since, n);
	since = cpu_ns();
	for (size_t i = 0; i < half; i++)
		life_cancel(order[i]);
	life_flush();
	sum->cancel += ns_each(since, half);
	life_pass(ALL_DUE);
	since = cpu_ns();
	if (life_expire() != n - half)
		bench_die("not every timer fired", 0);
	sum->expire += ns_each(since, n - half);
}

static void print(const char *name, const struct figures *sum, size_t repeats)
{
	const struct {
		const char *name;
		double sum;
	} figures[] = {
		{"add", sum->add},
		{"cancel", sum->cancel},
		{"expire", sum->expire},
		{"life", sum->add + (sum->cancel + sum->expire) / 2},
	};
	char text[64];

	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
		snprintf(text, sizeof(text), "%s_%s", name, figures[i].name);
		bench_print(text, figures[i].sum / (double)repeats, "ns");
	}
}

int main(int argc, char **argv)
{
	size_t n = bench_argument(argc, argv, 1, 100000);
	int ordered = argc > 2 && !strcmp(argv[2], "ordered");
	size_t repeats = bench_argument(argc, argv, 3, 1);
	size_t records = bench_argument(argc, argv, 5, 1000);
	int twice = argc <= 4 || strcmp(argv[4], "fresh") != 0;
	uint64_t *dues = bench_alloc(n, sizeof(*dues)), random = 1;
	struct figures fresh = {0}, aged = {0};

	for (size_t i = 0; i < repeats; i++) {
		uint32_t *order = bench_permutation(n, &random);

		make_dues(dues, n, ordered, &random);
		life_open(n, records);
		live(dues, order, n, &fresh);
		if (twice)
			live(dues, order, n, &aged);
		life_close();
		free(order);
	}
	print("fresh", &fresh, repeats);
	if (twice)
		print("aged", &aged, repeats);
	free(dues);
}
