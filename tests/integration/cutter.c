/* SPDX-License-Identifier: MIT */
#include "cutter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAIRS	16
#define NAME	".s.PGSQL.5432"
#define LOOK_MS 10 /* between two looks at the mode */

/* Bytes on their way from one end to the other. */
struct way {
	char bytes[1 << 16];
	size_t n, sent;
};

struct pair {
	int ends[2];	    /* client and server; 0: free */
	bool maimed;	    /* bytes were discarded */
	struct way ways[2]; /* by the end that they come from */
};

static struct sockaddr_un address_of(const char *folder)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/" NAME, folder);
	return a;
}

static void end_pair(struct pair *p)
{
	if (p->ends[0]) {
		close(p->ends[0]);
		close(p->ends[1]);
	}
	p->ends[0] = p->ends[1] = 0;
	p->maimed = false;
	for (int i = 0; i < 2; i++)
		p->ways[i].n = p->ways[i].sent = 0;
}

static void add_pair(struct pair *pairs, int client, const char *folder)
{
	struct sockaddr_un a = address_of(folder);
	int server = socket(AF_UNIX, SOCK_STREAM, 0);

	for (size_t i = 0; i < PAIRS; i++) {
		if (pairs[i].ends[0] || connect(server, (const struct sockaddr *)&a, sizeof(a)) < 0)
			continue;
		pairs[i].ends[0] = client;
		pairs[i].ends[1] = server;
		return;
	}
	close(server);
	close(client);
}

static bool is_empty(const struct way *w)
{
	return w->sent == w->n;
}

/* Never waits: the other end may wait for the cutter to read. */
static bool push(struct pair *p, unsigned int from)
{
	struct way *w = &p->ways[from];
	ssize_t n = send(
		p->ends[!from], w->bytes + w->sent, w->n - w->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n > 0)
		w->sent += (size_t)n;
	return n > 0 || errno == EAGAIN;
}

static bool pull(struct pair *p, unsigned int from, bool drop)
{
	struct way *w = &p->ways[from];
	ssize_t n = read(p->ends[from], w->bytes, sizeof(w->bytes));

	if (n <= 0)
		return false;
	p->maimed = p->maimed || drop;
	w->n = drop ? 0 : (size_t)n;
	w->sent = 0;
	return is_empty(w) || push(p, from);
}

/* What to wait for. An end is read again when all bytes that it sent before have been passed on. */
static short events_of(const struct pair *p, unsigned int end)
{
	return (short)((is_empty(&p->ways[end]) ? POLLIN : 0) |
		(is_empty(&p->ways[!end]) ? 0 : POLLOUT));
}

static void pass(struct pair *p, unsigned int end, short events, bool drop)
{
	bool ok = true;

	if (events & (POLLIN | POLLHUP | POLLERR) && is_empty(&p->ways[end]))
		ok = pull(p, end, drop);
	if (ok && events & (POLLOUT | POLLHUP | POLLERR) && !is_empty(&p->ways[!end]))
		ok = push(p, !end);
	if (!ok)
		end_pair(p);
}

static void pass_all(struct pair *pairs, enum cutter_mode mode)
{
	struct pollfd fds[2 * PAIRS];

	for (unsigned int i = 0; i < 2 * PAIRS; i++) {
		const struct pair *p = &pairs[i / 2];
		short events = events_of(p, i % 2);
		bool served = p->ends[i % 2] && events && mode != CUTTER_STALL;

		fds[i] = (struct pollfd){served ? p->ends[i % 2] : -1, events, 0};
	}
	if (poll(fds, 2 * PAIRS, LOOK_MS) <= 0)
		return;
	for (unsigned int i = 0; i < 2 * PAIRS; i++)
		if (fds[i].revents && pairs[i / 2].ends[0])
			pass(&pairs[i / 2], i % 2, fds[i].revents, mode == CUTTER_DROP);
}

static void serve(const struct cutter *c, int listener, const char *folder)
{
	static struct pair pairs[PAIRS];
	enum cutter_mode mode;

	while ((mode = (enum cutter_mode)atomic_load(c->mode)) != CUTTER_END) {
		struct pollfd fd = {listener, POLLIN, 0};

		for (size_t i = 0; i < PAIRS; i++)
			if (mode == CUTTER_RESET || (mode == CUTTER_PASS && pairs[i].maimed))
				end_pair(&pairs[i]);
		if (poll(&fd, 1, 0) > 0) {
			int client = accept(listener, NULL, NULL);

			if (mode == CUTTER_RESET)
				close(client);
			else
				add_pair(pairs, client, folder);
		}
		pass_all(pairs, mode);
	}
	_exit(0);
}

static void start(struct cutter *c, int listener, const char *folder)
{
	assert_int_equal(listen(listener, 16), 0);
	c->mode = mmap(
		NULL, sizeof(*c->mode), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(c->mode != MAP_FAILED);
	fflush(NULL);
	c->pid = fork();
	if (c->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(c, listener, folder);
	}
	assert_true(c->pid > 0);
	close(listener);
}

void cutter_start(struct cutter *c, const char *folder)
{
	struct sockaddr_un a;
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(c->folder, sizeof(c->folder), "/tmp/timerd-cutter-XXXXXX");
	assert_non_null(mkdtemp(c->folder));
	a = address_of(c->folder);
	assert_int_equal(bind(listener, (const struct sockaddr *)&a, sizeof(a)), 0);
	snprintf(c->uri, sizeof(c->uri), "postgresql:///postgres?host=%s&user=timerd", c->folder);
	start(c, listener, folder);
}

void cutter_start_tcp(struct cutter *c, const char *folder)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (const struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &size), 0);
	snprintf(c->uri, sizeof(c->uri), "postgresql://timerd@localhost:%u/postgres",
		ntohs(a.sin_port));
	start(c, listener, folder);
}

void cutter_set(struct cutter *c, enum cutter_mode mode)
{
	atomic_store(c->mode, mode);
}

void cutter_stop(struct cutter *c)
{
	char path[96];

	if (!c->pid)
		return;
	cutter_set(c, CUTTER_END);
	waitpid(c->pid, NULL, 0);
	munmap(c->mode, sizeof(*c->mode));
	if (*c->folder) {
		snprintf(path, sizeof(path), "%s/" NAME, c->folder);
		unlink(path);
		rmdir(c->folder);
	}
	*c = (struct cutter){0};
}
