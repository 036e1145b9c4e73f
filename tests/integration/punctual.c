/* SPDX-License-Identifier: MIT */
#include "punctual.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "wire.h"

#define LATE_MAX 65536

/* While its first wakes are unread, the client's other timers wait. */
#define TIMERS 4

void punctual_become(uid_t user)
{
	if (geteuid() != 0)
		return;
	check(setgroups(0, NULL) == 0 && setresgid(user, user, user) == 0 &&
		setresuid(user, user, user) == 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* because setuid() clears it */
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void take_wakes(const struct wire *w, uint64_t *late, struct punctual_report *report)
{
	struct proto_wake wake;
	uint64_t now = wire_now(PROTO_CLOCK_MONOTONIC);

	for (uint32_t i = 0; i < w->header.count; i++) {
		wire_get(w, i, &wake);
		check(now >= wake.due);
		report->missed += wake.overruns;
		if (report->wakes < LATE_MAX)
			late[report->wakes++] = now - wake.due;
	}
}

/* A timerfd that expires each PUNCTUAL_EVERY. */
struct bare {
	int fd;
	uint64_t due, count;
	uint64_t late[LATE_MAX];
};

static void start_bare(struct bare *bare)
{
	struct itimerspec at = {.it_interval.tv_nsec = (long)(PUNCTUAL_EVERY * 1000)};

	bare->due = wire_now(PROTO_CLOCK_MONOTONIC) + PUNCTUAL_EVERY;
	at.it_value.tv_sec = (time_t)(bare->due / 1000000);
	at.it_value.tv_nsec = (long)(bare->due % 1000000 * 1000);
	bare->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	check(bare->fd >= 0 && timerfd_settime(bare->fd, TFD_TIMER_ABSTIME, &at, NULL) == 0);
}

static void read_bare(struct bare *bare)
{
	uint64_t times;

	if (read(bare->fd, &times, sizeof(times)) != sizeof(times))
		return;
	if (bare->count < LATE_MAX)
		bare->late[bare->count++] = wire_now(PROTO_CLOCK_MONOTONIC) - bare->due;
	bare->due += times * PUNCTUAL_EVERY;
}

static void measure(const char *path, int stop, int report_to)
{
	static uint64_t late[LATE_MAX];
	static struct wire w;
	static struct bare bare;
	struct punctual_report report = {0};
	bool started = false;
	struct proto_register r[TIMERS];

	for (uint64_t i = 0; i < TIMERS; i++)
		r[i] = (struct proto_register){.due = PUNCTUAL_EVERY * (i + TIMERS) / TIMERS,
			.every = PUNCTUAL_EVERY,
			.flags = PROTO_RELATIVE};
	wire_open(&w, path);
	wire_request(&w, PROTO_REGISTER, r, TIMERS);
	wire_expect(&w, PROTO_REGISTER | PROTO_ANSWER);
	start_bare(&bare);
	for (;;) {
		struct pollfd fds[] = {{.fd = w.fd, .events = POLLIN},
			{.fd = stop, .events = POLLIN}, {.fd = bare.fd, .events = POLLIN}};

		check(poll(fds, 3, WIRE_PATIENCE_MS) > 0);
		if (fds[1].revents)
			break;
		if (fds[2].revents)
			read_bare(&bare);
		if (!fds[0].revents)
			continue;
		wire_expect(&w, PROTO_WAKE);
		take_wakes(&w, late, &report);
		if (!started)
			check(write(report_to, "", 1) == 1);
		started = true;
	}
	qsort(late, (size_t)report.wakes, sizeof(late[0]), compare);
	qsort(bare.late, (size_t)bare.count, sizeof(bare.late[0]), compare);
	report.bare_p99 = bare.late[bare.count * 99 / 100];
	report.p50 = late[report.wakes / 2];
	report.p99 = late[report.wakes * 99 / 100];
	report.most = late[report.wakes - 1];
	check(write(report_to, &report, sizeof(report)) == sizeof(report));
	_exit(0);
}

void punctual_start(struct punctual *p, const char *path)
{
	int stop[2], reports[2];
	char byte;

	check(pipe2(stop, O_CLOEXEC) == 0 && pipe2(reports, O_CLOEXEC) == 0);
	p->pid = wire_fork();
	if (p->pid == 0) {
		close(stop[1]);
		punctual_become(PUNCTUAL_USER);
		measure(path, stop[0], reports[1]);
	}
	close(stop[0]);
	close(reports[1]);
	p->stop = stop[1];
	p->report = reports[0];
	check(read(p->report, &byte, 1) == 1);
}

struct punctual_report punctual_stop(struct punctual *p)
{
	struct punctual_report report;

	/* Closing the pipe is not enough: a child that was forked meanwhile may have it open. */
	check(write(p->stop, "", 1) == 1);
	close(p->stop);
	check(read(p->report, &report, sizeof(report)) == sizeof(report));
	close(p->report);
	wire_join(p->pid);
	return report;
}

void punctual_print_heading(void)
{
	printf("%-44s %8s %8s %8s %7s %7s %8s\n", "lateness of another user's wakes, us", "p50",
		"p99", "most", "wakes", "missed", "bare p99");
}

void punctual_print(const char *meanwhile, const struct punctual_report *r)
{
	printf("%-44s %8llu %8llu %8llu %7llu %7llu %8llu\n", meanwhile, (unsigned long long)r->p50,
		(unsigned long long)r->p99, (unsigned long long)r->most,
		(unsigned long long)r->wakes, (unsigned long long)r->missed,
		(unsigned long long)r->bare_p99);
	fflush(stdout);
}
