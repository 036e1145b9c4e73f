/* SPDX-License-Identifier: MIT */
/*
 * burst SOCKET N: N timers of one client become due at one instant. Prints how many of them timerd
 * delivers in a second, from that instant to the last handler. Another client has a wake every
 * millisecond. Prints how late its wakes are meanwhile: `other` when its handler runs, `other_sent`
 * when timerd sends them. The difference comes from the machine, where three processes share its
 * processors.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "toytimer.h"

#define AHEAD	    UINT64_C(500000)  /* us from the last answer to the instant */
#define PER_TIMER   UINT64_C(3)	      /* us, the most for the registration of one timer */
#define OTHER_EVERY UINT64_C(1000)    /* us */
#define OTHER_MOST  UINT64_C(1000000) /* the most wakes that are recorded */

/* Shared by both clients. */
struct other {
	bool ready, stop;
	size_t woken;
	struct {
		uint64_t due, late, sent; /* ns; sent: the lateness when timerd sent it */
	} wakes[OTHER_MOST];
};

static struct other *other;

static toytimer *open_client(const char *path)
{
	toytimer *t;
	int error = toytimer_open(&t, path);

	if (error < 0)
		bench_die("toytimer_open", error);
	toytimer_set_timeout(t, TOYTIMER_FOREVER);
	return t;
}

static int other_woken(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t, (void)userdata;
	if (other->woken < OTHER_MOST) {
		other->wakes[other->woken].due = event->due * 1000;
		other->wakes[other->woken].late = bench_ns() - event->due * 1000;
		other->wakes[other->woken].sent = event->late * 1000;
		other->woken++;
	}
	__atomic_store_n(&other->ready, true, __ATOMIC_RELEASE);
	/* Only a negative number ends toytimer_run(). */
	return __atomic_load_n(&other->stop, __ATOMIC_ACQUIRE) ? -ECANCELED : 0;
}

static pid_t start_other(const char *path)
{
	toytimer_registration r = {
		.due = OTHER_EVERY,
		.every = OTHER_EVERY,
		.flags = TOYTIMER_RELATIVE,
		.handler = other_woken,
	};
	pid_t pid = fork();
	toytimer *t;

	if (pid < 0)
		bench_die("fork", errno);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	t = open_client(path);
	if (toytimer_register(t, &r, NULL) < 0)
		_exit(1);
	toytimer_run(t);
	_exit(0);
}

static size_t woken;

static int wake(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t, (void)event, (void)userdata;
	woken++;
	return 0;
}

/* The wakes of the other client that were due or arrived during the burst. */
static void print_other(uint64_t from, uint64_t to)
{
	uint64_t *late = bench_alloc(other->woken, sizeof(*late));
	uint64_t *sent = bench_alloc(other->woken, sizeof(*sent));
	size_t n = 0;

	for (size_t i = 0; i < other->woken; i++) {
		uint64_t due = other->wakes[i].due;

		if (due > to || due + other->wakes[i].late < from)
			continue;
		sent[n] = other->wakes[i].sent;
		late[n++] = other->wakes[i].late;
	}
	bench_print("other_wakes", (double)n, "wakes");
	if (n) {
		bench_print_samples("other", late, n);
		bench_print_samples("other_sent", sent, n);
	}
	free(late);
	free(sent);
}

int main(int argc, char **argv)
{
	size_t n = bench_argument(argc, argv, 2, 1000000);
	toytimer_registration *r = bench_alloc(n, sizeof(*r));
	uint64_t due, end;
	toytimer *t;
	pid_t pid;

	if (argc < 2)
		bench_die("burst SOCKET N", 0);
	other = bench_shared(sizeof(*other));
	pid = start_other(argv[1]);
	while (!__atomic_load_n(&other->ready, __ATOMIC_ACQUIRE))
		bench_sleep_until(bench_ns() + 1000000);
	t = open_client(argv[1]);
	due = toytimer_now(TOYTIMER_MONOTONIC) + AHEAD + n * PER_TIMER;
	for (size_t i = 0; i < n; i++)
		r[i] = (toytimer_registration){.due = due, .handler = wake};
	if (toytimer_register_many(t, r, n, NULL, NULL) != (int)n)
		bench_die("toytimer_register_many", 0);
	if (toytimer_now(TOYTIMER_MONOTONIC) > due)
		bench_die("registering took longer than until the instant", 0);
	while (woken < n && toytimer_run(t) == 0)
		;
	end = bench_ns();
	__atomic_store_n(&other->stop, true, __ATOMIC_RELEASE);
	waitpid(pid, NULL, 0);
	bench_print("delivered", (double)n * 1e3 / (double)(end - due * 1000), "M/s");
	print_other(due * 1000, end);
	toytimer_unref(t);
}
