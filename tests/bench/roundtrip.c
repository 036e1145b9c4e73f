/* SPDX-License-Identifier: MIT */
/*
 * roundtrip SOCKET N PID: registers N timers one at a time, and waits for each answer. In turns
 * with that, it exchanges packets of the same size with a process that blocks in recv(), and with
 * one that calls epoll_wait() first. Prints medians and 99th percentiles.
 *
 * All servers, with timerd (PID) among them, run on one processor, and this process on another.
 * Otherwise the scheduler sometimes puts both sides on one processor, where a round trip takes half
 * the time. It does so for one pair and not for another, and changes that from second to second.
 */
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "proto.h"
#include "relay.h"
#include "toytimer.h"

#define TURN 100 /* round trips of one kind before the next kind has its turn */

enum who { TIMERD, RAW, RAW_EPOLL, EVERYBODY };

static toytimer *timerd;
static int raw[EVERYBODY];

/* Finds two processors that this process may use. Return: whether there are two. */
static bool find_processors(size_t ret_processors[2])
{
	cpu_set_t may;
	int n = 0;

	if (sched_getaffinity(0, sizeof(may), &may) < 0)
		bench_die("sched_getaffinity", errno);
	for (size_t i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &may))
			ret_processors[n++] = i;
	return n == 2;
}

/* Binds a process, and its future children, to a processor. */
static void hold(pid_t pid, size_t processor)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(processor, &one);
	if (sched_setaffinity(pid, sizeof(one), &one) < 0)
		bench_die("sched_setaffinity", errno);
}

static void trip(enum who who, uint64_t *random)
{
	char packet[sizeof(struct proto_header) + sizeof(struct proto_register)] = {0};
	toytimer_registration r = {0};
	int error;

	if (who != TIMERD) {
		relay_send(raw[who], packet, sizeof(packet));
		relay_receive(raw[who], packet, sizeof(packet));
		return;
	}
	r.due = UINT64_C(3600000000) + bench_random(random) % UINT64_C(1000000000000);
	r.flags = TOYTIMER_RELATIVE;
	error = toytimer_register(timerd, &r, NULL);
	if (error < 0)
		bench_die("toytimer_register", error);
}

int main(int argc, char **argv)
{
	static const char *const names[EVERYBODY] = {"timerd", "raw", "raw_epoll"};
	size_t n = bench_argument(argc, argv, 2, 10000) / TURN * TURN;
	uint64_t *samples[EVERYBODY], random = 1;
	pid_t pid = (pid_t)bench_argument(argc, argv, 3, 0);
	size_t processors[2];
	int error;
	bool apart = find_processors(processors);

	if (argc < 4)
		bench_die("roundtrip SOCKET N PID", 0);
	if (apart) {
		hold(pid, processors[1]);
		hold(0, processors[1]);
	}
	raw[RAW] = relay_start(relay_echo);
	raw[RAW_EPOLL] = relay_start(relay_echo_epoll);
	if (apart)
		hold(0, processors[0]);
	error = toytimer_open(&timerd, argv[1]);
	if (error < 0)
		bench_die("toytimer_open", error);
	for (int who = 0; who < EVERYBODY; who++)
		samples[who] = bench_alloc(n, sizeof(uint64_t));
	for (size_t i = 0; i < n; i += TURN) {
		for (unsigned int who = 0; who < EVERYBODY; who++) {
			for (size_t j = i; j < i + TURN; j++) {
				uint64_t start = bench_ns();

				trip(who, &random);
				samples[who][j] = bench_ns() - start;
			}
		}
	}
	for (int who = 0; who < EVERYBODY; who++)
		bench_print_samples(names[who], samples[who], n);
	toytimer_unref(timerd);
}
