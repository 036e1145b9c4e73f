/* SPDX-License-Identifier: MIT */
/*
 * meddle VERB: damages what outlives timerd, as no timerd would, and checks the result.
 *
 *   layout PID   makes the arena of that process one of another build, with a different layout
 *   damage PID   changes one byte of one timer's record in that arena
 *   store KIND   for ExecStartPre=: stores something that is no arena under its name. KIND:
 *                short (a small file), unsealed, noise, liar (a valid header before noise), pipe
 *   hear         connects, registers a timer that is due in a day, prints a line for each packet
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "arena.h"
#include "codec.h"

#define SHORT_SIZE 4096
#define NOISE_SIZE (UINT32_C(64) << 20)

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "meddle: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static void check(bool good, const char *what)
{
	if (!good)
		die(what);
}

/* Opens the memory of the arena of a running process. */
static int open_arena(const char *pid)
{
	char folder[64], path[320], target[256];
	const struct dirent *entry;
	DIR *dir;
	int fd = -1;

	snprintf(folder, sizeof(folder), "/proc/%s/fd", pid);
	dir = opendir(folder);
	check(dir, folder);
	while (fd < 0 && (entry = readdir(dir))) {
		ssize_t n;

		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = 0;
		if (strstr(target, "timerd-arena"))
			fd = open(path, O_RDWR | O_CLOEXEC);
	}
	closedir(dir);
	check(fd >= 0, "no arena");
	return fd;
}

static void view(struct arena *arena, int fd, size_t size)
{
	void *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	check(block != MAP_FAILED, "mmap");
	arena_view(arena, block, ARENA_TIMERS_MAX, ARENA_CLIENTS_MAX);
}

static void change_layout(const char *pid)
{
	struct arena arena;

	view(&arena, open_arena(pid), arena_size(ARENA_TIMERS_MAX, ARENA_CLIENTS_MAX));
	arena.header->layout++;
}

static void damage(const char *pid)
{
	struct arena arena;
	uint32_t timer = 1;

	view(&arena, open_arena(pid), arena_size(ARENA_TIMERS_MAX, ARENA_CLIENTS_MAX));
	while (timer < arena.header->timers_top &&
		((arena.nodes[timer].tag & 0xff) != TIMER_ARMED ||
			arena.timers[timer].session == ARENA_OWN_SESSION))
		timer++;
	arena.timers[timer].cookie ^= 0x1000;
}

static void fill_with_noise(void *block)
{
	for (uint32_t i = 0; i < NOISE_SIZE; i += 256)
		check(getrandom((char *)block + i, 256, 0) == 256, "getrandom");
}

static void make_liar(struct arena_header *header, size_t size)
{
	header->magic = ARENA_MAGIC;
	header->layout = ARENA_LAYOUT;
	header->size = size;
	header->max_timers = ARENA_TIMERS_MAX;
	header->max_clients = ARENA_CLIENTS_MAX;
	header->adopting = 0;
}

static int make_foreign(const char *kind)
{
	size_t size = arena_size(ARENA_TIMERS_MAX, ARENA_CLIENTS_MAX);
	int fd = memfd_create("foreign", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct arena arena;

	check(fd >= 0, "memfd_create");
	if (!strcmp(kind, "short"))
		size = SHORT_SIZE;
	check(ftruncate(fd, (off_t)size) == 0, "ftruncate");
	if (!strcmp(kind, "noise") || !strcmp(kind, "liar")) {
		view(&arena, fd, size);
		fill_with_noise(arena.header);
		if (!strcmp(kind, "liar"))
			make_liar(arena.header, size);
	}
	if (strcmp(kind, "unsealed") != 0)
		check(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0,
			"F_ADD_SEALS");
	return fd;
}

static void store(const char *kind)
{
	int fds[2];

	if (!strcmp(kind, "pipe"))
		check(pipe2(fds, O_CLOEXEC) == 0, "pipe");
	else
		fds[0] = make_foreign(kind);
	check(sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDPOLL=0\nFDNAME=arena-4", fds, 1) > 0,
		"FDSTORE");
	check(sd_notify_barrier(0, 5000000) >= 0, "no barrier");
}

static void ask(int fd, uint64_t serial, uint16_t opcode, const void *record)
{
	static uint8_t packet[PROTO_PACKET_MAX];
	struct codec_writer writer;
	size_t size;

	codec_begin(&writer, packet, opcode, serial);
	codec_put(&writer, record, writer.header.record_size);
	size = codec_end(&writer, 0);
	check(send(fd, packet, size, 0) == (ssize_t)size, "send");
}

static void tell(const void *packet, size_t size)
{
	struct proto_going_away going;
	struct proto_header header;

	if (codec_open(packet, size, CODEC_FROM_DAEMON, &header) != CODEC_OK) {
		printf("nonsense\n");
	} else if (header.opcode == PROTO_GOING_AWAY) {
		codec_get(packet, &header, 0, &going, sizeof(going));
		printf("going away, reason %" PRIu32 "\n", going.reason);
	} else {
		printf("%#x\n", header.opcode);
	}
}

static void hear(void)
{
	static uint8_t packet[PROTO_PACKET_MAX];
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = PROTO_SOCKET_SYSTEM};
	struct proto_hello hello = {.magic = PROTO_MAGIC, .version = PROTO_VERSION};
	struct proto_register timer = {
		.due = UINT64_C(86400000000),
		.clock = PROTO_CLOCK_MONOTONIC,
		.flags = PROTO_RELATIVE,
		.label = "hear",
	};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	ssize_t n;

	check(connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0, "connect");
	setvbuf(stdout, NULL, _IOLBF, 0);
	ask(fd, 1, PROTO_HELLO, &hello);
	ask(fd, 2, PROTO_REGISTER, &timer);
	while ((n = recv(fd, packet, sizeof(packet), 0)) > 0)
		tell(packet, (size_t)n);
	printf("end of file\n");
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "", *word = argc > 2 ? argv[2] : "";

	if (!strcmp(verb, "layout") && *word)
		change_layout(word);
	else if (!strcmp(verb, "damage") && *word)
		damage(word);
	else if (!strcmp(verb, "store") && *word)
		store(word);
	else if (!strcmp(verb, "hear"))
		hear();
	else
		return 2;
	return EXIT_SUCCESS;
}
