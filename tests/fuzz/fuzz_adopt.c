/* SPDX-License-Identifier: MIT */
/*
 * Adopts arbitrary bytes as the arena of a killed process. The bytes replace the records of a small
 * arena. The header is made valid: otherwise adoption would refuse nearly every input at once. The
 * adopted arena must be valid, and stay valid while requests are handled, time passes and wakes are
 * sent. If the lowest bit of the first byte is set, the check words are made valid, too. Then only
 * the checks of bounds protect the trees.
 *
 *	tests/fuzz/run adopt
 *
 * With FUZZ_ADOPT_SEEDS it is a program that writes arenas of exercise_fill() into a folder.
 */
#include <stddef.h>
#include <string.h>

#include "../sim/exercise.h"
#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How much of the two sections of 64 KB is used. */
#define ANSWER_USED  256
#define REARMED_USED 4

/* What the input replaces, in this order. */
struct piece {
	void *at;
	size_t size;
};
#define PIECES 9

static void pieces_of(const struct arena *arena, struct piece *pieces)
{
	size_t timers = arena->header->max_timers + 1, sessions = arena->header->max_clients + 2;
	struct piece all[PIECES] = {
		{arena->header, offsetof(struct arena_header, counters)},
		{arena->sessions, sessions * sizeof(*arena->sessions)},
		{arena->nodes, timers * sizeof(*arena->nodes)},
		{arena->timers, timers * sizeof(*arena->timers)},
		{arena->labels, timers * sizeof(*arena->labels)},
		{arena->answer, ANSWER_USED},
		{arena->rearmed, REARMED_USED * sizeof(*arena->rearmed)},
		{arena->heads, sessions * sizeof(*arena->heads)},
		{arena->users, sessions * sizeof(*arena->users)},
	};

	memcpy(pieces, all, sizeof(all));
}

static void fit_checks(const struct arena *arena)
{
	struct arena_header *h = arena->header;

	for (uint32_t i = 1; i <= h->max_timers; i++) {
		struct arena_intent values = timer_state_values(arena, i);

		arena->timers[i].check = check_timer(arena, i, &values);
	}
	for (uint32_t i = 1; i <= h->max_clients + 1; i++) {
		struct session *s = &arena->sessions[i];

		s->check = check_session(arena, i);
		s->sending = s->sending ? check_sending(s) : 0;
	}
	h->applying.check = check_applying(&h->applying, h->applying.session);
	if (h->intent.timer <= h->max_timers)
		h->intent.check = check_timer(arena, h->intent.timer, &h->intent);
	for (uint32_t i = 0; i < REARMED_USED; i++)
		if (arena->rearmed[i].timer <= h->max_timers)
			arena->rearmed[i].check = check_timer(
				arena, arena->rearmed[i].timer, &arena->rearmed[i]);
}

/* A zeroed arena of the exercise's size, seen through e->worker.arena. */
static void *make_block(struct exercise *e, uint64_t seed)
{
	static void *block;

	exercise_init(e, seed);
	if (!block)
		block = aligned_alloc(4096, exercise_size(e));
	if (!block)
		abort();
	exercise_clear(e, block);
	worker_init(&e->worker, block, &e->config, &e->now);
	return block;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct exercise e;
	struct piece pieces[PIECES];
	struct arena_header fitting;
	struct arena arena;
	const char *fault;
	void *block;
	bool fits, check;

	if (size < 2)
		return 0;
	check = data[0] & 1;
	block = make_block(&e, data[1]);
	data += 2, size -= 2;
	arena = e.worker.arena;
	fitting = *arena.header;
	pieces_of(&arena, pieces);
	for (unsigned int i = 0; i < PIECES && size; i++) {
		size_t n = size < pieces[i].size ? size : pieces[i].size;

		memcpy(pieces[i].at, data, n);
		data += n, size -= n;
	}
	memcpy(arena.header, &fitting, offsetof(struct arena_header, instance));
	arena.header->layout = fitting.layout;
	arena.header->adopting = 0;
	arena.header->max_timers = fitting.max_timers;
	arena.header->max_clients = fitting.max_clients;
	if (check)
		fit_checks(&arena);

	fault = exercise_adopt(&e, block, &fits);
	if (!fault && fits)
		fault = exercise_serve(&e);
	if (fault || !fits) {
		fprintf(stderr, "not so: %s\n", fault ? fault : "the arena fits");
		abort();
	}
	return 0;
}

#ifdef FUZZ_ADOPT_SEEDS
static void write_seed(const char *folder, uint64_t seed)
{
	static struct exercise e;
	struct piece pieces[PIECES];
	char path[4096];
	void *block = make_block(&e, seed);
	FILE *f;

	exercise_clear(&e, block);
	exercise_fill(&e, block);
	pieces_of(&e.worker.arena, pieces);
	snprintf(path, sizeof(path), "%s/arena-%02u", folder, (unsigned int)seed);
	f = fopen(path, "wb");
	if (!f)
		abort();
	fputc((int)(seed % 2), f);
	fputc((int)seed, f);
	for (unsigned int i = 0; i < PIECES; i++)
		fwrite(pieces[i].at, 1, pieces[i].size, f);
	fclose(f);
}

int main(int argc, char **argv)
{
	for (uint64_t seed = 1; argc == 2 && seed <= 16; seed++)
		write_seed(argv[1], seed);
	return argc != 2;
}
#endif
