/* SPDX-License-Identifier: MIT */
/*
 * lone SOCKET N: how late a lone wake is when its receiver runs, N times each, alternately: through
 * timerd; from a timerfd of the process itself; from a timerfd in another process, which sends a
 * packet over a socket. The last one is the least that any service can need.
 */
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "bench.h"
#include "relay.h"
#include "toytimer.h"

#define GAP_LEAST UINT64_C(1000000) /* ns ahead */
#define GAP_RANGE UINT64_C(4000000)

static toytimer *timerd;
static int timer, relay;

static int woken(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t, (void)event;
	*(uint64_t *)userdata = bench_ns();
	return 0;
}

static uint64_t by_timerd(uint64_t due)
{
	uint64_t at = 0;
	toytimer_registration r = {.due = due / 1000, .handler = woken, .userdata = &at};
	int error = toytimer_register(timerd, &r, NULL);

	if (error >= 0)
		error = toytimer_run(timerd);
	if (error < 0)
		bench_die("toytimer", error);
	return at;
}

static uint64_t by_timerfd(uint64_t due)
{
	struct itimerspec at = {
		.it_value.tv_sec = (time_t)(due / 1000000000),
		.it_value.tv_nsec = (long)(due % 1000000000),
	};
	uint64_t expirations;

	if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL) < 0 ||
		read(timer, &expirations, sizeof(expirations)) < 0)
		bench_die("timerfd", errno);
	return bench_ns();
}

static uint64_t by_relay(uint64_t due)
{
	relay_send(relay, &due, sizeof(due));
	relay_receive(relay, &due, sizeof(due));
	return bench_ns();
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint64_t (*wake)(uint64_t due);
	} ways[] = {{"timerd", by_timerd}, {"timerfd", by_timerfd}, {"raw", by_relay}};
	enum { WAYS = sizeof(ways) / sizeof(ways[0]) };
	size_t n = bench_argument(argc, argv, 2, 1000);
	uint64_t *samples[WAYS], random = 1;
	int error;

	if (argc < 2)
		bench_die("lone SOCKET N", 0);
	relay = relay_start(relay_wake);
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	error = toytimer_open(&timerd, argv[1]);
	if (error < 0)
		bench_die("toytimer_open", error);
	for (int way = 0; way < WAYS; way++)
		samples[way] = bench_alloc(n, sizeof(uint64_t));
	for (size_t i = 0; i < n; i++) {
		for (int way = 0; way < WAYS; way++) {
			uint64_t due = bench_ns() + GAP_LEAST + bench_random(&random) % GAP_RANGE;

			due -= due % 1000;
			samples[way][i] = ways[way].wake(due) - due;
		}
	}
	for (int way = 0; way < WAYS; way++)
		bench_print_samples(ways[way].name, samples[way], n);
	toytimer_unref(timerd);
}
