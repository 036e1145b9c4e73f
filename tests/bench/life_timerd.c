/* SPDX-License-Identifier: MIT */
/*
 * The daemon's core in process, as fair a match for a library as it allows: all that a record of a
 * request goes through but the codec, which is to say checks, limits, id, tree, and the clocks' tree
 * of sessions; cancelled by id; expired by the loop's own calls, each wake written into a packet
 * where a library calls back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"
#include "life.h"
#include "requests.h"

static struct worker worker;
static struct now now;
static void *block;
static size_t block_size;
static uint32_t session;
static uint64_t *ids;
static uint8_t packet[PROTO_PACKET_MAX], answer[PROTO_PACKET_MAX];

static void say_hello(void)
{
	struct proto_hello hello = {.magic = PROTO_MAGIC, .version = PROTO_VERSION};
	struct codec_writer writer;
	bool end;

	if (worker_connect(&worker, 0, 1, "life", &now, &session))
		bench_die("worker_connect", 0);
	codec_begin(&writer, packet, PROTO_HELLO, 1);
	codec_put(&writer, &hello);
	worker_handle(&worker, session, packet, codec_end(&writer, 0), &now, answer, &end);
	if (end)
		bench_die("worker_handle", 0);
}

void life_open(size_t n)
{
	struct worker_config config = {
		.limits = {(uint32_t)n, (uint32_t)n, 16, 16},
		.version = "life",
	};

	ids = bench_alloc(n, sizeof(*ids));
	block_size = worker_size(&config.limits);
	block = mmap(NULL, block_size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (block == MAP_FAILED)
		bench_die("mmap", errno);
	now.at[PROTO_CLOCK_MONOTONIC] = 1;
	worker_init(&worker, block, &config, &now);
	say_hello();
	worker_settle(&worker, session, &now, false);
}

void life_close(void)
{
	munmap(block, block_size);
	free(ids);
}

void life_add(size_t i, uint64_t due)
{
	struct proto_register r = {
		.cookie = i,
		.due = now.at[PROTO_CLOCK_MONOTONIC] + due,
		.clock = PROTO_CLOCK_MONOTONIC,
	};
	enum proto_status status;
	uint32_t timer = requests_enroll(&worker, session, &r, &now, &status);

	if (!timer)
		bench_die("requests_enroll", 0);
	ids[i] = timers_id(&worker.arena, timer);
}

void life_cancel(size_t i)
{
	uint32_t timer = timers_find(&worker.arena, ids[i]);

	if (timer)
		requests_drop(&worker, timer);
}

size_t life_expire(void)
{
	size_t size, fired = 0;
	uint32_t ready;

	while (worker_tick(&worker, &now)) {
		while ((ready = worker_ready(&worker, &now))) {
			if (worker_wakes(&worker, ready, &now, true, packet, &size) ==
				WORKER_PACKET) {
				fired += worker.batch.count;
				worker_wakes_sent(&worker, &now);
			}
			worker_settle(&worker, ready, &now, false);
		}
	}
	return fired;
}

void life_pass(uint64_t us)
{
	now.at[PROTO_CLOCK_MONOTONIC] += us;
}
