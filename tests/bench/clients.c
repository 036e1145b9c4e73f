/* SPDX-License-Identifier: MIT */
#include "clients.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signal.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "toytimer.h"

struct client {
	const struct client_plan *plan;
	toytimer *handle;
	int fd;
	uint32_t left;
};

static const struct clients_run *run;
static int ready[2], go[2];
static size_t processes;

static void note(uint64_t due)
{
	uint64_t now = bench_ns();
	size_t i = __atomic_fetch_add(run->woken, 1, __ATOMIC_RELAXED);

	if (i < run->wakes)
		run->lateness[i] = now - due * 1000;
}

static int woken(toytimer *t, const toytimer_event *event, void *userdata)
{
	struct client *client = userdata;

	(void)t;
	note(event->due);
	client->left -= (uint32_t)event->overruns + 1;
	return 0;
}

static void open_client(struct client *client, int epoll)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
	int error = 0;

	if (run->socket) {
		error = toytimer_open(&client->handle, run->socket);
		client->fd = error < 0 ? error : toytimer_get_fd(client->handle);
	} else {
		client->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	}
	if (error < 0 || client->fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, client->fd, &event) < 0)
		bench_die("a client", error ? error : errno);
}

static void register_client(struct client *client)
{
	const struct client_plan *plan = client->plan;
	toytimer_registration r = {
		.due = plan->first,
		.every = plan->every,
		.slack = plan->slack,
		.count = plan->count,
		.handler = woken,
		.userdata = client,
	};
	struct itimerspec at = {
		.it_value.tv_sec = (time_t)(plan->first / 1000000),
		.it_value.tv_nsec = (long)(plan->first % 1000000) * 1000,
		.it_interval.tv_sec = (time_t)(plan->every / 1000000),
		.it_interval.tv_nsec = (long)(plan->every % 1000000) * 1000,
	};
	int error = 0;

	client->left = plan->count;
	if (run->socket)
		error = toytimer_register(client->handle, &r, NULL);
	else if (timerfd_settime(client->fd, TFD_TIMER_ABSTIME, &at, NULL) < 0)
		error = -errno;
	if (error < 0)
		bench_die("a registration", error);
}

static void process(struct client *client)
{
	uint64_t expirations = 0;

	if (client->handle) {
		while (toytimer_process(client->handle) > 0)
			;
		return;
	}
	if (read(client->fd, &expirations, sizeof(expirations)) != sizeof(expirations))
		return;
	if (expirations > client->left)
		expirations = client->left;
	/* If several periods have expired, the lateness is that of the first one, as in timerd. */
	if (expirations)
		note(client->plan->first +
			(client->plan->count - client->left) * client->plan->every);
	client->left -= (uint32_t)expirations;
	if (!client->left)
		close(client->fd);
}

static _Noreturn void be_process(size_t from, size_t to)
{
	struct client *clients = bench_alloc(to - from, sizeof(*clients));
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[64];
	size_t left = 0;
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	bench_raise_descriptors();
	for (size_t i = from; i < to; i++) {
		clients[i - from].plan = &run->plans[i];
		open_client(&clients[i - from], epoll);
	}
	if (write(ready[1], "", 1) != 1 || read(go[0], &byte, 1) != 1)
		_exit(1);
	for (size_t i = from; i < to; i++) {
		register_client(&clients[i - from]);
		left += run->plans[i].count;
	}
	if (write(ready[1], "", 1) != 1)
		_exit(1);
	while (left) {
		int n = epoll_wait(epoll, events, 64, -1);

		for (int i = 0; i < n; i++) {
			struct client *client = events[i].data.ptr;

			left -= client->left;
			process(client);
			left += client->left;
		}
	}
	_exit(0);
}

static void await_all(void)
{
	char byte;

	for (size_t i = 0; i < processes; i++)
		if (read(ready[0], &byte, 1) != 1)
			bench_die("a process of clients has failed", 0);
}

void clients_start(const struct clients_run *r)
{
	run = r;
	processes = r->processes;
	if (pipe(ready) < 0 || pipe(go) < 0)
		bench_die("pipe", errno);
	for (size_t i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (pid < 0)
			bench_die("fork", errno);
		if (pid == 0) {
			close(ready[0]);
			be_process(r->clients * i / processes, r->clients * (i + 1) / processes);
		}
	}
	close(ready[1]);
	await_all();
}

void clients_register(void)
{
	for (size_t i = 0; i < processes; i++)
		if (write(go[1], "", 1) != 1)
			bench_die("write", errno);
	await_all();
}

void clients_wait(void)
{
	int status;

	while (wait(&status) > 0)
		if (status)
			bench_die("a process of clients has failed", 0);
}
