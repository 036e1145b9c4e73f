/* SPDX-License-Identifier: MIT */
/*
 * restart [TIMERS [CLIENTS [ROUNDS]]]: for how long no client is woken when the daemon is killed.
 *
 * Runs as root in a machine where systemd manages timerd (tests/system/bench-restart boots one).
 * CLIENTS connections of this process hold TIMERS timers that do not become due here, with random
 * dues on all clocks. Each also has a timer that is due every tenth of a second. When systemd has
 * stored all connections, the program kills the daemon, ROUNDS times. It receives all wakes of the
 * killed process first. Prints milliseconds from the kill, the median, least and most: to the first
 * wake of the next process (first_wake), and until each client has had one (all_woken). Then it
 * prints the failures, which must be 0: repeated connections, and wakes that were lost or came
 * twice.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <toytimer.h>

#include "bench.h"

#define BATCH	8192
#define FAR_US	UINT64_C(86400000000)
#define EVERY	UINT64_C(100000)
#define SETTLE	UINT64_C(3000000000) /* ns between two rounds */
#define AT_MOST 60		     /* s, the limit for any step */

struct client {
	toytimer *t;
	uint64_t due;	   /* of its next wake */
	uint64_t woken_at; /* ns, the instant of its last wake */
};

static struct client *clients;
static size_t clients_count;
static uint64_t wrong;

static int never(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t, (void)event, (void)userdata;
	wrong++;
	return 0;
}

static int woken(toytimer *t, const toytimer_event *event, void *userdata)
{
	struct client *c = userdata;

	(void)t;
	if (c->due && event->due != c->due)
		wrong++;
	c->due = event->due + (event->overruns + 1) * EVERY;
	c->woken_at = bench_ns();
	return 0;
}

static void process(struct client *c)
{
	int r;

	while ((r = toytimer_process(c->t)) > 0)
		;
	if (r < 0)
		bench_die(toytimer_strerror(r), 0);
}

static void open_client(struct client *c)
{
	toytimer_registration r = {
		.due = EVERY + (uint64_t)(c - clients) * EVERY / clients_count,
		.every = EVERY,
		.flags = TOYTIMER_RELATIVE,
		.handler = woken,
		.userdata = c,
	};
	int error = toytimer_open(&c->t, NULL);

	if (error == 0)
		error = toytimer_register(c->t, &r, NULL);
	if (error < 0)
		bench_die(toytimer_strerror(error), 0);
}

static void fill(struct client *c, size_t n, uint64_t *random)
{
	static toytimer_registration r[BATCH];

	while (n) {
		size_t some = n < BATCH ? n : BATCH;
		int registered;

		for (size_t i = 0; i < some; i++)
			r[i] = (toytimer_registration){
				.due = FAR_US + bench_random(random) % FAR_US,
				.clock = (enum toytimer_clock)(bench_random(random) % 3),
				.flags = TOYTIMER_RELATIVE,
				.handler = never,
			};
		registered = toytimer_register_many(c->t, r, some, NULL, NULL);
		if (registered < 0 || (size_t)registered != some)
			bench_die("toytimer_register_many", registered);
		n -= some;
	}
}

/* Receives wakes until that many clients have been woken after `since`. */
static void serve(struct pollfd *fds, uint64_t since, uint64_t until, size_t wanted)
{
	size_t had = 0;

	for (size_t i = 0; i < clients_count; i++)
		had += clients[i].woken_at >= since;
	while (bench_ns() < until && had < wanted) {
		if (poll(fds, (nfds_t)clients_count, 100) < 0 && errno != EINTR)
			bench_die("poll", errno);
		for (size_t i = 0; i < clients_count; i++) {
			struct client *c = &clients[i];
			int before = c->woken_at < since;

			if (!fds[i].revents)
				continue;
			process(c);
			had += before && c->woken_at >= since;
			if (had >= wanted)
				return;
		}
	}
	if (had < wanted)
		bench_die("no wake came", 0);
}

static void drain(void)
{
	for (size_t i = 0; i < clients_count; i++)
		process(&clients[i]);
}

static int daemon_pid(void)
{
	toytimer_status status;
	int r = toytimer_get_status(clients[0].t, &status);

	if (r < 0)
		bench_die(toytimer_strerror(r), 0);
	return (int)status.pid;
}

/* Kills the daemon and waits until it is dead. Return: the instant of the signal. */
static uint64_t kill_daemon(void)
{
	int pid = daemon_pid();
	struct pollfd fd = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	uint64_t at = bench_ns();

	if (fd.fd < 0 || kill(pid, SIGKILL) < 0 || poll(&fd, 1, AT_MOST * 1000) != 1)
		bench_die("kill", errno);
	close(fd.fd);
	return at;
}

static int stored(void)
{
	FILE *f = popen("systemctl show -P NFileDescriptorStore timerd.service", "r");
	int n = 0;

	if (!f || fscanf(f, "%d", &n) != 1)
		n = 0;
	if (f)
		pclose(f);
	return n;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print(const char *name, double *ms, size_t n)
{
	char text[64];

	qsort(ms, n, sizeof(*ms), compare);
	bench_print(name, ms[n / 2], "ms");
	snprintf(text, sizeof(text), "%s_min", name);
	bench_print(text, ms[0], "ms");
	snprintf(text, sizeof(text), "%s_max", name);
	bench_print(text, ms[n - 1], "ms");
}

static void round_of(struct pollfd *fds, double *first_wake, double *all_woken)
{
	const uint64_t patience = AT_MOST * UINT64_C(1000000000);
	uint64_t at, dead;

	for (at = bench_ns() + SETTLE; bench_ns() < at;) {
		poll(fds, (nfds_t)clients_count, 10);
		drain();
	}
	at = kill_daemon();
	drain();
	dead = bench_ns();
	serve(fds, dead, dead + patience, 1);
	*first_wake = (double)(bench_ns() - at) / 1e6;
	serve(fds, dead, dead + patience, clients_count);
	*all_woken = (double)(bench_ns() - at) / 1e6;
}

int main(int argc, char **argv)
{
	size_t timers = bench_argument(argc, argv, 1, 1000000);
	size_t rounds = bench_argument(argc, argv, 3, 5);
	double *first_wake = bench_alloc(rounds, sizeof(double));
	double *all_woken = bench_alloc(rounds, sizeof(double));
	uint64_t random = 1, reconnects = 0, begin;
	struct pollfd *fds;

	clients_count = bench_argument(argc, argv, 2, 1000);
	clients = bench_alloc(clients_count, sizeof(*clients));
	fds = bench_alloc(clients_count, sizeof(*fds));
	bench_raise_descriptors();
	for (size_t i = 0; i < clients_count; i++) {
		open_client(&clients[i]);
		fds[i] = (struct pollfd){.fd = toytimer_get_fd(clients[i].t), .events = POLLIN};
	}
	for (size_t i = 0; i < clients_count; i++)
		fill(&clients[i], timers / clients_count, &random);
	for (begin = bench_ns(); stored() <= (int)clients_count;) {
		if (bench_ns() - begin > AT_MOST * UINT64_C(1000000000))
			bench_die("systemd does not keep all connections", 0);
		drain();
	}
	for (size_t i = 0; i < rounds; i++)
		round_of(fds, &first_wake[i], &all_woken[i]);
	print("first_wake", first_wake, rounds);
	print("all_woken", all_woken, rounds);
	for (size_t i = 0; i < clients_count; i++)
		reconnects += toytimer_get_reconnects(clients[i].t);
	bench_print("reconnects", (double)reconnects, "");
	bench_print("wrong_wakes", (double)wrong, "");
	return reconnects || wrong;
}
