/* SPDX-License-Identifier: MIT */
/*
 * hold SOCKET timers N: holds N timers, due at random in an hour and later.
 * hold SOCKET connections N: holds N connections that have said hello, in four processes.
 *
 * Says `ready` and stays until its standard input ends.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench.h"
#include "codec.h"
#include "toytimer.h"

#define PROCESSES 4
#define BATCH	  UINT64_C(100000)

static void hold_timers(const char *path, size_t n)
{
	toytimer_registration *r = bench_alloc(BATCH, sizeof(*r));
	uint64_t random = 1;
	toytimer *t;
	int error = toytimer_open(&t, path);

	for (size_t i = 0; error >= 0 && i < n; i += BATCH) {
		size_t some = n - i < BATCH ? n - i : BATCH;

		for (size_t j = 0; j < some; j++) {
			r[j].flags = TOYTIMER_RELATIVE;
			r[j].due = UINT64_C(3600000000) +
				bench_random(&random) % UINT64_C(1000000000000);
		}
		error = toytimer_register_many(t, r, some, NULL, NULL);
		if (error >= 0 && (size_t)error != some)
			error = -EDQUOT;
	}
	if (error < 0)
		bench_die("timers", error);
	free(r);
}

static void connect_one(const struct sockaddr_un *address)
{
	struct proto_hello hello = {.magic = PROTO_MAGIC, .version = PROTO_VERSION};
	uint8_t packet[256];
	struct codec_writer writer;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		bench_die("connect", errno);
	codec_begin(&writer, packet, PROTO_HELLO, 1);
	codec_put(&writer, &hello, sizeof(hello));
	if (send(fd, packet, codec_end(&writer, 0), MSG_NOSIGNAL) < 0 ||
		recv(fd, packet, sizeof(packet), 0) <= 0)
		bench_die("hello", errno);
}

static void hold_connections(const char *path, size_t n)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int ready[2];
	char byte;

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	if (pipe(ready) < 0)
		bench_die("pipe", errno);
	for (size_t i = 0; i < PROCESSES; i++) {
		if (fork() != 0)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		bench_raise_descriptors();
		for (size_t j = n * i / PROCESSES; j < n * (i + 1) / PROCESSES; j++)
			connect_one(&address);
		if (write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	for (size_t i = 0; i < PROCESSES; i++)
		if (read(ready[0], &byte, 1) != 1)
			bench_die("a process of connections has failed", 0);
}

int main(int argc, char **argv)
{
	size_t n = bench_argument(argc, argv, 3, 1000);
	char byte;

	if (argc < 3)
		bench_die("hold SOCKET timers|connections N", 0);
	if (!strcmp(argv[2], "timers"))
		hold_timers(argv[1], n);
	else
		hold_connections(argv[1], n);
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}
