/* SPDX-License-Identifier: MIT */
/*
 * durable_redis SOCKET WORK: timers as a sorted set of Redis, members of 64 bytes.
 *
 *	put HELD N   N by ZADD with random scores, 1,000 in a pipeline, each pipeline answered
 *		     before the next one is sent, after HELD others that were not synced
 *	drain N	     N members of one score: ZRANGE of 1,000, then ZREM of these, until none is left
 *
 * The server runs with appendfsync always: it syncs before it answers.
 */
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"

#define BATCH  1000
#define MEMBER 64

static redisContext *redis;
static uint64_t seed = 1;

static redisReply *get_reply(void)
{
	redisReply *reply = NULL;

	if (redisGetReply(redis, (void **)&reply) != REDIS_OK || reply->type == REDIS_REPLY_ERROR)
		bench_die(reply ? reply->str : redis->errstr, 0);
	return reply;
}

static void set_sync(const char *when)
{
	redisAppendCommand(redis, "CONFIG SET appendfsync %s", when);
	freeReplyObject(get_reply());
}

static void add_all(size_t from, size_t to, bool same)
{
	char member[MEMBER + 1];

	for (size_t i = from; i < to;) {
		size_t end = to - i < BATCH ? to : i + BATCH, answers = end - i;

		for (; i < end; i++) {
			snprintf(member, sizeof(member), "%064zu", i);
			redisAppendCommand(redis, "ZADD timers %llu %b",
				same ? 1ull
				     : (unsigned long long)(bench_random(&seed) % (1ull << 45)),
				member, (size_t)MEMBER);
		}
		for (; answers; answers--)
			freeReplyObject(get_reply());
	}
}

static void remove_some(const redisReply *members)
{
	const char *words[2 + BATCH] = {"ZREM", "timers"};
	size_t lengths[2 + BATCH] = {4, 6};

	for (size_t i = 0; i < members->elements; i++) {
		words[2 + i] = members->element[i]->str;
		lengths[2 + i] = (size_t)members->element[i]->len;
	}
	redisAppendCommandArgv(redis, (int)(2 + members->elements), words, lengths);
	freeReplyObject(get_reply());
}

static void drain(void)
{
	for (size_t n = 1; n;) {
		redisReply *members;

		redisAppendCommand(redis, "ZRANGE timers 0 %d", BATCH - 1);
		members = get_reply();
		n = members->elements;
		if (n)
			remove_some(members);
		freeReplyObject(members);
	}
}

int main(int argc, char **argv)
{
	bool drains = argc > 2 && !strcmp(argv[2], "drain");
	size_t held = drains ? 0 : bench_argument(argc, argv, 3, 0);
	size_t n = bench_argument(argc, argv, drains ? 3 : 4, 100000);
	uint64_t start;

	if (argc < 3)
		bench_die("durable_redis SOCKET put HELD N | drain N", 0);
	redis = redisConnectUnix(argv[1]);
	if (!redis || redis->err)
		bench_die("redisConnectUnix", 0);
	set_sync("no");
	add_all(0, drains ? n : held, drains);
	set_sync("always");
	start = bench_ns();
	if (drains)
		drain();
	else
		add_all(held, held + n, false);
	bench_print("rate", (double)n * 1e6 / (double)(bench_ns() - start), "k/s");
	redisFree(redis);
}
