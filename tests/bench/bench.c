/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

uint64_t bench_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void bench_sleep_until(uint64_t ns)
{
	struct timespec until = {
		.tv_sec = (time_t)(ns / 1000000000),
		.tv_nsec = (long)(ns % 1000000000),
	};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

void bench_die(const char *what, int error)
{
	fprintf(stderr, "%s%s%s\n", what, error ? ": " : "", error ? strerror(abs(error)) : "");
	exit(EXIT_FAILURE);
}

uint64_t bench_argument(int argc, char **argv, int i, uint64_t otherwise)
{
	return i < argc ? strtoull(argv[i], NULL, 10) : otherwise;
}

uint64_t bench_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * UINT64_C(2685821657736338717);
}

uint32_t *bench_permutation(size_t n, uint64_t *state)
{
	uint32_t *order = bench_alloc(n, sizeof(*order));

	for (size_t i = 0; i < n; i++) {
		size_t other = bench_random(state) % (i + 1);

		order[i] = order[other];
		order[other] = (uint32_t)i;
	}
	return order;
}

void *bench_alloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		bench_die("calloc", errno);
	return p;
}

void *bench_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		bench_die("mmap", errno);
	return p;
}

void bench_print(const char *name, double value, const char *unit)
{
	printf("%s %.6g %s\n", name, value, unit);
	fflush(stdout);
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

void bench_print_samples(const char *name, uint64_t *samples, size_t n)
{
	const struct {
		const char *name;
		size_t at;
	} points[] = {{"p50", n / 2}, {"p99", n - 1 - n / 100}, {"max", n - 1}};
	char text[64];

	if (!n)
		bench_die("no samples", 0);
	qsort(samples, n, sizeof(*samples), compare);
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		snprintf(text, sizeof(text), "%s_%s", name, points[i].name);
		bench_print(text, (double)samples[points[i].at] / 1000, "us");
	}
}

uint64_t bench_proc_status(int pid, const char *name)
{
	size_t length = strlen(name);
	char path[32], line[256];
	uint64_t value = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	if (!f)
		bench_die(path, errno);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, length) && line[length] == ':')
			value = strtoull(line + length + 1, NULL, 10);
	fclose(f);
	return value;
}

size_t bench_raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		bench_die("getrlimit", errno);
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		bench_die("setrlimit", errno);
	return limit.rlim_cur;
}
