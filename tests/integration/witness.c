/* SPDX-License-Identifier: MIT */
#include "witness.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "wire.h"

struct tick {
	enum proto_clock clock;
	uint64_t every;
	uint64_t due; /* of the next wake */
	uint32_t number;
};

static void take_wakes(struct wire *w, struct tick *ticks, size_t n, struct witness_report *report)
{
	for (uint32_t i = 0; i < w->header.count; i++) {
		struct proto_wake wake;
		struct tick *t;
		uint64_t now;

		wire_get(w, i, &wake);
		check(wake.cookie < n);
		t = &ticks[wake.cookie];
		now = wire_now(t->clock);
		check(now >= wake.due);
		check(wake.due == t->due);
		check(wake.number == ++t->number);
		check(wake.flags == 0);
		t->due += (wake.overruns + 1) * t->every;
		report->wakes++;
		report->missed += wake.overruns;
		if (now - wake.due > report->late_max)
			report->late_max = now - wake.due;
	}
}

static void enroll(struct wire *w, struct tick *ticks, size_t n)
{
	wire_begin(w, PROTO_REGISTER);
	for (size_t i = 0; i < n; i++)
		wire_put(w,
			&(struct proto_register){.cookie = i,
				.due = ticks[i].every,
				.every = ticks[i].every,
				.clock = (uint8_t)ticks[i].clock,
				.flags = PROTO_RELATIVE,
				.label = "witness"});
	wire_end(w, 0);
	wire_expect(w, PROTO_REGISTER | PROTO_ANSWER);
	for (uint32_t i = 0; i < n; i++) {
		struct proto_registered registered;

		wire_get(w, i, &registered);
		check(registered.status == PROTO_OK);
		ticks[i].due = registered.due;
	}
}

static void watch(const char *path, int stop, int report_to)
{
	static struct wire w;
	struct tick ticks[] = {
		{.clock = PROTO_CLOCK_MONOTONIC, .every = 7000},
		{.clock = PROTO_CLOCK_BOOTTIME, .every = 11000},
		{.clock = PROTO_CLOCK_REALTIME, .every = 13000},
	};
	const size_t n = sizeof(ticks) / sizeof(ticks[0]);
	struct witness_report report = {0};

	wire_open(&w, path);
	enroll(&w, ticks, n);
	check(write(report_to, &report, sizeof(report)) == sizeof(report));
	for (;;) {
		struct pollfd fds[] = {
			{.fd = w.fd, .events = POLLIN}, {.fd = stop, .events = POLLIN}};

		check(poll(fds, 2, WIRE_PATIENCE_MS) > 0);
		if (fds[1].revents)
			break;
		wire_expect(&w, PROTO_WAKE);
		take_wakes(&w, ticks, n, &report);
	}
	check(write(report_to, &report, sizeof(report)) == sizeof(report));
	_exit(0);
}

void witness_start(struct witness *witness, const char *path)
{
	struct witness_report report;
	int stop[2], reports[2];

	check(pipe2(stop, O_CLOEXEC) == 0 && pipe2(reports, O_CLOEXEC) == 0);
	witness->pid = wire_fork();
	if (witness->pid == 0) {
		close(stop[1]);
		watch(path, stop[0], reports[1]);
	}
	close(stop[0]);
	close(reports[1]);
	witness->stop = stop[1];
	witness->report = reports[0];
	check(read(witness->report, &report, sizeof(report)) == sizeof(report));
}

struct witness_report witness_stop(struct witness *witness)
{
	struct witness_report report;

	close(witness->stop);
	check(read(witness->report, &report, sizeof(report)) == sizeof(report));
	close(witness->report);
	wire_join(witness->pid);
	return report;
}
