/* SPDX-License-Identifier: MIT */
/*
 * Arenas that no daemon of ours leaves behind: of another layout, with flipped bits, with links in
 * cycles or to the outside, with wrong counts. The worker gets each of them only through adoption.
 * Adoption must refuse the arena, or turn it into a valid one that serves clients and still has
 * every record that was not damaged.
 *
 * The block lies between two pages that nobody may touch. Each case has a time limit.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exercise.h"
#include "check.h"
#include "timer_state.h"
#include "invariants.h"

#define PAGE 4096

/* A case ends within so many seconds, or the process does. */
#define CASE_SECONDS 60

struct arenas {
	struct exercise e;
	uint8_t *block, *intact; /* both of size bytes */
	size_t size;
	struct arena was; /* over intact */
	uint64_t seed;
	bool forged; /* check words are made valid, so that they show no damage */
	uint64_t adopted, refused, survived, dropped;
};

static _Noreturn void fail(const struct arenas *a, const char *fault)
{
	printf("not ok - seed %" PRIu64 ": %s\n", a->seed, fault);
	exit(1);
}

/* An arena with timers and sessions of all kinds. Each seed gives a different one. */
static void fresh(struct arenas *a, uint64_t seed)
{
	a->seed = seed;
	exercise_init(&a->e, seed);
	memset(a->block, 0, a->size);
	exercise_fill(&a->e, a->block);
	memcpy(a->intact, a->block, a->size);
	arena_view(&a->was, a->intact, a->e.worker.arena.header->max_timers,
		a->e.worker.arena.header->max_clients);
}

static bool differs(const struct arenas *a, const void *record, size_t size)
{
	size_t at = (size_t)((const uint8_t *)record - a->intact);

	return memcmp(record, a->block + at, size) != 0;
}

/* Whether everything that defines the timer is unchanged: record, values, label, session. */
static bool is_untouched(const struct arenas *a, uint32_t timer)
{
	const struct arena *was = &a->was;
	uint32_t session = was->timers[timer].session;

	return !differs(a, &was->timers[timer], sizeof(was->timers[timer])) &&
		!differs(a, &was->nodes[timer].due, 16) &&
		!differs(a, &was->nodes[timer].tag, sizeof(was->nodes[timer].tag)) &&
		!differs(a, was->labels[timer], sizeof(was->labels[timer])) &&
		!differs(a, &was->sessions[session], sizeof(was->sessions[session]));
}

static bool was_held(const struct arenas *a, uint32_t timer)
{
	uint32_t session = a->was.timers[timer].session;

	return timer <= a->was.header->timers_top && timers_alive(&a->was, timer) &&
		session != ARENA_OWN_SESSION && a->was.sessions[session].state == SESSION_OPEN;
}

/* Whether the damaged records still describe a live timer of an open session. */
static bool is_claimed(const struct arenas *a, uint32_t timer)
{
	struct arena now;

	arena_view(&now, a->block, a->was.header->max_timers, a->was.header->max_clients);
	return timers_state(&now, timer) != TIMER_FREE &&
		now.sessions[a->was.timers[timer].session].state > SESSION_NEW;
}

/* The required results for the timers. */
struct fates {
	bool untouched[INVARIANTS_SLOTS_MAX]; /* must be there after the adoption */
	bool claimed[INVARIANTS_SLOTS_MAX];   /* must be there, or be counted as dropped */
};

static void foretell(const struct arenas *a, struct fates *fates)
{
	for (uint32_t timer = 1; timer <= a->was.header->max_timers; timer++) {
		bool held = was_held(a, timer);

		fates->untouched[timer] = held && is_untouched(a, timer);
		fates->claimed[timer] = held && is_claimed(a, timer);
	}
}

static bool has_survived(const struct arenas *a, uint32_t timer)
{
	const struct arena *arena = &a->e.worker.arena;

	return timers_alive(arena, timer) &&
		timers_state(arena, timer) == timers_state(&a->was, timer) &&
		arena->nodes[timer].due == a->was.nodes[timer].due &&
		arena->nodes[timer].latest == a->was.nodes[timer].latest &&
		!memcmp(&arena->timers[timer], &a->was.timers[timer], sizeof(struct timer));
}

static void check_fates(struct arenas *a, const struct fates *fates)
{
	for (uint32_t timer = 1; timer <= a->was.header->max_timers; timer++) {
		bool survived = has_survived(a, timer);

		if (fates->untouched[timer] && !survived)
			fail(a, "a timer that nothing had touched did not survive");
		if (!a->forged && fates->claimed[timer] && !survived && !a->e.worker.dropped)
			fail(a, "a record was dropped, and not counted");
		a->survived += fates->untouched[timer];
	}
}

/* Adopts the block as it is now. */
static void adopt_it(struct arenas *a)
{
	static struct fates fates;
	const char *fault;
	bool fits;

	foretell(a, &fates);
	fault = exercise_adopt(&a->e, a->block, &fits);
	if (fault)
		fail(a, fault);
	if (!fits) {
		a->refused++;
		return;
	}
	a->adopted++;
	a->dropped += a->e.worker.dropped;
	check_fates(a, &fates);
	fault = exercise_serve(&a->e);
	if (fault)
		fail(a, fault);
}

static void test_an_intact_arena_is_adopted_whole(struct arenas *a)
{
	uint64_t refused = a->refused, dropped = a->dropped;

	for (uint64_t seed = 1; seed <= 300; seed++) {
		fresh(a, seed);
		adopt_it(a);
	}
	if (a->refused != refused || a->dropped != dropped)
		fail(a, "an arena that nothing had touched was refused, or lost a record");
}

static void test_arenas_of_other_layouts_are_refused(struct arenas *a)
{
	uint64_t adopted = a->adopted;
	struct arena_header *h = (struct arena_header *)a->block;

	for (uint64_t seed = 1; seed <= 20; seed++) {
		uint64_t refused = a->refused;

		fresh(a, seed);
		h->magic++;
		adopt_it(a);
		fresh(a, seed);
		h->layout++;
		adopt_it(a);
		fresh(a, seed);
		h->size -= PAGE;
		adopt_it(a);
		fresh(a, seed);
		h->max_timers++;
		adopt_it(a);
		fresh(a, seed);
		h->max_clients--;
		adopt_it(a);
		fresh(a, seed);
		h->adopting = UINT32_MAX;
		adopt_it(a);
		memset(a->block, 0, a->size);
		adopt_it(a);
		memset(a->block, 0xff, a->size);
		adopt_it(a);
		if (a->refused != refused + 8)
			fail(a, "a foreign arena was taken for one of ours");
	}
	if (a->adopted != adopted)
		fail(a, "a foreign arena was adopted");
}

/* Makes the header valid, so that adoption reads the rest. */
static void fit_header(struct arenas *a)
{
	struct arena_header *h = (struct arena_header *)a->block;

	h->magic = ARENA_MAGIC;
	h->layout = ARENA_LAYOUT;
	h->adopting = 0;
	h->size = a->size;
	h->max_timers = a->was.header->max_timers;
	h->max_clients = a->was.header->max_clients;
}

/* A random offset, except in the unused ends of the two long sections. */
static size_t some_place(struct arenas *a)
{
	size_t answer = (size_t)((uint8_t *)a->was.answer - a->intact);
	size_t rearmed = (size_t)((uint8_t *)a->was.rearmed - a->intact);
	size_t nodes = (size_t)((uint8_t *)a->was.nodes - a->intact);
	size_t at;

	do
		at = (size_t)dice_below(&a->e.dice, a->size);
	while ((at > answer + 512 && at < rearmed) || (at > rearmed + 512 && at < nodes));
	return at;
}

static void test_flipped_bytes_damage_nothing_else(struct arenas *a)
{
	for (uint64_t seed = 1; seed <= 20000; seed++) {
		fresh(a, seed % 100);
		a->seed = seed;
		a->e.dice.state = seed;
		for (uint64_t n = 1 + dice_below(&a->e.dice, seed % 3 ? 3 : 300); n--;)
			a->block[some_place(a)] ^= (uint8_t)(1 + dice_below(&a->e.dice, 255));
		if (seed % 8)
			fit_header(a);
		adopt_it(a);
	}
}

/* Flips one bit in each byte of an arena that has a meaning. */
static void test_a_flipped_bit_damages_nothing_else(struct arenas *a)
{
	const struct arena *was = &a->was;

	fresh(a, 5);
	for (size_t at = 0; at < a->size; at++) {
		const uint8_t *p = a->intact + at;
		bool in_answer = p >= was->answer + 64 && p < (const uint8_t *)was->rearmed;
		bool in_rearmed = p >= (const uint8_t *)was->rearmed + 256 &&
			p < (const uint8_t *)was->nodes;

		/* The zeroes after a section, and the histogram, have no meaning. */
		if (in_answer || in_rearmed || (!*p && at % 7))
			continue;
		fresh(a, 5);
		a->seed = at;
		a->e.dice.state = at;
		a->block[at] ^= (uint8_t)(1 << at % 8);
		adopt_it(a);
	}
}

static uint32_t some_index(struct arenas *a)
{
	switch (dice_below(&a->e.dice, 4)) {
	case 0:
		return (uint32_t)dice_any(&a->e.dice);
	case 1:
		return 0;
	default:
		return (uint32_t)dice_below(&a->e.dice, a->was.header->max_timers + 2);
	}
}

/* Links to anywhere: trees and lists with cycles, shared parts, and links to the outside. */
static void test_links_to_anywhere_are_not_followed(struct arenas *a)
{
	for (uint64_t seed = 1; seed <= 3000; seed++) {
		struct arena arena;
		struct arena_header *h;

		fresh(a, seed % 100);
		a->seed = seed;
		a->e.dice.state = seed;
		arena = a->e.worker.arena;
		h = arena.header;
		for (uint32_t i = 0; i <= h->max_timers; i++) {
			arena.nodes[i].child_red[0] = some_index(a);
			arena.nodes[i].child_red[1] = some_index(a);
			arena.nodes[i].parent = some_index(a);
			arena.nodes[i].least = some_index(a);
		}
		for (uint32_t i = 0; i <= h->max_clients + 1; i++) {
			for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
				arena_heads(&arena, clock)[i]
					.child_red[dice_below(&a->e.dice, 2)] = some_index(a);
				arena_heads(&arena, clock)[i].tag = some_index(a);
			}
			arena.users[i].next = some_index(a);
			arena.users[i].clients = some_index(a);
			arena.users[i].ready.sessions.first = some_index(a);
			arena.users[i].ready.link.next = some_index(a);
		}
		for (uint32_t i = 0; i <= arena.buckets_mask; i++)
			arena.buckets[i] = some_index(a);
		for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++)
			h->watched[clock] = (struct rbtree){
				some_index(a), some_index(a), some_index(a)};
		h->timers_orphaned = some_index(a);
		for (uint32_t i = 0; i < bitset_words(h->max_timers + 1); i++)
			arena.free.levels[0][i] = dice_any(&a->e.dice);
		h->sessions_free = some_index(a);
		h->users_free = some_index(a);
		h->ready = (struct turns_list){some_index(a), some_index(a)};
		adopt_it(a);
	}
}

/* Changes the counts and tops of the header, the packet in progress and the records of intent. */
static void test_wrong_counts_are_corrected(struct arenas *a)
{
	for (uint64_t seed = 1; seed <= 5000; seed++) {
		struct arena_header *h;
		struct dice *dice = &a->e.dice;

		fresh(a, seed % 100);
		a->seed = seed;
		dice->state = seed;
		h = a->e.worker.arena.header;
		h->timers_top = some_index(a);
		h->sessions_top = some_index(a);
		h->users_top = some_index(a);
		h->timers = some_index(a);
		h->clients = some_index(a);
		if (dice_once_in(dice, 2))
			h->sequence = dice_any(dice);
		h->intent = (struct arena_intent){
			.timer = some_index(a),
			.check = dice_once_in(dice, 2) ? h->intent.check : some_index(a),
			.count = some_index(a),
			.due = dice_any(dice),
			.latest = dice_any(dice),
		};
		h->applying.session = some_index(a);
		h->applying.answer_size = some_index(a);
		h->applying.rearmed = some_index(a);
		h->applying.serial = dice_below(dice, 20);
		h->applying.sequence = dice_below(dice, 40);
		adopt_it(a);
	}
}

/* Random values in a timer's record, with a valid check word. */
static void forge_timer(struct arenas *a, const struct arena *arena, uint32_t timer)
{
	struct dice *dice = &a->e.dice;
	struct rbnode *node = &arena->nodes[timer];
	struct timer *t = &arena->timers[timer];
	struct arena_intent values;

	if (dice_once_in(dice, 2))
		node->tag = (uint32_t)dice_below(dice, 6) | (uint32_t)dice_below(dice, 7) << 8 |
			(uint32_t)dice_below(dice, 2) << 16;
	if (dice_once_in(dice, 2))
		node->due = dice_once_in(dice, 3) ? UINT64_MAX : dice_any(dice);
	if (dice_once_in(dice, 2))
		node->latest = dice_any(dice);
	if (dice_once_in(dice, 2))
		t->session = some_index(a);
	if (dice_once_in(dice, 2))
		t->sequence = dice_any(dice) >> dice_below(dice, 64);
	if (dice_once_in(dice, 2))
		t->every = dice_any(dice);
	if (dice_once_in(dice, 3))
		t->fired = t->count = some_index(a);
	if (dice_once_in(dice, 3))
		arena->labels[timer][dice_below(dice, PROTO_LABEL_MAX)] = (char)dice_any(dice);
	values = timer_state_values(arena, timer);
	t->check = check_timer(arena, timer, &values);
}

static void forge_session(struct arenas *a, const struct arena *arena, uint32_t session)
{
	struct dice *dice = &a->e.dice;
	struct session *s = &arena->sessions[session];

	if (dice_once_in(dice, 2))
		s->state = (uint8_t)dice_below(dice, 5);
	if (dice_once_in(dice, 2))
		s->born = dice_any(dice) >> dice_below(dice, 64);
	if (dice_once_in(dice, 2))
		s->uid = some_index(a);
	s->serial = dice_once_in(dice, 2) ? dice_any(dice) : s->serial;
	for (unsigned int clock = 0; clock < PROTO_CLOCKS; clock++)
		s->sent_at[clock] = dice_any(dice) >> dice_below(dice, 64);
	s->sending = dice_once_in(dice, 2) ? check_sending(s) : some_index(a);
	s->check = check_session(arena, session);
}

/* Impossible records whose check words fit. A process that can write them can do anything, but the
 * daemon does no more for it than for a damaged record. */
static void test_forged_records_do_no_more_than_damaged_ones(struct arenas *a)
{
	a->forged = true;
	for (uint64_t seed = 1; seed <= 10000; seed++) {
		struct arena arena;

		fresh(a, seed % 100);
		a->seed = seed;
		a->e.dice.state = seed;
		arena = a->e.worker.arena;
		for (uint64_t n = dice_below(&a->e.dice, 12); n--;)
			forge_timer(a, &arena,
				1 + (uint32_t)dice_below(&a->e.dice, arena.header->max_timers));
		for (uint64_t n = dice_below(&a->e.dice, 3); n--;)
			forge_session(a, &arena,
				2 + (uint32_t)dice_below(&a->e.dice, arena.header->max_clients));
		adopt_it(a);
	}
	a->forged = false;
}

static void test_noise_is_refused_or_made_valid(struct arenas *a)
{
	fresh(a, 1);
	for (uint64_t seed = 1; seed <= 300; seed++) {
		a->seed = seed;
		exercise_init(&a->e, seed);
		for (size_t at = 0; at + 8 <= a->size; at += 8) {
			uint64_t word = seed == 1 ? UINT64_MAX : dice_any(&a->e.dice);

			/* Small numbers do more harm than large ones. */
			word &= seed % 2 ? UINT64_MAX : UINT64_C(0x0000001f0000001f);
			memcpy(a->block + at, &word, 8);
		}
		fit_header(a);
		memset(a->intact, 0, a->size);
		adopt_it(a);
		fresh(a, 1);
	}
}

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(struct arenas *a);
	} tests[] = {
		{"intact", test_an_intact_arena_is_adopted_whole},
		{"foreign magic, layout, size and room", test_arenas_of_other_layouts_are_refused},
		{"bytes flipped", test_flipped_bytes_damage_nothing_else},
		{"single bits flipped", test_a_flipped_bit_damages_nothing_else},
		{"links to anywhere", test_links_to_anywhere_are_not_followed},
		{"counts, tops, intents and packets in hand that lie",
			test_wrong_counts_are_corrected},
		{"records that cannot be, with check words that fit",
			test_forged_records_do_no_more_than_damaged_ones},
		{"all ones, all noise", test_noise_is_refused_or_made_valid},
	};
	static struct arenas a;
	uint8_t *pages;

	exercise_init(&a.e, 1);
	a.size = exercise_size(&a.e);
	pages = mmap(NULL, a.size + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	a.block = pages + PAGE;
	a.intact = aligned_alloc(PAGE, a.size);
	if (pages == MAP_FAILED || mprotect(a.block, a.size, PROT_READ | PROT_WRITE) < 0 ||
		!a.intact)
		return 1;
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		struct arenas before = a;

		alarm(CASE_SECONDS);
		tests[i].run(&a);
		printf("ok %zu - %s: %" PRIu64 " adopted, %" PRIu64 " refused; %" PRIu64
		       " untouched timers survived, %" PRIu64 " records were dropped\n",
			i + 1, tests[i].name, a.adopted - before.adopted,
			a.refused - before.refused, a.survived - before.survived,
			a.dropped - before.dropped);
		fflush(stdout);
	}
	printf("1..%zu\n", sizeof(tests) / sizeof(tests[0]));
	free(a.intact);
	return 0;
}
