/* SPDX-License-Identifier: MIT */
/*
 * peer_redis SOCKET N: adds N members of 8 bytes with random scores to one sorted set, 256 ZADD in
 * a pipeline; then a tenth more. Prints a line and waits until its standard input ends.
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <unistd.h>

#include "bench.h"

#define PIPELINE 256

static redisContext *redis;
static uint64_t seed = 1;

static void zadd(uint64_t member)
{
	char score[32];
	const char *words[] = {"ZADD", "timers", score, (const char *)&member};
	size_t lengths[] = {4, 6, 0, sizeof(member)};

	lengths[2] = (size_t)snprintf(score, sizeof(score), "%llu",
		(unsigned long long)(bench_random(&seed) % UINT64_C(1000000000000)));
	redisAppendCommandArgv(redis, 4, words, lengths);
}

static void add_all(const char *name, size_t from, size_t to)
{
	uint64_t start = bench_ns();

	for (size_t i = from; i < to;) {
		size_t end = to - i < PIPELINE ? to : i + PIPELINE, answers = end - i;

		for (; i < end; i++)
			zadd(i);
		for (; answers; answers--) {
			redisReply *reply;

			if (redisGetReply(redis, (void **)&reply) != REDIS_OK ||
				reply->type != REDIS_REPLY_INTEGER)
				bench_die("ZADD", 0);
			freeReplyObject(reply);
		}
	}
	bench_print(name, (double)(to - from) * 1e3 / (double)(bench_ns() - start), "M/s");
}

int main(int argc, char **argv)
{
	size_t n = bench_argument(argc, argv, 2, 1000000);
	char byte;

	if (argc < 2)
		bench_die("peer_redis SOCKET N", 0);
	redis = redisConnectUnix(argv[1]);
	if (!redis || redis->err)
		bench_die("redisConnectUnix", 0);
	add_all("fill", 0, n);
	add_all("held", n, n + n / 10);
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	redisFree(redis);
}
