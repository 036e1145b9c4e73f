/* SPDX-License-Identifier: MIT */
/*
 * peer_beanstalkd SOCKET N: puts N delayed jobs in batches of 1,000, at most two of which wait for
 * answers; then a tenth more. Prints a line and waits until its standard input ends.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench.h"

#define BATCH	  UINT64_C(1000)
#define IN_FLIGHT 2

static int fd;
static uint64_t seed = 1;

static void send_batch(size_t n)
{
	static char text[BATCH * 64];
	size_t length = 0;

	for (size_t i = 0; i < n; i++)
		length += (size_t)snprintf(text + length, sizeof(text) - length,
			"put 0 %u 60 1\r\nx\r\n",
			3600 + (unsigned int)(bench_random(&seed) % 1000000));
	for (size_t sent = 0; sent < length;) {
		ssize_t some = write(fd, text + sent, length - sent);

		if (some < 0)
			bench_die("write", errno);
		sent += (size_t)some;
	}
}

/* Each answer is a line, INSERTED and a number. */
static size_t count_answers(void)
{
	static char text[65536];
	ssize_t n = read(fd, text, sizeof(text));
	size_t lines = 0;

	if (n <= 0)
		bench_die("read", errno);
	for (char *p = text; (p = memchr(p, '\n', (size_t)(text + n - p))); p++)
		lines++;
	return lines;
}

static void put_all(const char *name, size_t n)
{
	uint64_t start = bench_ns();
	size_t sent = 0;

	for (size_t answered = 0; answered < n; answered += count_answers()) {
		while (sent < n && sent < answered + IN_FLIGHT * BATCH) {
			size_t some = n - sent < BATCH ? n - sent : BATCH;

			send_batch(some);
			sent += some;
		}
	}
	bench_print(name, (double)n * 1e3 / (double)(bench_ns() - start), "M/s");
}

int main(int argc, char **argv)
{
	size_t n = bench_argument(argc, argv, 2, 1000000);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char byte;

	if (argc < 2)
		bench_die("peer_beanstalkd SOCKET N", 0);
	strncpy(address.sun_path, argv[1], sizeof(address.sun_path) - 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		bench_die("connect", errno);
	put_all("fill", n);
	put_all("held", n / 10);
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}
