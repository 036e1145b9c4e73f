/* SPDX-License-Identifier: MIT */
/*
 * A PostgreSQL of the test's own: Debian's programs, a private socket in a folder of its own, and
 * an unprivileged user where the test runs as root. It keeps its promises: fsync is on.
 *
 * One server serves a whole test program. postgres_reset() gives a test an empty schema.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct test_postgres {
	pid_t pid; /* 0: it does not run */
	char folder[64], programs[64];
	char uri[192];
};

extern struct test_postgres postgres;

/* Whether the tests are to run on PostgreSQL: TIMERQD_TEST_STORE=postgresql. */
bool postgres_wanted(void);

/* Starts the server. Return: whether there is one; if not, a line says why. */
bool postgres_start(void);
/* As pg_ctl restart -m immediate. */
void postgres_restart(void);
/* As a standby that lost nothing and is promoted: another timeline. */
void postgres_fail_over(void);
void postgres_stop(void);

/* Has that timerqd make the schema if there is none, empties it, and gives leases that length,
 * microseconds. */
void postgres_reset(const char *timerqd, uint64_t lease);

/* Runs SQL. Return: the first column of the first row as a number; 0: none. */
int64_t postgres_run(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints the rows of a query to standard error, to help to find a failure. */
void postgres_print(const char *sql);

/* Drops the schema. It is tried again while statements of a timerqd that was killed still run: one
 * of both loses a deadlock. */
void postgres_drop_schema(void);
