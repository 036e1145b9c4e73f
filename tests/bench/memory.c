/* SPDX-License-Identifier: MIT */
/*
 * memory [N [ROUNDS [SESSIONS]]]: the cost of an arena that outlives the process.
 *
 * First the core runs in process, alternately with anonymous memory and with memory like the
 * daemon's, a memfd that is mapped shared. It enrolls N timers with random dues, cancels half of
 * them in random order, and expires the others. All pages are touched before. Prints for each kind
 * the CPU time for a page (paid once in the life of a daemon) and for a timer in nanoseconds, the
 * median over the rounds; and the ratio shared / plain: the median, the smallest and the largest
 * ratio of a round.
 *
 * Then adoption: N timers of SESSIONS sessions, with random and with ordered dues, are in a memfd.
 * As in the next process, the memfd is mapped again and adopted. Prints milliseconds.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "reading.h"
#include "worker.h"

#define BATCH	512
#define PAGE	4096
#define SOONEST UINT64_C(1000000000) /* us */
#define SPREAD	UINT64_C(1000000000000)
#define ALL_DUE (SOONEST + 2 * SPREAD)

enum { TOUCH, ENROLL, CANCEL, EXPIRE, STEPS };
enum { PLAIN, SHARED, KINDS };

static const char *const steps[STEPS] = {"page", "enroll", "cancel", "expire"};
static const char *const kinds[KINDS] = {"plain", "shared"};

struct bed {
	struct worker_config config;
	struct worker worker;
	struct now now;
	void *block;
	size_t size;
	int fd;
	size_t sessions;
	uint64_t *serials; /* by session */
	uint64_t *ids;	   /* by timer, in the order of registration */
	double page_ns;	   /* of the first write to a page */
};

static _Alignas(8) uint8_t packet[PROTO_PACKET_MAX];

static uint64_t cpu_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

static void map(struct bed *bed)
{
	int flags = bed->fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;

	bed->block = mmap(
		NULL, bed->size, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, bed->fd, 0);
	if (bed->block == MAP_FAILED)
		bench_die("mmap", errno);
}

/* Writes to each page, so that later writes cause no page fault. */
static void touch(struct bed *bed)
{
	volatile uint8_t *block = bed->block;
	uint64_t since = cpu_ns();

	for (size_t i = 0; i < bed->size; i += PAGE)
		block[i] = 0;
	bed->page_ns = (double)(cpu_ns() - since) / (double)(bed->size / PAGE);
}

/* Hands one packet over. Return: the answer. */
static const void *hand_over(
	struct bed *bed, uint32_t session, struct codec_writer *writer, struct proto_header *ret)
{
	const void *answer;
	bool end;
	size_t size = worker_handle(
		&bed->worker, session, packet, codec_end(writer, 0), &bed->now, &answer, &end);

	if (end || codec_open(answer, size, CODEC_FROM_DAEMON, ret) != CODEC_OK)
		bench_die("worker_handle", 0);
	worker_answered(&bed->worker);
	return answer;
}

static void open_session(struct bed *bed, uint32_t number)
{
	struct proto_hello hello = {.magic = PROTO_MAGIC, .version = PROTO_VERSION};
	struct peer peer = {.pid = 1, .socket = number + 1, .comm = "memory"};
	struct proto_header header;
	struct codec_writer writer;
	uint32_t session;

	if (worker_connect(&bed->worker, &peer, &bed->now, &session))
		bench_die("worker_connect", 0);
	bed->serials[session] = 1;
	codec_begin(&writer, packet, PROTO_HELLO, 1);
	codec_put(&writer, &hello, sizeof(hello));
	hand_over(bed, session, &writer, &header);
}

static void bed_open(struct bed *bed, int kind, size_t n, size_t sessions)
{
	*bed = (struct bed){
		.config =
			{
				.limits = {(uint32_t)n, (uint32_t)n, (uint32_t)sessions + 16, 16},
				.version = "memory",
			},
		.now = {{1, 1, 1}},
		.fd = -1,
		.sessions = sessions,
		.serials = bench_alloc(sessions + 18, sizeof(uint64_t)),
		.ids = bench_alloc(n, sizeof(uint64_t)),
	};
	bed->size = worker_size(&bed->config);
	if (kind == SHARED) {
		bed->fd = memfd_create("memory", MFD_CLOEXEC);
		if (bed->fd < 0 || ftruncate(bed->fd, (off_t)bed->size) < 0)
			bench_die("memfd_create", errno);
	}
	map(bed);
	touch(bed);
	worker_init(&bed->worker, bed->block, &bed->config, &bed->now);
	for (uint32_t i = 0; i < sessions; i++)
		open_session(bed, i);
}

static void bed_close(struct bed *bed)
{
	munmap(bed->block, bed->size);
	if (bed->fd >= 0)
		close(bed->fd);
	free(bed->serials);
	free(bed->ids);
}

static uint64_t some_due(size_t i, int ordered, uint64_t *random)
{
	return SOONEST +
		(ordered ? i * 1000 + bench_random(random) % 16000 : bench_random(random) % SPREAD);
}

/* The sessions take turns, a packet each. */
static void enroll(struct bed *bed, size_t n, int ordered, uint64_t *random)
{
	uint32_t session = ARENA_OWN_SESSION + 1;

	for (size_t i = 0; i < n; i += BATCH) {
		struct proto_registered registered;
		struct proto_header header;
		struct codec_writer writer;
		const void *answer;

		codec_begin(&writer, packet, PROTO_REGISTER, ++bed->serials[session]);
		for (size_t j = i; j < n && j < i + BATCH; j++)
			codec_put(&writer,
				&(struct proto_register){
					.cookie = j + 1,
					.due = some_due(j, ordered, random),
					.clock = PROTO_CLOCK_MONOTONIC,
				},
				sizeof(struct proto_register));
		answer = hand_over(bed, session, &writer, &header);
		for (uint32_t j = 0; j < header.count; j++) {
			codec_get(answer, &header, j, &registered, sizeof(registered));
			if (registered.status)
				bench_die("refused", 0);
			bed->ids[i + j] = registered.id;
		}
		session = session == ARENA_OWN_SESSION + bed->sessions ? ARENA_OWN_SESSION + 1
								       : session + 1;
	}
}

static void cancel(struct bed *bed, const uint32_t *order, size_t n)
{
	uint32_t session = ARENA_OWN_SESSION + 1;

	for (size_t i = 0; i < n; i += BATCH) {
		struct proto_header header;
		struct codec_writer writer;

		codec_begin(&writer, packet, PROTO_CANCEL, ++bed->serials[session]);
		for (size_t j = i; j < n && j < i + BATCH; j++)
			codec_put(&writer, &(struct proto_cancel){.id = bed->ids[order[j]]},
				sizeof(struct proto_cancel));
		hand_over(bed, session, &writer, &header);
	}
}

static const struct worker_outlet outlet = READING_OUTLET(packet);

static size_t expire(struct bed *bed)
{
	struct worker_served served;
	size_t fired = 0;

	for (int i = 0; i < PROTO_CLOCKS; i++)
		bed->now.at[i] = ALL_DUE;
	worker_tick(&bed->worker, &bed->now);
	while ((served = worker_serve(&bed->worker, &bed->now, &outlet)).session)
		fired += served.records;
	return fired;
}

static void live(int kind, size_t n, uint64_t seed, double ns[static STEPS])
{
	uint32_t *order = bench_permutation(n, &seed);
	struct bed bed;
	uint64_t since;

	bed_open(&bed, kind, n, 1);
	ns[TOUCH] = bed.page_ns;
	since = cpu_ns();
	enroll(&bed, n, 0, &seed);
	ns[ENROLL] = (double)(cpu_ns() - since) / (double)n;
	since = cpu_ns();
	cancel(&bed, order, n / 2);
	ns[CANCEL] = (double)(cpu_ns() - since) / (double)(n / 2);
	since = cpu_ns();
	if (expire(&bed) != n - n / 2)
		bench_die("not every timer fired", 0);
	ns[EXPIRE] = (double)(cpu_ns() - since) / (double)(n - n / 2);
	bed_close(&bed);
	free(order);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_spread(const char *name, double *samples, size_t n)
{
	char text[80];

	qsort(samples, n, sizeof(*samples), compare);
	snprintf(text, sizeof(text), "%s_min", name);
	bench_print(text, samples[0], "x");
	snprintf(text, sizeof(text), "%s_max", name);
	bench_print(text, samples[n - 1], "x");
	bench_print(name, samples[n / 2], "x");
}

static void compare_kinds(size_t n, size_t rounds)
{
	double(*ns)[KINDS][STEPS] = bench_alloc(rounds, sizeof(*ns));
	double *samples = bench_alloc(rounds, sizeof(*samples));
	char name[64];

	for (size_t i = 0; i < rounds; i++)
		for (size_t j = 0; j < KINDS; j++)
			live((i + j) % 2 ? SHARED : PLAIN, n, i + 1, ns[i][(i + j) % 2]);
	for (int step = 0; step < STEPS; step++) {
		for (int kind = 0; kind < KINDS; kind++) {
			for (size_t i = 0; i < rounds; i++)
				samples[i] = ns[i][kind][step];
			qsort(samples, rounds, sizeof(*samples), compare);
			snprintf(name, sizeof(name), "%s_%s", kinds[kind], steps[step]);
			bench_print(name, samples[rounds / 2], "ns");
		}
		for (size_t i = 0; i < rounds; i++)
			samples[i] = ns[i][SHARED][step] / ns[i][PLAIN][step];
		snprintf(name, sizeof(name), "ratio_%s", steps[step]);
		print_spread(name, samples, rounds);
	}
	free(samples);
	free(ns);
}

static void adopt_once(size_t n, size_t sessions, int ordered, double ms[static 2])
{
	struct worker next;
	struct bed bed;
	uint64_t seed = 1, since;

	bed_open(&bed, SHARED, n, sessions);
	enroll(&bed, n, ordered, &seed);
	munmap(bed.block, bed.size);
	since = bench_ns();
	map(&bed);
	if (!worker_adopt(&next, bed.block, &bed.config, &bed.now))
		bench_die("worker_adopt", 0);
	ms[0] = (double)(bench_ns() - since) / 1e6;
	if (next.arena.header->timers != n)
		bench_die("not every timer was adopted", 0);
	/* Once more with all pages mapped, to measure the scan alone. */
	since = bench_ns();
	if (!worker_adopt(&next, bed.block, &bed.config, &bed.now))
		bench_die("worker_adopt", 0);
	ms[1] = (double)(bench_ns() - since) / 1e6;
	bed_close(&bed);
}

static void measure_adoption(size_t n, size_t sessions, size_t rounds)
{
	static const char *const names[2][2] = {
		{"adopt_random", "adopt_random_mapped"},
		{"adopt_ordered", "adopt_ordered_mapped"},
	};
	double *samples[2][2];

	for (int i = 0; i < 4; i++)
		samples[i / 2][i % 2] = bench_alloc(rounds, sizeof(double));
	for (size_t i = 0; i < rounds; i++)
		for (int ordered = 0; ordered < 2; ordered++) {
			double ms[2];

			adopt_once(n, sessions, ordered, ms);
			samples[ordered][0][i] = ms[0];
			samples[ordered][1][i] = ms[1];
		}
	for (int i = 0; i < 4; i++) {
		qsort(samples[i / 2][i % 2], rounds, sizeof(double), compare);
		bench_print(names[i / 2][i % 2], samples[i / 2][i % 2][rounds / 2], "ms");
		free(samples[i / 2][i % 2]);
	}
}

int main(int argc, char **argv)
{
	size_t n = bench_argument(argc, argv, 1, 1000000);
	size_t rounds = bench_argument(argc, argv, 2, 9);
	size_t sessions = bench_argument(argc, argv, 3, 1000);

	compare_kinds(n, rounds);
	measure_adoption(n, sessions, rounds);
}
