/* SPDX-License-Identifier: MIT */
/*
 * Each history runs in a child process. A failing history is cut by halves, quarters and so on
 * (Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, 2002). Any failure
 * counts as the same one.
 */
#include "history.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void append(struct history *h, uint64_t number)
{
	h->numbers = reallocarray(h->numbers, h->count + 1, sizeof(*h->numbers));
	if (!h->numbers)
		abort();
	h->numbers[h->count++] = number;
}

bool history_number(struct history *h, uint64_t steps, const char *keep)
{
	if (!keep)
		for (uint64_t i = 0; i < steps; i++)
			append(h, i);
	while (keep && *keep) {
		char *end;
		uint64_t from = strtoull(keep, &end, 10), to = from;

		if (end == keep)
			return false;
		if (*end == '-')
			to = strtoull(end + 1, &end, 10);
		for (uint64_t i = from; i <= to; i++)
			append(h, i);
		if (*end && *end != ',')
			return false;
		keep = *end ? end + 1 : end;
	}
	return true;
}

void history_free(struct history *h)
{
	free(h->numbers);
	h->numbers = NULL;
}

void history_run(struct history *h)
{
	static struct world w;

	world_init(&w, h->seed, h->branch_every);
	w.trace = h->trace;
	w.branch_steps = h->onwards;
	w.branch_kills = h->branch_every;
	w.branch_every = h->at ? 0 : h->branch_every;
	for (size_t i = 0; i < h->count; i++) {
		if (h->at && i == h->count - 1) {
			w.branch_every = 1;
			w.branch_only = h->at;
		}
		world_step(&w, h->seed, h->numbers[i]);
	}
	w.branch_every = 0;
	world_settle(&w);
	world_end(&w);
	h->counts = w.counts;
	h->copies_counts = w.copies_counts;
	world_destroy(&w);
}

bool history_fails(const struct history *h, struct world_place *place)
{
	struct history copy = *h;
	struct world_place *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0),
			   found;
	int status = 0, null;
	pid_t pid;

	if (shared == MAP_FAILED)
		abort();
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		copy.trace = false;
		world_watch(shared);
		alarm(60);
		history_run(&copy);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		abort();
	found = *shared;
	munmap(shared, sizeof(*shared));
	if (!status || (place->fault && found.fault != place->fault))
		return false;
	*place = found;
	return true;
}

static struct history without(const struct history *h, size_t from, size_t n, size_t keep_last)
{
	struct history cut = *h;

	cut.numbers = NULL;
	cut.count = 0;
	for (size_t i = 0; i < h->count; i++)
		if (i < from || i >= from + n || i >= h->count - keep_last)
			append(&cut, h->numbers[i]);
	return cut;
}

/* Removes pieces of this size, if the history still fails without them. */
static void cut_pieces(struct history *h, size_t size, size_t keep_last, struct world_place *place)
{
	for (size_t from = 0; from + keep_last < h->count;) {
		struct history cut = without(h, from, size, keep_last);

		if (cut.count < h->count && history_fails(&cut, place)) {
			free(h->numbers);
			h->numbers = cut.numbers;
			h->count = cut.count;
		} else {
			free(cut.numbers);
			from += size;
		}
	}
}

/* Removes everything after the failure. */
static bool cut_end(struct history *h, struct world_place *place)
{
	size_t last = 0;

	if (!history_fails(h, place))
		return false;
	while (last < h->count && h->numbers[last] != place->step)
		last++;
	if (last < h->count)
		h->count = last + 1;
	h->at = h->branch_every ? place->store : 0;
	return history_fails(h, place);
}

void history_shrink(struct history *h)
{
	struct world_place place = {0};
	size_t keep_last;

	if (!cut_end(h, &place))
		return;
	keep_last = h->at ? 1 : 0;
	for (size_t size = h->count / 2; size > 1; size /= 2)
		cut_pieces(h, size, keep_last, &place);
	cut_pieces(h, 1, keep_last, &place);
	for (uint64_t onwards = h->onwards; h->at && onwards > 0; onwards /= 2) {
		struct history shorter = *h;

		shorter.onwards = onwards / 2;
		if (!history_fails(&shorter, &place))
			break;
		h->onwards = shorter.onwards;
	}
}

void history_print(const struct history *h)
{
	struct history again = *h;
	int status;

	printf("what is left of it, %zu steps:\n", h->count);
	again.trace = true;
	fflush(stdout);
	if (fork() == 0) {
		setvbuf(stdout, NULL, _IOLBF, 0); /* a signal may end this process */
		history_run(&again);
		printf("which does not fail by itself\n");
		fflush(stdout);
		_exit(0);
	}
	if (wait(&status) > 0 && WIFSIGNALED(status))
		printf("it ends by a signal: %s\n", strsignal(WTERMSIG(status)));
	printf("replay: sim --seed %" PRIu64 "%s", h->seed, h->branch_every ? " --kill" : "");
	if (h->branch_every > 1)
		printf(" --every %" PRIu64, h->branch_every);
	if (h->branch_every)
		printf(" --at %" PRIu64 " --onwards %" PRIu64, h->at, h->onwards);
	printf(" --no-shrink --keep ");
	for (size_t i = 0, next; i < h->count; i = next) {
		for (next = i + 1; next < h->count && h->numbers[next] == h->numbers[next - 1] + 1;)
			next++;
		printf("%s%" PRIu64, i ? "," : "", h->numbers[i]);
		if (next > i + 1)
			printf("-%" PRIu64, h->numbers[next - 1]);
	}
	putchar('\n');
}
