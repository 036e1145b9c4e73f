/* SPDX-License-Identifier: MIT */
/*
 * The program of the simulation. Each history comes from a seed and runs in a process of its own.
 * So every failure is found, has the number of its seed, and can be repeated.
 *
 *	sim --seed N [--steps M] [--kill]	one history; cuts a failing one to its shortest form
 *	sim --seed N --seeds COUNT [--jobs J]	COUNT histories, from seed N on
 *	sim --soak				100,000 histories, from seed 1 on
 *
 * With --all-events it fails if a possible event never happened (see events.h); with --least, if
 * there were fewer kills; with --faster, if it was slower.
 *
 * With --kill it copies the world at every store to a record (or at each K-th, with --every K), and
 * kills the copy. Without --kill, the daemon is killed now and then, and starts again.
 */
#include <getopt.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "history.h"

#define SOAK_SEEDS 100000

struct options {
	uint64_t seed, seeds;
	uint64_t least;	 /* how many kills there must be at least */
	uint64_t faster; /* how many times as fast as real time it must be */
	uint64_t jobs;
	bool shrink;
	bool all_events; /* fails if an event never happened */
	struct history history;
};

static int usage(void)
{
	fputs("sim [--seed N] [--seeds COUNT | --soak] [--steps M] [--kill] [--every K]\n"
	      "    [--least POINTS] [--all-events] [--faster TIMES] [--jobs J]\n"
	      "    [--keep NUMBERS] [--at STORE] [--onwards M] [--trace] [--no-shrink]\n",
		stderr);
	return 2;
}

static bool parse(struct options *o, int argc, char **argv)
{
	uint64_t steps = 2000, kill = 0, soak = 0, trace = 0, no_shrink = 0, all_events = 0;
	const char *keep = NULL;
	struct {
		const char *name;
		uint64_t *number; /* NULL: it is the text */
		bool flag;
	} known[] = {
		{"seed", &o->seed, false},
		{"seeds", &o->seeds, false},
		{"soak", &soak, true},
		{"steps", &steps, false},
		{"kill", &kill, true},
		{"every", &o->history.branch_every, false},
		{"least", &o->least, false},
		{"faster", &o->faster, false},
		{"all-events", &all_events, true},
		{"jobs", &o->jobs, false},
		{"keep", NULL, false},
		{"at", &o->history.at, false},
		{"onwards", &o->history.onwards, false},
		{"trace", &trace, true},
		{"no-shrink", &no_shrink, true},
	};
	struct option names[sizeof(known) / sizeof(known[0]) + 1] = {0};
	int c;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		names[i] = (struct option){known[i].name, !known[i].flag, NULL, (int)i};
	while ((c = getopt_long(argc, argv, "", names, NULL)) >= 0) {
		if (c == '?')
			return false;
		if (known[c].number)
			*known[c].number = optarg ? strtoull(optarg, NULL, 0) : 1;
		else
			keep = optarg;
	}
	o->history.trace = trace;
	o->shrink = !no_shrink;
	o->all_events = all_events;
	if (soak)
		o->seeds = SOAK_SEEDS;
	if (kill && !o->history.branch_every)
		o->history.branch_every = 1;
	return optind == argc && o->jobs && history_number(&o->history, steps, keep);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void add(struct counts *total, const struct counts *counts)
{
	uint64_t *to = (uint64_t *)total;
	const uint64_t *from = (const uint64_t *)counts;

	for (size_t i = 0; i < sizeof(*total) / sizeof(*to); i++)
		__atomic_fetch_add(&to[i], from[i], __ATOMIC_RELAXED);
}

/* Runs one history in a child. Return: its process. */
static pid_t start(const struct options *o, uint64_t seed, struct counts *totals)
{
	struct history history = o->history;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		abort();
	if (pid)
		return pid;
	history.seed = seed;
	history_run(&history);
	add(&totals[0], &history.counts);
	add(&totals[1], &history.copies_counts);
	exit(0); /* not _exit(), since gcov writes its counts at exit */
}

/* Prints the counts. Return: how many times as fast as real time it was. */
static double tell(const struct options *o, const struct counts *totals, double took)
{
	const struct counts *all = &totals[0], *copies = &totals[1];
	double simulated = (double)(all->simulated_us + copies->simulated_us) / 1e6;

	printf("%" PRIu64 " seeds, %" PRIu64 " steps, %" PRIu64 " requests, %" PRIu64
	       " wakes; %" PRIu64 " stores, %" PRIu64 " kills; %" PRIu64 " rings\n",
		o->seeds, all->steps, all->requests, all->wakes, all->stores, all->kills,
		all->rings);
	if (o->history.branch_every)
		printf("%" PRIu64 " kill points, each adopted and gone on from: %" PRIu64
		       " steps, %" PRIu64 " wakes, %" PRIu64 " of them came twice, %" PRIu64
		       " kills\n",
			all->copies, copies->steps, copies->wakes, copies->duplicates,
			copies->kills);
	printf("%" PRIu64 " quiet times: %" PRIu64 " wakes by %" PRIu64
	       " rings, as few as the offline optimum\n",
		all->events[EVENT_QUIET] + copies->events[EVENT_QUIET],
		all->quiet_wakes + copies->quiet_wakes, all->quiet_rings + copies->quiet_rings);
	printf("simulated %.0f s in %.1f s: %.0f times as fast as real time\n", simulated, took,
		simulated / took);
	return simulated / took;
}

/* Prints how often each event happened, in columns. Return: whether each one happened. */
static bool tell_events(const struct counts *totals)
{
	unsigned int column = 0;
	bool all = true;

	for (unsigned int i = 0; i < EVENTS; i++) {
		uint64_t n = totals[0].events[i] + totals[1].events[i];

		if (!event_name(i))
			continue;
		printf("%9" PRIu64 " %-24s%s", n, event_name(i), ++column % 3 ? "" : "\n");
		all &= n > 0;
	}
	printf("%s", column % 3 ? "\n" : "");
	return all;
}

/* Runs all seeds, some at the same time. Return: the first seed that failed; UINT64_MAX: none. */
static uint64_t run_all(const struct options *o, struct counts *totals)
{
	uint64_t failed = UINT64_MAX, next = 0, running = 0;
	struct {
		pid_t pid;
		uint64_t seed;
	} jobs[64] = {0};

	while (running || (next < o->seeds && failed == UINT64_MAX)) {
		int status;
		pid_t pid;

		for (uint64_t i = 0; i < o->jobs && next < o->seeds && failed == UINT64_MAX; i++)
			if (!jobs[i].pid) {
				jobs[i].seed = o->seed + next++;
				jobs[i].pid = start(o, jobs[i].seed, totals);
				running++;
			}
		pid = wait(&status);
		for (uint64_t i = 0; i < o->jobs; i++)
			if (jobs[i].pid == pid) {
				jobs[i].pid = 0;
				running--;
				if (status && jobs[i].seed < failed)
					failed = jobs[i].seed;
			}
	}
	return failed;
}

int main(int argc, char **argv)
{
	struct options o = {
		.seed = 1,
		.seeds = 1,
		.jobs = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN),
		.history.onwards = 12,
	};
	struct counts *totals = mmap(NULL, 2 * sizeof(*totals), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double began = seconds();

	if (totals == MAP_FAILED || !parse(&o, argc, argv))
		return usage();
	o.jobs = o.jobs > 64 ? 64 : o.jobs;
	o.history.seed = run_all(&o, totals);
	if (o.history.seed == UINT64_MAX) {
		bool few = totals[0].copies < o.least, all = tell_events(totals);

		bool slow = tell(&o, totals, seconds() - began) < (double)o.faster;

		history_free(&o.history);
		if (few)
			printf("not ok: fewer kill points than %" PRIu64 "\n", o.least);
		if (o.all_events && !all)
			printf("not ok: something never happened\n");
		if (slow)
			printf("not ok: not %" PRIu64 " times as fast as real time\n", o.faster);
		return few || slow || (o.all_events && !all);
	}
	printf("seed %" PRIu64 " failed\n", o.history.seed);
	if (o.shrink)
		history_shrink(&o.history);
	history_print(&o.history);
	return 1;
}
