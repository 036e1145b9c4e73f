/* SPDX-License-Identifier: MIT */
/*
 * write_arena SCENE STORE FILE: writes the arena of a daemon that is killed, as a golden arena for
 * test_golden.c. Every build can write those of its own layout; arenas/README says when to keep
 * them.
 *
 *   rest       STORE is 0: nothing is in hand   register, rearm, cancel              the daemon
 * handles such a packet and is killed at that store to a record   answered   STORE is 0: the
 * packet is committed and its answer was not sent
 *
 * The file is text, numbers in hexadecimal. Lines "listed RECORD" have what root's list shows
 * before the packet, as records of timerd-protocol(7) with `left` zeroed. "client SESSION" says
 * who sends the packet, "cancelled ID" which timer root has cancelled without its client being
 * told so far. Then comes the block: an offset and 32 bytes a line, lines of zeroes left out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "world.h"

#define LINE   32
#define LISTED 64

static struct {
	struct world *world;
	size_t size;
	FILE *file;
	unsigned long stores; /* until the kill; 0: no kill */
} scene;

static void write_hex(const void *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		fprintf(scene.file, "%02x", ((const uint8_t *)data)[i]);
	fputc('\n', scene.file);
}

static _Noreturn void write_block(void)
{
	static const uint8_t zeroes[LINE];
	const uint8_t *block = scene.world->block;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned char resident;

	for (size_t at = 0; at < scene.size; at += LINE) {
		if (at % page == 0) {
			mincore((void *)(block + at), page, &resident);
			if (!(resident & 1)) {
				at += page - LINE;
				continue;
			}
		}
		if (memcmp(block + at, zeroes, LINE) == 0)
			continue;
		fprintf(scene.file, "%zx ", at);
		write_hex(block + at, LINE);
	}
	exit(fclose(scene.file) ? EXIT_FAILURE : EXIT_SUCCESS);
}

void arena_write_hook(void);
void arena_write_hook(void)
{
	if (scene.stores && --scene.stores == 0)
		write_block();
}

/* Makes a world whose arena has the layout of the daemon's. */
static void make_world(void)
{
	struct limits limits = world_limits(1000, 100);
	struct worker_config config;

	scene.world = world_new(&limits);
	config = scene.world->worker.config;
	config.room_timers = ARENA_TIMERS_MAX;
	config.room_clients = ARENA_CLIENTS_MAX;
	scene.size = worker_size(&config);
	free(scene.world->block);
	scene.world->block = mmap(NULL, scene.size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(scene.world->block != MAP_FAILED);
	/* A huge page would count as resident as a whole. */
	madvise(scene.world->block, scene.size, MADV_NOHUGEPAGE);
	worker_init(&scene.world->worker, scene.world->block, &config, &scene.world->now);
}

/* Timers of every kind; the last one is returned. */
static uint64_t fill_session(uint32_t session, unsigned int step)
{
	struct proto_registered registered = {0};

	for (uint8_t clock = 0; clock < PROTO_CLOCKS; clock++) {
		for (unsigned int kind = 0; kind < 16; kind += step) {
			struct proto_register r = {
				.cookie = UINT64_C(0x1122334455667700) + kind,
				.due = 1000000 + kind * 700000,
				.slack = kind & 1 ? 250000 : 0,
				.every = kind & 2 ? 1000000 : 0,
				.count = kind & 2 && kind & 4 ? 5 : 0,
				.clock = clock,
				.flags = PROTO_RELATIVE,
			};

			if (kind & 8 && clock != PROTO_CLOCK_MONOTONIC)
				r.flags |= PROTO_WAKE_SYSTEM;
			if (kind & 4)
				snprintf(
					r.label, sizeof(r.label), "kind %u, clock %u", kind, clock);
			registered = world_register(scene.world, session, &r);
			assert_int_equal(registered.status, PROTO_OK);
		}
	}
	return registered.id;
}

static void list(uint32_t root)
{
	static struct proto_listed listed[1000];
	size_t n = world_list(scene.world, root, PROTO_LIST_ALL, listed, 1000);

	for (size_t i = 0; i < n; i++) {
		/* The rest of the time depends on the clocks of the reader. */
		listed[i].left = 0;
		fprintf(scene.file, "listed ");
		write_hex(&listed[i], sizeof(listed[i]));
	}
}

static void handle(uint32_t session, enum proto_opcode opcode, const void *records, uint32_t count)
{
	struct world *world = scene.world;
	struct codec_writer writer;
	const void *answer;
	bool end;

	codec_begin(&writer, world->in, opcode, ++world->clients[session].serial);
	for (uint32_t i = 0; i < count; i++)
		codec_put(&writer, (const uint8_t *)records + i * writer.header.record_size,
			writer.header.record_size);
	worker_handle(&world->worker, session, world->in, codec_end(&writer, 0), &world->now,
		&answer, &end);
	assert_false(end);
}

/* Two records each. */
static void handle_packet(const char *name, unsigned long stores, uint32_t session, uint64_t id)
{
	struct proto_register registers[2] = {{.due = 5, .label = "in hand"}, {.due = 6}};
	struct proto_rearm rearms[2] = {
		{.id = id, .due = 7, .count = 2, .every = 9},
		{.id = id, .due = 8, .slack = 3},
	};
	struct proto_cancel cancels[2] = {{id}, {id}};

	scene.stores = stores;
	if (!strcmp(name, "register"))
		handle(session, PROTO_REGISTER, registers, 2);
	else if (!strcmp(name, "rearm"))
		handle(session, PROTO_REARM, rearms, 2);
	else if (!strcmp(name, "cancel"))
		handle(session, PROTO_CANCEL, cancels, 2);
	else if (!strcmp(name, "answered"))
		handle(session, PROTO_STATUS, NULL, 0);
	assert_int_equal(scene.stores, 0);
}

int main(int argc, char **argv)
{
	uint32_t one, two, root, gone, silent;
	uint64_t id, foreign;

	if (argc != 4)
		return 2;
	scene.file = fopen(argv[3], "w");
	assert_non_null(scene.file);
	make_world();
	one = world_connect(scene.world, 1000);
	two = world_connect(scene.world, 1001);
	gone = world_connect(scene.world, 1002);
	root = world_connect(scene.world, 0);
	assert_int_equal(world_try_connect(scene.world, 1003, &silent), PROTO_OK);
	id = fill_session(one, 1);
	foreign = fill_session(two, 5);
	fill_session(gone, 5);
	/* Some timers have fired, and the second client reads none of the wakes. */
	scene.world->clients[two].stalled = true;
	for (int second = 0; second < 5; second++) {
		world_pass(scene.world, 1000000);
		world_turn(scene.world);
	}
	/* Its client has not received the event yet. */
	assert_int_equal(world_cancel(scene.world, root, foreign), PROTO_OK);
	world_disconnect(scene.world, gone);
	list(root);
	fprintf(scene.file, "client %x\ncancelled %llx\n", one, (unsigned long long)foreign);
	handle_packet(argv[1], strtoul(argv[2], NULL, 10), one, id);
	write_block();
}
