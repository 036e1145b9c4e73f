/* SPDX-License-Identifier: MIT */
/* The schema in PostgreSQL: what a database must be like, and how the schema is made and upgraded.
 */
#pragma once

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The version that this timerqd reads and writes. */
#define SCHEMA_VERSION 4

/* The answers of a database to the first query on a connection. */
struct pg_greeting {
	uint64_t lease, margin; /* microseconds */
	uint64_t timeline;	/* of this server; never 0 */
	bool settled;		/* see leases_connected() */
	int64_t clock_off;	/* the host's wall clock - the database's, microseconds */
};

/* pg_greeting::timeline as an SQL expression. pg_control_checkpoint() would for a while give the
 * timeline from before a failover. */
#define SCHEMA_TIMELINE                                                  \
	"(SELECT system_identifier FROM pg_catalog.pg_control_system())" \
	" # CASE WHEN pg_catalog.pg_is_in_recovery() THEN 0 ELSE"        \
	" ('x' || pg_catalog.left(pg_catalog.pg_walfile_name("           \
	"pg_catalog.pg_current_wal_lsn()), 8))::bit(32)::bigint END"

/* Says that hosts have waited for a lease under the timeline $1, unless another server runs it. */
#define SCHEMA_SETTLE \
	"UPDATE timerd.meta SET timeline = $1 WHERE timeline <> $1 AND " SCHEMA_TIMELINE " = $1"

/* The first query on each connection. */
extern const char schema_greeting[];

/* Reads its answer. Return: whether the database fits; if not, `why` gets the reason. */
bool schema_check_greeting(const PGresult *r, struct pg_greeting *ret, char *why, size_t size);
/* Explains an error of that query in `why`. Return: true: the error will not go away by itself. */
bool schema_explain(const char *state, const char *message, char *why, size_t size);

/* Brings the schema up to date, one version at a time, under an advisory lock. It blocks. Return:
 * 0, or a negative errno after a line on standard error. */
int schema_migrate(const char *uri);

/* Prints what schema_migrate() would do to an empty database. */
int schema_print(void);
