/* SPDX-License-Identifier: MIT */
/*
 * durable_postgres URI WORK N: what bare PostgreSQL does with timerqd's rows and indexes. The
 * database has timerqd's schema.
 *
 *	copy    N rows of one queue by COPY, 1,000 a commit
 *	delete  N rows of 16 queues, by three connections at once: DELETE ... RETURNING of the
 *		1,000 oldest ones of a queue, a commit each
 */
#include <errno.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define BATCH  1000
#define QUEUES 16
#define HOSTS  3

static PGconn *open_database(const char *uri)
{
	PGconn *c = PQconnectdb(uri);

	if (PQstatus(c) != CONNECTION_OK)
		bench_die(PQerrorMessage(c), 0);
	PQclear(PQexec(c, "SET client_min_messages = warning; SET enable_seqscan = off"));
	return c;
}

/* Return: how many rows it gave or changed. */
static size_t run(PGconn *c, const char *sql)
{
	PGresult *r = PQexec(c, sql);
	ExecStatusType status = PQresultStatus(r);
	size_t n;

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_COPY_IN)
		bench_die(PQerrorMessage(c), 0);
	n = strtoul(PQcmdTuples(r), NULL, 10);
	PQclear(r);
	return n;
}

static void make_table(PGconn *c)
{
	run(c, "DROP TABLE IF EXISTS timerd.bare");
	run(c, "CREATE TABLE timerd.bare (LIKE timerd.timers INCLUDING ALL)");
}

static void copy_batch(PGconn *c, uint64_t due, size_t n)
{
	static char row[256];

	run(c,
		"COPY timerd.bare (due, ready, every, count, number, attempt, max_attempts, queue,"
		" clock, flags, payload) FROM STDIN");
	for (size_t i = 0; i < n; i++) {
		int size = snprintf(row, sizeof(row),
			"%" PRIu64 "\t%" PRIu64 "\t0\t0\t1\t0\t0\t1\t2\t0\t\\\\x%0128d\n", due + i,
			due + i, 0);

		if (PQputCopyData(c, row, size) != 1)
			bench_die(PQerrorMessage(c), 0);
	}
	if (PQputCopyEnd(c, NULL) != 1)
		bench_die(PQerrorMessage(c), 0);
	for (PGresult *r; (r = PQgetResult(c)); PQclear(r))
		if (PQresultStatus(r) != PGRES_COMMAND_OK)
			bench_die(PQerrorMessage(c), 0);
}

static void print_rate(size_t n, uint64_t start)
{
	bench_print("rate", (double)n * 1e6 / (double)(bench_ns() - start), "k/s");
}

static void copy(const char *uri, size_t n)
{
	PGconn *c = open_database(uri);
	uint64_t start;

	make_table(c);
	copy_batch(c, 0, BATCH);
	start = bench_ns();
	for (size_t i = 0; i < n; i += BATCH)
		copy_batch(c, UINT64_C(1800000000000000) + i, BATCH);
	print_rate(n, start);
	PQfinish(c);
}

/* Takes the backlog of every third queue, beginning with its own number. */
static _Noreturn void take(const char *uri, unsigned int host)
{
	PGconn *c = open_database(uri);
	char sql[512];

	for (unsigned int queue = host + 1; queue <= QUEUES; queue += HOSTS) {
		snprintf(sql, sizeof(sql),
			"DELETE FROM timerd.bare WHERE id IN (SELECT id FROM timerd.bare WHERE"
			" queue = %u AND clock = 2 ORDER BY ready, id LIMIT %d FOR UPDATE)"
			" RETURNING *",
			queue, BATCH);
		while (run(c, sql))
			;
	}
	PQfinish(c);
	_exit(0);
}

static void delete (const char *uri, size_t n)
{
	PGconn *c = open_database(uri);
	char sql[512];
	uint64_t start;

	make_table(c);
	snprintf(sql, sizeof(sql),
		"INSERT INTO timerd.bare (due, ready, every, count, number, attempt, max_attempts,"
		" queue, clock, flags, payload) SELECT 1, 1, 0, 0, 1, 0, 0, 1 + i %% %d, 2, 0,"
		" decode(repeat('00', 64), 'hex') FROM generate_series(1, %zu) i",
		QUEUES, n);
	run(c, sql);
	run(c, "VACUUM ANALYZE timerd.bare");
	run(c, "CHECKPOINT");
	PQfinish(c);
	start = bench_ns();
	for (unsigned int i = 0; i < HOSTS; i++)
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			take(uri, i);
		}
	for (int status; wait(&status) > 0;)
		if (status)
			bench_die("a connection has failed", 0);
	print_rate(n, start);
}

int main(int argc, char **argv)
{
	const char *work = argc > 2 ? argv[2] : "";
	size_t n = bench_argument(argc, argv, 3, 100000);

	if (!strcmp(work, "copy"))
		copy(argv[1], n);
	else if (!strcmp(work, "delete"))
		delete (argv[1], n);
	else
		bench_die("durable_postgres URI copy|delete N", 0);
}
