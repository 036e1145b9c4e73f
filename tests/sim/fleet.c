/* SPDX-License-Identifier: MIT */
/*
 * The lease protocol in a simulated fleet, seed by seed.
 *
 *	fleet [--seed N] [--seeds COUNT] [--steps M] [--mutant NAME]
 *	fleet --soak		a thousand seeds of a million steps
 *	fleet --all-events	fails if something that can happen never did
 *	fleet --mutants		fails if the simulation does not find each mutant
 *
 * A failure names its seed and step: the same arguments find it again.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fleet_world.h"

static const char *const mutants[FLEET_MUTANTS] = {
	[FLEET_SOUND] = "none",
	[FLEET_NO_MARGIN] = "no-margin",
	[FLEET_NO_FENCE] = "no-fence",
	[FLEET_NO_COMPARE] = "no-compare",
	[FLEET_ANY_RELEASE] = "any-release",
	[FLEET_DATABASE_CLOCK] = "database-clock",
	[FLEET_NO_HOLD] = "no-hold",
	[FLEET_NO_STORED] = "no-stored-timeline",
	[FLEET_RARE_LOOKS] = "rare-looks",
};

static const char *const events[FLEET_EVENTS] = {
	[FLEET_TAKES_FREE] = "takes of free leases",
	[FLEET_TAKES_OVER] = "takeovers",
	[FLEET_RENEWALS] = "renewals",
	[FLEET_RELEASES] = "releases",
	[FLEET_LOST] = "leases lost",
	[FLEET_ACKS] = "acknowledgements",
	[FLEET_FENCED] = "fenced acknowledgements",
	[FLEET_REPEATS] = "repeats under an old term",
	[FLEET_LATE_ACK] = "late acknowledgements",
	[FLEET_LATE_ROUND] = "late rounds",
	[FLEET_KILLS] = "kills",
	[FLEET_STOPS] = "clean stops",
	[FLEET_FREEZES] = "SIGSTOPs",
	[FLEET_HALTS] = "halts before a send",
	[FLEET_PAUSES] = "paused machines",
	[FLEET_CUTS] = "cuts",
	[FLEET_RESETS] = "resets",
	[FLEET_DROPS] = "lost messages",
	[FLEET_STALLS] = "stalls of the database",
	[FLEET_RESTARTS] = "restarts of it",
	[FLEET_FAILOVERS] = "failovers",
	[FLEET_LOSSY_FAILOVERS] = "that lost commits",
	[FLEET_STARTS_AFTER] = "starts right after one",
	[FLEET_CLOCK_STEPS] = "steps of its clock",
	[FLEET_ROW_LOCKS] = "rows locked by others",
	[FLEET_LOCKED] = "questions about them",
	[FLEET_COMES_AND_GOES] = "consumers come or go",
};

struct options {
	uint64_t seed, seeds, steps;
	enum fleet_mutant mutant;
	bool all_events, mutants;
};

struct totals {
	uint64_t steps, simulated, longest_wait, longest_free;
	uint64_t events[FLEET_EVENTS];
};

static int usage(void)
{
	fputs("fleet [--seed N] [--seeds COUNT] [--steps M] [--soak] [--all-events]\n"
	      "    [--mutants] [--mutant",
		stderr);
	for (unsigned int i = 0; i < FLEET_MUTANTS; i++)
		fprintf(stderr, "%c%s", i ? '|' : ' ', mutants[i]);
	fputs("]\n", stderr);
	return 2;
}

static bool parse(struct options *o, int argc, char **argv)
{
	static const struct option names[] = {
		{"seed", required_argument, NULL, 's'},
		{"seeds", required_argument, NULL, 'n'},
		{"steps", required_argument, NULL, 'm'},
		{"mutant", required_argument, NULL, 'x'},
		{"mutants", no_argument, NULL, 'y'},
		{"soak", no_argument, NULL, 'k'},
		{"all-events", no_argument, NULL, 'a'},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) >= 0) {
		if (c == 's')
			o->seed = strtoull(optarg, NULL, 0);
		else if (c == 'n')
			o->seeds = strtoull(optarg, NULL, 0);
		else if (c == 'm')
			o->steps = strtoull(optarg, NULL, 0);
		else if (c == 'k')
			o->seeds = 1000, o->steps = 1000000;
		else if (c == 'a')
			o->all_events = true;
		else if (c == 'y')
			o->mutants = true;
		else if (c == 'x')
			for (o->mutant = 0; o->mutant < FLEET_MUTANTS; o->mutant++)
				if (strcmp(mutants[o->mutant], optarg) == 0)
					break;
		if (c == '?' || o->mutant == FLEET_MUTANTS)
			return false;
	}
	return optind == argc;
}

static void add(struct totals *t, const struct fleet *f)
{
	t->steps += f->steps;
	t->simulated += f->now;
	t->longest_wait = f->longest_wait > t->longest_wait ? f->longest_wait : t->longest_wait;
	t->longest_free = f->longest_free > t->longest_free ? f->longest_free : t->longest_free;
	for (unsigned int i = 0; i < FLEET_EVENTS; i++)
		t->events[i] += f->events[i];
}

static bool run_seed(const struct options *o, uint64_t seed, struct totals *t)
{
	static struct fleet f;

	fleet_begin(&f, seed, o->mutant);
	while (f.steps < o->steps && fleet_step(&f))
		;
	add(t, &f);
	if (f.wrong)
		printf("seed %" PRIu64 ", step %" PRIu64 ", after %.3f s, queue %u: %s\n", seed,
			f.steps, (double)f.now / 1e6, f.wrong_queue, f.wrong);
	return !f.wrong;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Return: whether each event happened. */
static bool tell(const struct options *o, const struct totals *t, double took)
{
	bool all = true;

	printf("%" PRIu64 " seeds, %" PRIu64
	       " steps in %.1f s of CPU time (%.0f ns a step), %.0f simulated "
	       "days\n",
		o->seeds, t->steps, took, took * 1e9 / (double)t->steps,
		(double)t->simulated / 86400e6);
	printf("the longest wait for a host that takes over: %.3f s; for one that takes what was "
	       "released: %.3f s\n",
		(double)t->longest_wait / 1e6, (double)t->longest_free / 1e6);
	for (unsigned int i = 0; i < FLEET_EVENTS; i++) {
		printf("%11" PRIu64 " %-26s%s", t->events[i], events[i], i % 2 ? "\n" : "");
		all = all && t->events[i];
	}
	return all;
}

/* Return: whether the simulation finds each mutant. */
static bool find_mutants(const struct options *given)
{
	struct options o = *given;
	struct totals totals = {0};
	bool all = true;

	for (o.mutant = FLEET_SOUND + 1; o.mutant < FLEET_MUTANTS; o.mutant++) {
		uint64_t i = 0;

		printf("%s: ", mutants[o.mutant]);
		while (i < o.seeds && run_seed(&o, o.seed + i, &totals))
			i++;
		if (i == o.seeds)
			printf("not found in %" PRIu64 " seeds\n", o.seeds);
		all = all && i < o.seeds;
	}
	return all;
}

int main(int argc, char **argv)
{
	struct options o = {.seed = 1, .seeds = 1, .steps = 1000000};
	struct totals totals = {0};
	double began = seconds();
	bool right = true;

	if (!parse(&o, argc, argv))
		return usage();
	if (o.mutants)
		return find_mutants(&o) ? 0 : 1;
	for (uint64_t i = 0; i < o.seeds && right; i++)
		right = run_seed(&o, o.seed + i, &totals);
	if (!tell(&o, &totals, seconds() - began) && o.all_events) {
		printf("something never happened\n");
		return 1;
	}
	return right ? 0 : 1;
}
