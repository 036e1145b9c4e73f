/* SPDX-License-Identifier: MIT */
/*
 * The daemon's core in process. It gets packets of BATCH records as from a client: worker_handle()
 * registers and cancels the timers. worker_serve() writes each wake into a packet, where a library
 * calls a handler. Unlike a library, the core also checks, limits, numbers and encodes, and has a
 * tree of sessions. Without the shell it makes no system call. Only the core can use batches: none
 * of the libraries takes more than one timer in a call.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"
#include "life.h"
#include "reading.h"
#include "worker.h"

static struct worker worker;
static struct now now;
static void *block;
static size_t block_size;
static uint32_t session;
static uint64_t serial;
static size_t batch;
static uint64_t *ids; /* by number of timer */

/* The packet that is being filled, and the timers that its answers are for. */
static _Alignas(8) uint8_t packet[PROTO_PACKET_MAX];
static struct codec_writer writer;
static bool open_packet;
static size_t numbers[PROTO_RECORDS_MAX(struct proto_cancel)];

static void begin(enum proto_opcode opcode)
{
	if (open_packet)
		return;
	codec_begin(&writer, packet, opcode, ++serial);
	open_packet = true;
}

/* Hands the packet over. Return: the answer. */
static const void *hand_over(struct proto_header *ret_header)
{
	const void *answer;
	bool end;
	size_t size = worker_handle(
		&worker, session, packet, codec_end(&writer, 0), &now, &answer, &end);

	open_packet = false;
	if (end || codec_open(answer, size, CODEC_FROM_DAEMON, ret_header) != CODEC_OK)
		bench_die("worker_handle", 0);
	worker_answered(&worker);
	return answer;
}

static void say_hello(void)
{
	struct proto_hello hello = {.magic = PROTO_MAGIC, .version = PROTO_VERSION};
	struct peer peer = {.pid = 1, .comm = "life"};
	struct proto_header header;

	if (worker_connect(&worker, &peer, &now, &session))
		bench_die("worker_connect", 0);
	begin(PROTO_HELLO);
	codec_put(&writer, &hello, sizeof(hello));
	hand_over(&header);
}

void life_open(size_t n, size_t records)
{
	struct worker_config config = {
		.limits = {(uint32_t)n, (uint32_t)n, 16, 16},
		.version = "life",
	};

	batch = records;
	serial = 0;
	ids = bench_alloc(n, sizeof(*ids));
	memset(ids, 0xff, n * sizeof(*ids));
	block_size = worker_size(&config);
	block = mmap(NULL, block_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (block == MAP_FAILED)
		bench_die("mmap", errno);
	/* Touches the block: the handles of the libraries are also touched before the first add. */
	memset(block, 0, block_size);
	now.at[PROTO_CLOCK_MONOTONIC] = 1;
	worker_init(&worker, block, &config, &now);
	say_hello();
}

void life_close(void)
{
	munmap(block, block_size);
	free(ids);
}

void life_flush(void)
{
	struct proto_header header;
	const void *answer;

	if (!open_packet)
		return;
	answer = hand_over(&header);
	for (uint32_t i = 0; i < header.count && header.opcode == (PROTO_REGISTER | PROTO_ANSWER);
		i++) {
		struct proto_registered registered;

		codec_get(answer, &header, i, &registered, sizeof(registered));
		ids[numbers[i]] = registered.id;
		if (registered.status)
			bench_die("refused", 0);
	}
}

void life_add(size_t i, uint64_t due)
{
	struct proto_register *r;

	begin(PROTO_REGISTER);
	numbers[writer.header.count] = i;
	r = codec_add(&writer, sizeof(*r));
	*r = (struct proto_register){
		.cookie = i,
		.due = now.at[PROTO_CLOCK_MONOTONIC] + due,
		.clock = PROTO_CLOCK_MONOTONIC,
	};
	if (writer.header.count == batch)
		life_flush();
}

void life_cancel(size_t i)
{
	struct proto_cancel c = {.id = ids[i]};

	begin(PROTO_CANCEL);
	codec_put(&writer, &c, sizeof(c));
	if (writer.header.count == batch)
		life_flush();
}

static const struct worker_outlet outlet = READING_OUTLET(packet);

size_t life_expire(void)
{
	struct worker_served served;
	size_t fired = 0;

	for (size_t before = 1; before != fired;) {
		before = fired;
		worker_tick(&worker, &now);
		while ((served = worker_serve(&worker, &now, &outlet)).session)
			fired += served.records;
	}
	return fired;
}

void life_pass(uint64_t us)
{
	now.at[PROTO_CLOCK_MONOTONIC] += us;
}
