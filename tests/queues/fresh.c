/* SPDX-License-Identifier: MIT */
#include "fresh.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "queue_codec.h"

#define WAIT_MS 20000

static char folder[64], socket_path[96], why[256];

static _Alignas(8) uint8_t buffer[QUEUE_CODEC_BUFFER];
static uint64_t serial;

static pid_t launch(const char *timerqd)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execl(timerqd, timerqd, "--state", folder, "--socket", socket_path, "--timerd",
		"/nonexistent", "--log-level", "crit", (char *)NULL);
	_exit(127);
}

static int reach(pid_t pid)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
	for (int i = 0; i < WAIT_MS; i++) {
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
			return fd;
		if (waitpid(pid, NULL, WNOHANG) == pid)
			break;
		usleep(1000);
	}
	close(fd);
	return -1;
}

/* Sends the packet in the writer and waits for its answer. */
static bool ask(
	int fd, struct queue_codec_writer *w, uint64_t cursor, struct queue_codec_packet *ret)
{
	static _Alignas(8) uint8_t answer[PROTO_PACKET_MAX];
	size_t size = queue_codec_end(w, cursor);
	ssize_t n = send(fd, buffer, size, MSG_NOSIGNAL);

	if (n == (ssize_t)size)
		n = recv(fd, answer, sizeof(answer), 0);
	return n > 0 && queue_codec_open(answer, (size_t)n, CODEC_FROM_DAEMON, ret) == CODEC_OK &&
		ret->header.opcode == (w->header.opcode | PROTO_ANSWER) &&
		ret->header.serial == w->header.serial;
}

static bool greet(int fd)
{
	struct proto_queue_hello hello = {
		.magic = PROTO_QUEUE_MAGIC, .version = PROTO_QUEUE_VERSION};
	struct queue_codec_packet p;
	struct queue_codec_writer w;

	queue_codec_begin(&w, buffer, PROTO_QUEUE_HELLO, ++serial);
	queue_codec_put(&w, &hello);
	return ask(fd, &w, 0, &p);
}

static bool open_queue(int fd, const char *name, uint32_t *ret)
{
	struct proto_queue_open open = {
		.uid = PROTO_QUEUE_OWN, .name_size = (uint16_t)strlen(name)};
	struct proto_queue_opened opened;
	struct queue_codec_packet p;
	struct queue_codec_writer w;

	queue_codec_begin(&w, buffer, PROTO_QUEUE_OPEN, ++serial);
	open.name = queue_codec_add_bytes(&w, name, strlen(name));
	queue_codec_put(&w, &open);
	if (!ask(fd, &w, 0, &p) || p.header.count != 1)
		return false;
	queue_codec_get(&p, 0, &opened);
	*ret = opened.queue;
	return !opened.status;
}

/* Sums up the list of a queue. */
static bool list(int fd, uint32_t queue, bool parked, struct fresh_sum *sum)
{
	struct proto_queue_list request = {
		.queue = queue, .flags = parked ? PROTO_QUEUE_PARKED : 0};
	uint64_t cursor = 0;

	do {
		struct queue_codec_packet p;
		struct queue_codec_writer w;

		queue_codec_begin(&w, buffer, PROTO_QUEUE_LIST, ++serial);
		queue_codec_put(&w, &request);
		if (!ask(fd, &w, cursor, &p))
			return false;
		for (uint32_t i = 0; i < p.header.count; i++) {
			struct proto_queue_listed row;

			queue_codec_get(&p, i, &row);
			if (!parked && row.state == PROTO_QUEUE_IS_PARKED)
				continue;
			fresh_add(sum, row.id, row.due, row.payload_size);
		}
		cursor = p.header.cursor;
	} while (cursor);
	return true;
}

static const char *compare(int fd, const struct fresh_sum *expected)
{
	struct fresh_sum found = {0};

	serial = 0;
	if (!greet(fd))
		return "it does not greet";
	for (int i = 0; i < 3; i++) {
		const char name[2] = {(char)('a' + i), 0};
		uint32_t queue;

		if (!open_queue(fd, name, &queue))
			return "it does not open a queue";
		if (!list(fd, queue, false, &found) || !list(fd, queue, true, &found))
			return "it does not list a queue";
	}
	if (found.count == expected->count && found.sum == expected->sum)
		return NULL;
	snprintf(why, sizeof(why), "it lists %llu timers, the file has %llu",
		(unsigned long long)found.count, (unsigned long long)expected->count);
	return why;
}

const char *fresh_check(
	const char *timerqd, const struct disk *image, const struct fresh_sum *expected)
{
	const char *wrong = "it does not start";
	int fd, status;
	pid_t pid;

	if (!*folder) {
		/* In memory, if there is such a file system: syncs to a real disk would prove
		 * nothing here. */
		const char *place = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

		snprintf(folder, sizeof(folder), "%s/timerqd-XXXXXX", place);
		if (!mkdtemp(folder))
			return "no folder";
		snprintf(socket_path, sizeof(socket_path), "%s/socket", folder);
	}
	if (disk_export(image, folder) < 0)
		return "the image cannot be written";
	unlink(socket_path);
	pid = launch(timerqd);
	fd = reach(pid);
	if (fd >= 0) {
		wrong = compare(fd, expected);
		close(fd);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return wrong;
}

void fresh_clean(void)
{
	char command[128];

	if (!*folder)
		return;
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	if (system(command))
		perror(folder);
}
