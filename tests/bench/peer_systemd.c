/* SPDX-License-Identifier: MIT */
/*
 * peer_systemd N: starts N transient timers over D-Bus, 64 calls in flight. Prints how many a
 * second, and the growth of PID 1. It does not stop the timers: run it in a machine that is thrown
 * away (tests/system/with-systemd).
 */
#include <stdio.h>
#include <systemd/sd-bus.h>

#include "bench.h"

#define IN_FLIGHT 64

static size_t answered;

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	(void)userdata, (void)error;
	if (sd_bus_message_is_method_error(m, NULL))
		bench_die(sd_bus_message_get_error(m)->message, 0);
	answered++;
	return 0;
}

static int start(sd_bus *bus, size_t i)
{
	sd_bus_message *m = NULL;
	char timer[64], service[64];
	int r;

	snprintf(timer, sizeof(timer), "bench-%zu.timer", i);
	snprintf(service, sizeof(service), "bench-%zu.service", i);
	r = sd_bus_message_new_method_call(bus, &m, "org.freedesktop.systemd1",
		"/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
		"StartTransientUnit");
	if (r >= 0)
		r = sd_bus_message_append(m, "ss", timer, "fail");
	if (r >= 0)
		r = sd_bus_message_append(m, "a(sv)", 2, "TimersMonotonic", "a(st)", 1,
			"OnActiveSec", UINT64_C(3600000000) + i * 1000, "AccuracyUSec", "t",
			UINT64_C(1));
	if (r >= 0)
		r = sd_bus_message_append(m, "a(sa(sv))", 1, service, 1, "ExecStart", "a(sasb)", 1,
			"/bin/true", 1, "/bin/true", 0);
	if (r >= 0)
		r = sd_bus_call_async(bus, NULL, m, on_answer, NULL, 0);
	sd_bus_message_unref(m);
	return r;
}

/* The private socket of PID 1, which systemd-run uses for root: no dbus-daemon is involved. */
static int open_bus(sd_bus **ret)
{
	int r = sd_bus_new(ret);

	if (r >= 0)
		r = sd_bus_set_address(*ret, "unix:path=/run/systemd/private");
	if (r >= 0)
		r = sd_bus_start(*ret);
	return r;
}

int main(int argc, char **argv)
{
	size_t n = bench_argument(argc, argv, 1, 2000), sent = 0;
	uint64_t rss = bench_proc_status(1, "VmRSS"), begin;
	sd_bus *bus;
	int r = open_bus(&bus);

	if (r < 0)
		bench_die("/run/systemd/private", r);
	begin = bench_ns();
	while (answered < n) {
		for (; sent < n && sent < answered + IN_FLIGHT; sent++) {
			r = start(bus, sent);
			if (r < 0)
				bench_die("StartTransientUnit", r);
		}
		r = sd_bus_process(bus, NULL);
		if (r == 0)
			r = sd_bus_wait(bus, UINT64_MAX);
		if (r < 0)
			bench_die("sd_bus_process", r);
	}
	bench_print("fill", (double)n * 1e3 / (double)(bench_ns() - begin), "M/s");
	bench_print("memory", (double)(bench_proc_status(1, "VmRSS") - rss) * 1024 / (double)n,
		"bytes");
	sd_bus_unref(bus);
}
