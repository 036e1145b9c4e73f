/* SPDX-License-Identifier: MIT */
/*
 * Golden arenas (arenas/README): this daemon adopts what a killed daemon of this layout or the
 * previous one has left. The clients notice nothing, and root's list shows the same timers.
 *
 * test_golden FILE...
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "adopt.h"
#include "dice.h"
#include "world.h"

#define LINE	   32
#define LISTED_MAX 256
#define SECOND	   UINT64_C(1000000)
#define ROUNDS	   50
#define SESSIONS   102 /* the number of clients in a world */

struct golden {
	const char *path;
	size_t size; /* of the block */
	uint8_t *block;
	uint32_t client;
	uint64_t cancelled;
	struct proto_listed listed[LISTED_MAX];
	size_t listed_count;
	/* The part of the block that the file holds. */
	size_t *offsets;
	size_t lines;
};

static const struct worker_config config = {
	.limits =
		{
			.max_timers = 1000,
			.max_timers_per_user = 1000,
			.max_clients = 100,
			.max_clients_per_user = 100,
		},
	.room_timers = ARENA_TIMERS_MAX,
	.room_clients = ARENA_CLIENTS_MAX,
	.can_wake_system = true,
	.pid = 4712,
	.instance = 43,
	.version = "1.2.3",
};

static void *map(size_t size)
{
	void *block = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(block != MAP_FAILED);
	return block;
}

static void parse_hex(const char *text, void *ret, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned int byte;

		assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
		((uint8_t *)ret)[i] = (uint8_t)byte;
	}
}

static void parse_line(struct golden *g, const char *line)
{
	size_t at;
	int n;

	if (!strncmp(line, "listed ", 7)) {
		assert_true(g->listed_count < LISTED_MAX);
		parse_hex(line + 7, &g->listed[g->listed_count++], sizeof(g->listed[0]));
	} else if (sscanf(line, "client %x", &g->client) == 1 ||
		sscanf(line, "cancelled %" SCNx64, &g->cancelled) == 1) {
		return;
	} else {
		assert_int_equal(sscanf(line, "%zx %n", &at, &n), 1);
		assert_true(at + LINE <= g->size);
		parse_hex(line + n, g->block + at, LINE);
		g->offsets = realloc(g->offsets, (g->lines + 1) * sizeof(g->offsets[0]));
		assert_non_null(g->offsets);
		g->offsets[g->lines++] = at;
	}
}

static struct golden *load(const char *path)
{
	struct golden *g = calloc(1, sizeof(*g));
	size_t this = worker_size(&config), previous = worker_previous_size(&config);
	char line[1024];
	FILE *file = fopen(path, "r");

	assert_non_null(g);
	assert_non_null(file);
	g->path = path;
	g->size = this > previous ? this : previous;
	g->block = map(g->size);
	while (fgets(line, sizeof(line), file))
		parse_line(g, line);
	fclose(file);
	assert_in_range(g->listed_count, 30, LISTED_MAX);
	return g;
}

static void unload(struct golden *g)
{
	munmap(g->block, g->size);
	free(g->offsets);
	free(g);
}

static bool is_this_layout(const struct golden *g)
{
	return adopt_fits(g->block, ARENA_TIMERS_MAX, ARENA_CLIENTS_MAX);
}

/* A block of this layout, converted from the golden one. NULL: it does not fit. */
static void *open_block(struct golden *g)
{
	size_t size = worker_size(&config);
	void *block = map(size);

	if (is_this_layout(g)) {
		for (size_t i = 0; i < g->lines; i++)
			memcpy((uint8_t *)block + g->offsets[i], g->block + g->offsets[i], LINE);
		return block;
	}
	if (worker_convert(g->block, block, &config))
		return block;
	munmap(block, size);
	return NULL;
}

/* A world whose daemon has adopted the arena, five seconds after the world's start as when it was
 * written. */
static struct world *adopt_golden(struct golden *g)
{
	struct world *world = world_new(&config.limits);

	free(world->block);
	world_pass(world, 5 * SECOND);
	world->block = open_block(g);
	assert_non_null(world->block);
	assert_true(worker_adopt(&world->worker, world->block, &config, &world->now));
	assert_int_equal(world->worker.dropped, 0);
	for (uint32_t i = 1; i < SESSIONS; i++)
		world->clients[i].serial = world->worker.arena.sessions[i].serial;
	return world;
}

static void close_world(struct world *world)
{
	munmap(world->block, worker_size(&config));
	world->block = NULL;
	world_free(world);
}

static void resume(struct world *world)
{
	for (uint32_t i = ARENA_OWN_SESSION + 1; i < SESSIONS; i++)
		if (world->worker.arena.sessions[i].state != SESSION_FREE)
			worker_resume(&world->worker, i);
	world_turn(world);
	worker_adopted(&world->worker);
}

static uint32_t root_of(const struct world *world)
{
	const struct arena *arena = &world->worker.arena;

	for (uint32_t i = ARENA_OWN_SESSION + 1; i < SESSIONS; i++)
		if (arena->sessions[i].state == SESSION_OPEN && arena->sessions[i].uid == 0)
			return i;
	fail_msg("root's session is gone");
	return 0;
}

/* The daemon sends an unsent answer. The client sends an uncommitted packet again. */
static void check_answer(const struct golden *g, struct world *world)
{
	struct proto_header header;
	const void *answer;
	uint32_t session;
	size_t size = worker_unsent_answer(&world->worker, &session, &answer);

	if (strstr(g->path, "answered")) {
		assert_int_equal(session, g->client);
		assert_int_equal(codec_open(answer, size, CODEC_FROM_DAEMON, &header), CODEC_OK);
		assert_int_equal(header.opcode, PROTO_STATUS | PROTO_ANSWER);
	} else {
		assert_int_equal(size, 0);
	}
	worker_answered(&world->worker);
}

static unsigned int count(const struct world *world, uint16_t opcode, uint64_t id)
{
	unsigned int n = 0;

	for (size_t i = 0; i < world->n_events; i++) {
		const struct world_event *e = &world->events[i];

		n += e->opcode == opcode &&
			(opcode == PROTO_WAKE ? e->wake.id : e->cancelled.id) == id;
	}
	return n;
}

static void test_a_released_arena_keeps_its_timers_and_sessions(void **state)
{
	struct golden *g = *state;
	struct world *world = adopt_golden(g);
	static struct proto_listed listed[LISTED_MAX];
	size_t n = world_list(world, root_of(world), PROTO_LIST_ALL, listed, LISTED_MAX);

	assert_int_equal(n, g->listed_count);
	for (size_t i = 0; i < n; i++) {
		listed[i].left = 0;
		assert_memory_equal(&listed[i], &g->listed[i], sizeof(listed[i]));
	}
	close_world(world);
}

/* Each wake and each cancellation is sent, and sent once if it must be. */
static void test_a_released_arena_goes_on_working(void **state)
{
	struct golden *g = *state;
	struct world *world = adopt_golden(g);

	check_answer(g, world);
	resume(world);
	for (int second = 0; second < 20; second++) {
		world_pass(world, SECOND);
		world_turn(world);
	}
	assert_int_equal(count(world, PROTO_CANCELLED, g->cancelled), 1);
	for (size_t i = 0; i < g->listed_count; i++) {
		const struct proto_listed *l = &g->listed[i];
		unsigned int wakes = count(world, PROTO_WAKE, l->id);

		if (l->every == 0)
			assert_int_equal(wakes, 1);
		else
			assert_true(wakes > 0);
	}
	close_world(world);
}

static void change32(struct golden *g, size_t offset, uint32_t value)
{
	memcpy(g->block + offset, &value, sizeof(value));
}

/* A block is refused unless its whole header is that of a known layout. Nothing is written. */
static void test_unknown_layouts_are_refused(void **state)
{
	struct golden *g = *state;
	size_t layout = 24, adopting = 28, max_timers = 32, max_clients = 36;
	size_t offsets[] = {0, 4, 8, 12, layout, adopting, max_timers, max_clients};
	uint32_t values[] = {0, 1, 2, 5, 16, UINT32_MAX};
	uint8_t *block = map(worker_size(&config));

	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		for (size_t k = 0; k < sizeof(values) / sizeof(values[0]); k++) {
			uint32_t was;

			memcpy(&was, g->block + offsets[i], sizeof(was));
			if (was == values[k] || (offsets[i] == adopting && values[k] < 16))
				continue;
			change32(g, offsets[i], values[k]);
			assert_false(worker_convert(g->block, block, &config));
			assert_int_equal(*(uint64_t *)(void *)block, 0);
			change32(g, offsets[i], was);
		}
	munmap(block, worker_size(&config));
}

/* No process lives long enough to finish the conversion. */
static void test_an_arena_is_converted_sixteen_times_at_most_without_success(void **state)
{
	struct golden *g = *state;
	uint8_t *block = map(worker_size(&config));

	for (int attempt = 0; attempt < 17; attempt++) {
		memset(block, 0, sizeof(struct arena_header));
		assert_int_equal(worker_convert(g->block, block, &config), attempt < 16);
	}
	munmap(block, worker_size(&config));
}

/* Whatever bytes are damaged, the arena becomes valid with fewer records. */
static void test_a_damaged_arena_ends_valid_with_fewer_records(void **state)
{
	struct golden *g = *state;
	struct dice dice = dice_new("golden", 1);
	struct world *world = world_new(&config.limits);
	void *own = world->block;
	for (int round = 0; round < ROUNDS; round++) {
		struct worker_config as = config;

		for (uint64_t n = dice_below(&dice, 40); n < 40; n++) {
			size_t at = g->offsets[dice_below(&dice, g->lines)] +
				(size_t)dice_below(&dice, LINE);

			/* Without the fields that decide whether the block fits: another test
			 * damages those. */
			if (at >= 40)
				g->block[at] ^= (uint8_t)dice_any(&dice);
		}
		change32(g, 28, 0);
		world->block = open_block(g);
		assert_non_null(world->block);
		assert_true(worker_adopt(&world->worker, world->block, &as, &world->now));
		for (uint32_t i = 0; i < SESSIONS; i++)
			world->clients[i] = (struct world_client){0};
		resume(world);
		world_pass(world, SECOND);
		world_turn(world);
		munmap(world->block, worker_size(&config));
	}
	world->block = own;
	world_free(world);
}

static int setup(void **state)
{
	*state = load(*state);
	return 0;
}

static int teardown(void **state)
{
	unload(*state);
	return 0;
}

#define TEST(test, path)                           \
	{                                          \
#		test, test, setup, teardown, path \
	}

/* Arenas of the previous layout; tests/sim and tests/fuzz damage arenas of this layout. */
static int run_previous(char *path)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_released_arena_keeps_its_timers_and_sessions, path),
		TEST(test_a_released_arena_goes_on_working, path),
		TEST(test_unknown_layouts_are_refused, path),
		TEST(test_an_arena_is_converted_sixteen_times_at_most_without_success, path),
		TEST(test_a_damaged_arena_ends_valid_with_fewer_records, path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

static int run_this(char *path)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_released_arena_keeps_its_timers_and_sessions, path),
		TEST(test_a_released_arena_goes_on_working, path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

static int run(char *path)
{
	struct golden *g = load(path);
	bool this = is_this_layout(g);

	unload(g);
	printf("# %s\n", path);
	return this ? run_this(path) : run_previous(path);
}

int main(int argc, char **argv)
{
	int failed = 0;

	if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__) {
		printf("the golden arenas are of little-endian machines\n");
		return 77;
	}
	for (int i = 1; i < argc; i++)
		failed += run(argv[i]);
	return failed || argc < 2;
}
