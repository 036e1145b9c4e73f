/* SPDX-License-Identifier: MIT */
/*
 * start COMMAND [ARG...]: measures from fork() until the command sends READY=1 to NOTIFY_SOCKET,
 * and then sends it SIGTERM. For comparison, measures a program that only starts and exits.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static pid_t start(char *const *command)
{
	pid_t pid = fork();

	if (pid < 0)
		bench_die("fork", errno);
	if (pid == 0) {
		execv(command[0], command);
		_exit(127);
	}
	return pid;
}

static void await_ready(int fd)
{
	char message[4096];
	ssize_t n;

	do {
		n = recv(fd, message, sizeof(message) - 1, 0);
		if (n < 0)
			bench_die("no READY=1", errno);
		message[n] = 0;
	} while (!strstr(message, "READY=1"));
}

int main(int argc, char **argv)
{
	char nothing[] = "/bin/true";
	char *const nothing_command[] = {nothing, NULL};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = 10};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t before;
	pid_t pid;

	if (argc < 2)
		bench_die("start COMMAND [ARG...]", 0);
	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "timerd-bench-%d", getpid());
	if (bind(fd, (struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			    strlen(address.sun_path + 1))) < 0)
		bench_die("bind", errno);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	address.sun_path[0] = '@';
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	before = bench_ns();
	pid = start(argv + 1);
	await_ready(fd);
	bench_print("ready", (double)(bench_ns() - before) / 1e6, "ms");
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	before = bench_ns();
	waitpid(start(nothing_command), NULL, 0);
	bench_print("nothing", (double)(bench_ns() - before) / 1e6, "ms");
}
