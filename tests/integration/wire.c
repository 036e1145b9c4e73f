/* SPDX-License-Identifier: MIT */
#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Whether wire_fork() made this process. It must not return into the list of tests. */
static bool in_child;

void wire_check(bool holds, const char *text, const char *file, int line)
{
	if (holds)
		return;
	fprintf(stderr, "%s:%d: does not hold: %s (errno %s)\n", file, line, text, strerror(errno));
	if (in_child)
		_exit(1);
	_fail(file, line);
}

/* Connects. With SOCK_NONBLOCK, it does not wait for room in the backlog. Return: whether there was
 * room. */
static bool dial(struct wire *w, const char *path, int flags)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	check(strlen(path) < sizeof(address.sun_path));
	memcpy(address.sun_path, path, strlen(path));
	w->serial = 0;
	w->size = 0;
	w->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);
	check(w->fd >= 0);
	if (connect(w->fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return true;
	check(flags & SOCK_NONBLOCK && errno == EAGAIN);
	close(w->fd);
	return false;
}

void wire_connect(struct wire *w, const char *path)
{
	dial(w, path, 0);
}

static void greet(struct wire *w)
{
	const struct proto_hello hello = {.magic = PROTO_MAGIC, .version = PROTO_VERSION};

	wire_request(w, PROTO_HELLO, &hello, 1);
	wire_expect(w, PROTO_HELLO | PROTO_ANSWER);
}

void wire_open(struct wire *w, const char *path)
{
	wire_connect(w, path);
	greet(w);
}

void wire_open_by_retries(struct wire *w, const char *path, uint64_t pause)
{
	while (!dial(w, path, SOCK_NONBLOCK))
		wire_sleep_us(pause);
	check(fcntl(w->fd, F_SETFL, 0) == 0);
	greet(w);
}

void wire_close(struct wire *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

void wire_begin(struct wire *w, enum proto_opcode opcode)
{
	codec_begin(&w->writer, w->out, opcode, ++w->serial);
}

void wire_put(struct wire *w, const void *record)
{
	check(!codec_full(&w->writer));
	codec_put(&w->writer, record, w->writer.header.record_size);
}

void wire_end(struct wire *w, uint64_t cursor)
{
	check(wire_send(w, w->out, codec_end(&w->writer, cursor)));
}

void wire_request(struct wire *w, enum proto_opcode opcode, const void *records, size_t n)
{
	wire_begin(w, opcode);
	for (size_t i = 0; i < n; i++)
		wire_put(w, (const uint8_t *)records + i * w->writer.header.record_size);
	wire_end(w, 0);
}

bool wire_send(struct wire *w, const void *packet, size_t size)
{
	ssize_t n;

	do
		n = send(w->fd, packet, size, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	check(n == (ssize_t)size || (n < 0 && (errno == EPIPE || errno == ECONNRESET)));
	return n >= 0;
}

bool wire_pass(struct wire *w, const void *packet, size_t size, int n)
{
	static union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(WIRE_PASS_MAX * sizeof(int))];
	} control;
	const size_t bytes = (size_t)n * sizeof(int);
	struct iovec iov = {(void *)packet, size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ssize_t sent;

	check(fd >= 0);
	msg.msg_controllen = CMSG_SPACE(bytes);
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(bytes);
	for (int i = 0; i < n; i++)
		memcpy(CMSG_DATA(&control.header) + (size_t)i * sizeof(int), &fd, sizeof(fd));
	sent = sendmsg(w->fd, &msg, MSG_NOSIGNAL);
	check(sent == (ssize_t)size || (sent < 0 && errno == EPERM));
	close(fd);
	return sent >= 0;
}

bool wire_wait(struct wire *w, int timeout_ms)
{
	struct pollfd fd = {.fd = w->fd, .events = POLLIN};
	ssize_t n;
	int r;

	do
		r = poll(&fd, 1, timeout_ms);
	while (r < 0 && errno == EINTR);
	check(r >= 0);
	if (r == 0)
		return false;
	n = recv(w->fd, w->in, sizeof(w->in), 0);
	/* The kernel reports this once, if the daemon closed before it had read everything. The
	 * packets that it sent can still be read. */
	if (n < 0 && errno == ECONNRESET)
		n = recv(w->fd, w->in, sizeof(w->in), 0);
	check(n >= 0);
	w->size = (size_t)n;
	if (n > 0)
		check(codec_open(w->in, w->size, CODEC_FROM_DAEMON, &w->header) == CODEC_OK);
	return true;
}

void wire_expect(struct wire *w, unsigned int opcode)
{
	check(wire_wait(w, WIRE_PATIENCE_MS));
	check(w->size > 0);
	check(w->header.opcode == opcode);
	if (opcode & PROTO_ANSWER)
		check(w->header.serial <= w->serial);
}

void wire_expect_end(struct wire *w)
{
	check(wire_wait(w, WIRE_PATIENCE_MS));
	check(w->size == 0);
}

void wire_expect_error(struct wire *w, enum proto_status status, uint64_t serial, const char *text)
{
	struct proto_error error;

	wire_expect(w, PROTO_ERROR);
	check(w->header.count == 1);
	wire_get(w, 0, &error);
	if (error.status != status || (text && strncmp(error.text, text, sizeof(error.text)) != 0))
		fprintf(stderr, "got: %u, \"%.*s\"\nnot: %u, \"%s\"\n", error.status,
			(int)sizeof(error.text), error.text, status, text ? text : "");
	check(error.status == status);
	check(error.serial == serial);
	check(error.reserved == 0);
	check(!text || strncmp(error.text, text, sizeof(error.text)) == 0);
	wire_expect_end(w);
}

void wire_get(const struct wire *w, uint32_t i, void *ret)
{
	check(i < w->header.count);
	codec_get(w->in, &w->header, i, ret, w->header.record_size);
}

void wire_status(const char *path, struct proto_status_answer *ret)
{
	static struct wire w;

	wire_open(&w, path);
	wire_request(&w, PROTO_STATUS, NULL, 0);
	wire_expect(&w, PROTO_STATUS | PROTO_ANSWER);
	wire_get(&w, 0, ret);
	wire_close(&w);
}

static void await_number(const char *path, bool of_clients, uint64_t wanted)
{
	uint64_t end = wire_now(PROTO_CLOCK_MONOTONIC) + WIRE_PATIENCE_MS * 1000;

	for (;;) {
		struct proto_status_answer status;

		wire_status(path, &status);
		if ((of_clients ? status.clients - 1 : status.timers) == wanted)
			return;
		check(wire_now(PROTO_CLOCK_MONOTONIC) < end);
		wire_sleep_us(2000);
	}
}

void wire_await_timers(const char *path, uint64_t timers)
{
	await_number(path, false, timers);
}

void wire_await_clients(const char *path, uint64_t clients)
{
	await_number(path, true, clients);
}

uint64_t wire_now(enum proto_clock clock)
{
	static const clockid_t ids[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME};
	struct timespec ts;

	check(clock_gettime(ids[clock], &ts) == 0);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

void wire_sleep_us(uint64_t us)
{
	struct timespec ts = {(time_t)(us / 1000000), (long)(us % 1000000 * 1000)};

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

pid_t wire_fork(void)
{
	pid_t parent = getpid(), pid;

	fflush(NULL);
	pid = fork();
	check(pid >= 0);
	if (pid)
		return pid;
	in_child = true;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	return 0;
}

void wire_join(pid_t pid)
{
	int status;
	pid_t r;

	do
		r = waitpid(pid, &status, 0);
	while (r < 0 && errno == EINTR);
	check(r == pid);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
