/* SPDX-License-Identifier: MIT */
#include "pg_proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
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

#define PAIRS 16
#define NAME  ".s.PGSQL.5432"

struct pair {
	int client, server; /* 0: free */
	bool loses;	    /* the commit was passed on; drop the answer */
};

static volatile sig_atomic_t swallow;

static void on_signal(int signal)
{
	(void)signal;
	swallow = 1;
}

static struct sockaddr_un address_of(const char *folder)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/" NAME, folder);
	return a;
}

static void add_pair(struct pair *pairs, int client, const char *folder)
{
	struct sockaddr_un a = address_of(folder);
	int server = socket(AF_UNIX, SOCK_STREAM, 0);

	for (size_t i = 0; i < PAIRS; i++) {
		if (pairs[i].client || connect(server, (const struct sockaddr *)&a, sizeof(a)) < 0)
			continue;
		pairs[i] = (struct pair){.client = client, .server = server};
		return;
	}
	close(server);
	close(client);
}

static void end_pair(struct pair *p)
{
	close(p->client);
	close(p->server);
	*p = (struct pair){0};
}

static bool write_all(int fd, const char *bytes, ssize_t n)
{
	while (n > 0) {
		ssize_t m = send(fd, bytes, (size_t)n, MSG_NOSIGNAL);

		if (m <= 0)
			return false;
		bytes += m;
		n -= m;
	}
	return true;
}

static void pass(struct pair *p, bool from_client)
{
	static const char commit[] = "timerd.commit(";
	static char bytes[1 << 16];
	ssize_t n = read(from_client ? p->client : p->server, bytes, sizeof(bytes));

	if (n > 0 && from_client && swallow && memmem(bytes, (size_t)n, commit, strlen(commit))) {
		swallow = 0;
		p->loses = true;
	}
	/* The server has answered, so it has committed. */
	if (n <= 0 || (p->loses && !from_client) ||
		!write_all(from_client ? p->server : p->client, bytes, n))
		end_pair(p);
}

static void serve(int listener, const char *folder)
{
	static struct pair pairs[PAIRS];

	for (;;) {
		struct pollfd fds[1 + 2 * PAIRS] = {{.fd = listener, .events = POLLIN}};

		for (size_t i = 0; i < PAIRS; i++) {
			int used = pairs[i].client != 0;

			fds[1 + 2 * i] = (struct pollfd){used ? pairs[i].client : -1, POLLIN, 0};
			fds[2 + 2 * i] = (struct pollfd){used ? pairs[i].server : -1, POLLIN, 0};
		}
		if (poll(fds, 1 + 2 * PAIRS, -1) < 0)
			continue;
		for (size_t i = 0; i < PAIRS; i++) {
			if (fds[1 + 2 * i].revents)
				pass(&pairs[i], true);
			if (fds[2 + 2 * i].revents && pairs[i].client)
				pass(&pairs[i], false);
		}
		if (fds[0].revents)
			add_pair(pairs, accept(listener, NULL, NULL), folder);
	}
}

void pg_proxy_start(struct pg_proxy *p, const char *folder)
{
	struct sockaddr_un a;
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(p->folder, sizeof(p->folder), "/tmp/timerd-proxy-XXXXXX");
	assert_non_null(mkdtemp(p->folder));
	a = address_of(p->folder);
	assert_int_equal(bind(listener, (const struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 16), 0);
	snprintf(p->uri, sizeof(p->uri), "postgresql:///postgres?host=%s&user=timerd", p->folder);
	fflush(NULL);
	p->pid = fork();
	if (p->pid == 0) {
		struct sigaction action = {.sa_handler = on_signal};

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigaction(SIGUSR1, &action, NULL);
		serve(listener, folder);
	}
	assert_true(p->pid > 0);
	close(listener);
}

void pg_proxy_swallow(struct pg_proxy *p)
{
	assert_int_equal(kill(p->pid, SIGUSR1), 0);
}

void pg_proxy_stop(struct pg_proxy *p)
{
	char path[96];

	kill(p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
	snprintf(path, sizeof(path), "%s/" NAME, p->folder);
	unlink(path);
	rmdir(p->folder);
}
