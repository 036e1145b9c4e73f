/* SPDX-License-Identifier: MIT */
/*
 * durable_sqlite FILE WORK N: what bare SQLite does, with timerqd's settings and timerqd's rows.
 *
 *	put   N rows in order, 1,000 a commit
 *	one   N rows, one a commit
 *	sync  N times a page is written over and fdatasync() called, without SQLite
 */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

static sqlite3 *db;

static void run(const char *text)
{
	if (sqlite3_exec(db, text, NULL, NULL, NULL))
		bench_die(sqlite3_errmsg(db), 0);
}

static void open_db(const char *path)
{
	if (sqlite3_open(path, &db))
		bench_die(path, 0);
	run("PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -16384;"
	    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
	    "CREATE TABLE timers (id INTEGER PRIMARY KEY, queue INTEGER NOT NULL,"
	    " clock INTEGER NOT NULL, flags INTEGER NOT NULL, due INTEGER NOT NULL,"
	    " ready INTEGER NOT NULL, slack INTEGER, every INTEGER NOT NULL, max_late INTEGER,"
	    " count INTEGER NOT NULL, number INTEGER NOT NULL, attempt INTEGER NOT NULL,"
	    " max_attempts INTEGER NOT NULL, revived INTEGER, label TEXT, key TEXT,"
	    " payload BLOB);");
}

static void insert(sqlite3_stmt *s, sqlite3_int64 id)
{
	static const char payload[64];
	/* In timerqd's order: id, queue, clock, flags, due, ready, slack, every. */
	sqlite3_int64 due = INT64_C(1800000000000000) + id,
		      values[] = {id, 1, 2, 0, due, due, 0, 0};

	for (int i = 0; i < 8; i++)
		sqlite3_bind_int64(s, i + 1, values[i]);
	sqlite3_bind_null(s, 9);
	for (int i = 10; i <= 13; i++)
		sqlite3_bind_int64(s, i, i == 11);
	for (int i = 14; i <= 16; i++)
		sqlite3_bind_null(s, i);
	sqlite3_bind_blob(s, 17, payload, sizeof(payload), SQLITE_STATIC);
	if (sqlite3_step(s) != SQLITE_DONE || sqlite3_reset(s))
		bench_die(sqlite3_errmsg(db), 0);
}

static void put(const char *path, size_t n, size_t batch)
{
	uint64_t *samples = bench_alloc(n / batch + 1, sizeof(*samples)), start;
	sqlite3_stmt *s;
	size_t commits = 0;

	open_db(path);
	if (sqlite3_prepare_v3(db,
		    "INSERT INTO timers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,"
		    " ?13, ?14, ?15, ?16, ?17)",
		    -1, SQLITE_PREPARE_PERSISTENT, &s, NULL))
		bench_die(sqlite3_errmsg(db), 0);
	start = bench_ns();
	for (size_t i = 0; i < n; commits++) {
		uint64_t begin = bench_ns();

		run("BEGIN IMMEDIATE");
		for (size_t k = 0; k < batch && i < n; k++)
			insert(s, (sqlite3_int64)++i);
		run("COMMIT");
		samples[commits] = bench_ns() - begin;
	}
	bench_print("rate", (double)n * 1e6 / (double)(bench_ns() - start), "k/s");
	bench_print_samples("commit", samples, commits);
	sqlite3_finalize(s);
	sqlite3_close(db);
}

static void measure_sync(const char *path, size_t n)
{
	uint64_t *samples = bench_alloc(n, sizeof(*samples));
	static char page[4096];
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || pwrite(fd, page, sizeof(page), 0) < 0 || fsync(fd) < 0)
		bench_die(path, errno);
	for (size_t i = 0; i < n; i++) {
		uint64_t begin = bench_ns();

		page[0]++;
		if (pwrite(fd, page, sizeof(page), 0) < 0 || fdatasync(fd) < 0)
			bench_die(path, errno);
		samples[i] = bench_ns() - begin;
	}
	bench_print_samples("sync", samples, n);
	close(fd);
}

int main(int argc, char **argv)
{
	size_t n = bench_argument(argc, argv, 3, 1000);

	if (argc < 3)
		bench_die("durable_sqlite FILE put|one|sync N", 0);
	if (!strcmp(argv[2], "sync"))
		measure_sync(argv[1], n);
	else
		put(argv[1], n, strcmp(argv[2], "one") ? 1000 : 1);
}
