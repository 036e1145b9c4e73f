/* SPDX-License-Identifier: MIT */
/*
 * limits N: what this machine can do at best. Echoes N 64-byte records as 24-byte records in
 * packets of 64 KB, four of them in flight. Sends N 48-byte records one way. Creates and arms a
 * timerfd, and prints the kernel's memory for it. That figure comes from all slabs of the kernel,
 * so it is noisy.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "bench.h"
#include "proto.h"
#include "relay.h"

#define IN_FLIGHT 4
#define TIMERFDS  10000

static char packet[PROTO_PACKET_MAX];

static void measure_echo(size_t n)
{
	size_t records = PROTO_RECORDS_MAX(struct proto_register);
	size_t packets = (n + records - 1) / records, sent = 0;
	struct proto_register *requests = (struct proto_register *)packet;
	const struct proto_registered *answers = (const struct proto_registered *)packet;
	int fd = relay_start(relay_echo);
	uint64_t start = bench_ns(), sum = 0;

	for (size_t received = 0; received < packets; received++) {
		for (; sent < packets && sent < received + IN_FLIGHT; sent++) {
			for (size_t i = 0; i < records; i++)
				requests[i] = (struct proto_register){.cookie = i, .due = sent};
			relay_send(fd, packet, records * sizeof(*requests));
		}
		relay_receive(fd, packet, sizeof(packet));
		for (size_t i = 0; i < records; i++)
			sum += answers[i].id;
	}
	bench_print(
		"echo", (double)(packets * records) * 1e3 / (double)(bench_ns() - start), "M/s");
	if (sum != packets * (records * (records - 1) / 2))
		bench_die("not what was asked came back", 0);
	close(fd);
}

static size_t one_way_packets;

static void send_all(int fd)
{
	struct proto_wake *wakes = (struct proto_wake *)packet;

	/* Waits for the start, and fills in each record, as a daemon would. */
	relay_receive(fd, packet, sizeof(packet));
	for (size_t i = 0; i < one_way_packets; i++) {
		for (size_t j = 0; j < PROTO_RECORDS_MAX(struct proto_wake); j++)
			wakes[j] = (struct proto_wake){.cookie = i, .id = j, .due = i + j};
		relay_send(fd, packet,
			PROTO_RECORDS_MAX(struct proto_wake) * sizeof(struct proto_wake));
	}
}

static void measure_one_way(size_t n)
{
	size_t records = 0;
	uint64_t start, sum = 0;
	int fd;

	one_way_packets = (n + PROTO_RECORDS_MAX(struct proto_wake) - 1) /
		PROTO_RECORDS_MAX(struct proto_wake);
	fd = relay_start(send_all);
	start = bench_ns();
	relay_send(fd, "go", 2);
	for (size_t i = 0; i < one_way_packets; i++) {
		const struct proto_wake *wakes = (const struct proto_wake *)packet;
		size_t got = relay_receive(fd, packet, sizeof(packet)) / sizeof(*wakes);

		for (size_t j = 0; j < got; j++)
			sum += wakes[j].cookie;
		records += got;
	}
	bench_print("one_way", (double)records * 1e3 / (double)(bench_ns() - start), "M/s");
	if (!sum)
		bench_die("nothing came", 0);
	close(fd);
}

static uint64_t slab_bytes(void)
{
	char line[256];
	unsigned long kb = 0;
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Slab: %lu kB", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return (uint64_t)kb * 1024;
}

static void measure_timerfds(void)
{
	size_t room = bench_raise_descriptors(), n = TIMERFDS < room - 64 ? TIMERFDS : room - 64;
	int *fds = bench_alloc(n, sizeof(*fds));
	uint64_t random = 1, slab = slab_bytes(), start;

	start = bench_ns();
	for (size_t i = 0; i < n; i++) {
		struct itimerspec at = {
			.it_value.tv_sec = 3600 + (time_t)(bench_random(&random) % 1000000),
		};

		fds[i] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (fds[i] < 0 || timerfd_settime(fds[i], 0, &at, NULL) < 0)
			bench_die("timerfd", errno);
	}
	bench_print("timerfd", (double)(bench_ns() - start) / (double)n, "ns");
	bench_print("timerfd_memory", (double)(int64_t)(slab_bytes() - slab) / (double)n, "bytes");
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
	free(fds);
}

int main(int argc, char **argv)
{
	size_t n = bench_argument(argc, argv, 1, 4000000);

	measure_echo(n);
	measure_one_way(n);
	measure_timerfds();
}
