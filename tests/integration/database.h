/* SPDX-License-Identifier: MIT */
/*
 * A PostgreSQL server for a test, from Debian's programs, with a private socket in a folder of its
 * own. It runs as an unprivileged user if the test runs as root. fsync is on.
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

/* Whether the tests run on PostgreSQL: TIMERQD_TEST_STORE=postgresql. */
bool postgres_wanted(void);

/* Starts the server. Return: whether there is one; if not, a line says why. */
bool postgres_start(void);
/* As pg_ctl restart -m immediate. */
void postgres_restart(void);
/* Like the promotion of a standby that has lost nothing: the timeline changes. */
void postgres_fail_over(void);
void postgres_stop(void);

/* Makes timerqd create the schema if there is none, empties it, and sets the length of leases in
 * microseconds. */
void postgres_reset(const char *timerqd, uint64_t lease);

/* Runs SQL. Return: the first column of the first row as a number; 0: none. */
int64_t postgres_run(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints the rows of a query to standard error, so that they help to explain a failure. */
void postgres_print(const char *sql);

/* Drops the schema. While statements of a killed timerqd still run, they can deadlock with this; it
 * then tries again. */
void postgres_drop_schema(void);
