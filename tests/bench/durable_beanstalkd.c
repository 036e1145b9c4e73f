/* SPDX-License-Identifier: MIT */
/*
 * durable_beanstalkd SOCKET put|drain N: N jobs of 64 bytes, with a server that has a log and syncs
 * it for each job (-b -f0).
 *
 *	put    delayed jobs, 1,000 in flight
 *	drain  ready jobs: reserved and deleted, 1,000 of each in flight
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench.h"

#define BATCH 1000

static FILE *in;
static int fd;

static void send_all(const char *text, size_t length)
{
	for (size_t sent = 0; sent < length;) {
		ssize_t some = write(fd, text + sent, length - sent);

		if (some < 0)
			bench_die("write", errno);
		sent += (size_t)some;
	}
}

/* Reads lines until one begins with the word. Return: the number after the word. */
static unsigned long long await(const char *word)
{
	char line[256];

	if (!fgets(line, sizeof(line), in) || strncmp(line, word, strlen(word)))
		bench_die("an answer of beanstalkd", 0);
	return strtoull(line + strlen(word), NULL, 10);
}

static void put(size_t n, unsigned int delay)
{
	static char text[BATCH * 128];
	size_t length = 0;

	for (size_t i = 0; i < n; i++)
		length += (size_t)snprintf(text + length, sizeof(text) - length,
			"put 0 %u 600 64\r\n%064zu\r\n", delay, i);
	send_all(text, length);
	for (size_t i = 0; i < n; i++)
		await("INSERTED ");
}

static void take(size_t n)
{
	static char text[BATCH * 32];
	size_t length = 0;
	char body[256];

	for (size_t i = 0; i < n; i++)
		length += (size_t)snprintf(text + length, sizeof(text) - length, "reserve\r\n");
	send_all(text, length);
	length = 0;
	for (size_t i = 0; i < n; i++) {
		length += (size_t)snprintf(text + length, sizeof(text) - length, "delete %llu\r\n",
			await("RESERVED "));
		if (!fgets(body, sizeof(body), in))
			bench_die("a job", errno);
	}
	send_all(text, length);
	for (size_t i = 0; i < n; i++)
		await("DELETED");
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t n = bench_argument(argc, argv, 3, 10000);
	bool drains = argc > 2 && !strcmp(argv[2], "drain");
	uint64_t start = bench_ns();

	if (argc < 3)
		bench_die("durable_beanstalkd SOCKET put|drain N", 0);
	n -= n % BATCH;
	strncpy(address.sun_path, argv[1], sizeof(address.sun_path) - 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		bench_die("connect", errno);
	in = fdopen(fd, "r");
	for (size_t i = 0; i < n; i += BATCH)
		put(BATCH, drains ? 0 : 3600 * 24);
	if (drains)
		start = bench_ns();
	for (size_t i = 0; i < n && drains; i += BATCH)
		take(BATCH);
	bench_print("rate", (double)n * 1e6 / (double)(bench_ns() - start), "k/s");
	fclose(in);
}
