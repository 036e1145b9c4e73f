/* SPDX-License-Identifier: MIT */
#include "relay.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signal.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "bench.h"
#include "proto.h"

int relay_start(void (*serve)(int fd))
{
	int fds[2], size = 4 * PROTO_PACKET_MAX;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		bench_die("socketpair", errno);
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	pid = fork();
	if (pid < 0)
		bench_die("fork", errno);
	if (pid > 0) {
		close(fds[1]);
		return fds[0];
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(fds[0]);
	serve(fds[1]);
	_exit(0);
}

void relay_send(int fd, const void *packet, size_t size)
{
	if (send(fd, packet, size, MSG_NOSIGNAL) < 0)
		bench_die("send", errno);
}

size_t relay_receive(int fd, void *packet, size_t size)
{
	ssize_t n = recv(fd, packet, size, 0);

	if (n < 0)
		bench_die("recv", errno);
	return (size_t)n;
}

static void echo(int fd, int epoll)
{
	static char in[PROTO_PACKET_MAX], out[PROTO_PACKET_MAX];
	struct epoll_event event;
	size_t n;

	for (;;) {
		if (epoll >= 0)
			epoll_wait(epoll, &event, 1, -1);
		n = relay_receive(fd, in, sizeof(in));
		if (!n)
			return;
		n /= sizeof(struct proto_register);
		/* The answers depend on the requests, so that each side reads what it receives. */
		for (size_t i = 0; i < n; i++)
			memcpy(out + i * sizeof(struct proto_registered),
				in + i * sizeof(struct proto_register),
				sizeof(struct proto_registered));
		relay_send(fd, out, n * sizeof(struct proto_registered));
	}
}

void relay_echo(int fd)
{
	echo(fd, -1);
}

static int watch(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll < 0 || fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		bench_die("epoll", errno);
	return fd;
}

void relay_echo_epoll(int fd)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	watch(epoll, fd);
	echo(fd, epoll);
}

void relay_wake(int fd)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int timer = watch(epoll, timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	uint64_t number;
	struct epoll_event event;

	watch(epoll, fd);
	while (epoll_wait(epoll, &event, 1, -1) == 1) {
		struct itimerspec at = {0};

		if (event.data.fd == timer) {
			if (read(timer, &number, sizeof(number)) == sizeof(number))
				relay_send(fd, &number, sizeof(number));
			continue;
		}
		if (!relay_receive(fd, &number, sizeof(number)))
			return;
		at.it_value.tv_sec = (time_t)(number / 1000000000);
		at.it_value.tv_nsec = (long)(number % 1000000000);
		timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
	}
}
