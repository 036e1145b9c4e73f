/* SPDX-License-Identifier: MIT */
#include "postgres_schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postgres_values.h"

/* The step from each version to the next one. */
static const char *const steps[SCHEMA_VERSION] = {
#include "schema_1.inc"
	,
#include "schema_2.inc"
	,
#include "schema_3.inc"
	"UPDATE timerd.meta SET timeline = " SCHEMA_TIMELINE " WHERE term = 0;\n",
#include "schema_4.inc"
};

/* Each migration replaces all functions. */
static const char functions[] =
#include "schema_functions.inc"
	;

/* All migrations wait for this lock: "timerqd" as a number. */
#define LOCK "32769262443160932"

#define SERVER_VERSION 130000

/* Other roles may create functions in the schema public: none of them runs in a migration. */
#define SAFE_PATH "SET LOCAL search_path = pg_catalog, pg_temp"

const char schema_greeting[] =
	"SELECT m.version, m.lease, m.margin, (current_setting('fsync') = 'on')::integer,"
	" current_setting('server_version_num')::integer,"
	" (getdatabaseencoding() = 'UTF8')::integer, pg_is_in_recovery()::integer,"
	" " SCHEMA_TIMELINE ","
	" (extract(epoch FROM (SELECT clock_timestamp())) * 1000000)::bigint,"
	/* The column comes with version 3. */
	" (pg_catalog.to_jsonb(m) ->> 'timeline')::bigint"
	" FROM timerd.meta m";

static bool check_version(int64_t version, char *why, size_t size)
{
	if (version > SCHEMA_VERSION)
		snprintf(why, size,
			"the database has version %lld of the schema, and this timerqd knows "
			"version %d at most: use a newer timerqd",
			(long long)version, SCHEMA_VERSION);
	else if (version < SCHEMA_VERSION)
		snprintf(why, size,
			"the database has version %lld of the schema, and this timerqd needs "
			"version %d: run timerqd --store URI --migrate",
			(long long)version, SCHEMA_VERSION);
	return version == SCHEMA_VERSION;
}

bool schema_check_greeting(const PGresult *r, struct pg_greeting *ret, char *why, size_t size)
{
	ret->timeline = 0;
	if (pg_get_int(r, 0, 4) < SERVER_VERSION) {
		snprintf(why, size, "the server is older than PostgreSQL 13");
		return false;
	}
	if (!pg_get_int(r, 0, 3)) {
		snprintf(why, size,
			"the server runs with fsync=off: what it answers as stored may be lost");
		return false;
	}
	if (!pg_get_int(r, 0, 5)) {
		snprintf(why, size, "the database's encoding is not UTF8");
		return false;
	}
	if (!check_version(pg_get_int(r, 0, 0), why, size))
		return false;
	/* A standby may become the primary. */
	if (pg_get_int(r, 0, 6)) {
		snprintf(why, size, "the server is a standby, which takes no timers");
		return true;
	}
	ret->lease = (uint64_t)pg_get_int(r, 0, 1);
	ret->margin = (uint64_t)pg_get_int(r, 0, 2);
	ret->timeline = (uint64_t)pg_get_int(r, 0, 7);
	ret->settled = ret->timeline == (uint64_t)pg_get_int(r, 0, 9);
	return true;
}

bool schema_explain(const char *state, const char *message, char *why, size_t size)
{
	if (state && (!strcmp(state, "42P01") || !strcmp(state, "3F000"))) {
		snprintf(why, size,
			"the database has no schema of timerqd: run timerqd --store URI --migrate");
		return true;
	}
	if (state && !strcmp(state, "42501")) {
		snprintf(why, size,
			"the role may not use the schema timerd: grant it USAGE, and SELECT, "
			"INSERT, UPDATE and DELETE on its tables");
		return true;
	}
	snprintf(why, size, "%s", message);
	return false;
}

static int fail(PGconn *c, const PGresult *r)
{
	const char *state = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;

	fprintf(stderr, "timerqd: --migrate: %s", r ? PQresultErrorMessage(r) : PQerrorMessage(c));
	if (state && !strcmp(state, "42501"))
		fprintf(stderr,
			"timerqd: --migrate: use the role that owns the database and the schema "
			"timerd\n");
	return -EIO;
}

static int run(PGconn *c, const char *sql)
{
	PGresult *r = PQexec(c, sql);
	ExecStatusType status = PQresultStatus(r);
	int error = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? 0 : fail(c, r);

	PQclear(r);
	return error;
}

/* Reads the version of the schema; 0: there is none. */
static int read_version(PGconn *c, int *ret)
{
	PGresult *r = PQexec(c, "SELECT to_regclass('timerd.meta') IS NOT NULL");
	int error = PQresultStatus(r) == PGRES_TUPLES_OK ? 0 : fail(c, r);
	bool there = !error && !strcmp(PQgetvalue(r, 0, 0), "t");

	PQclear(r);
	*ret = 0;
	if (!there)
		return error;
	r = PQexec(c, "SELECT version FROM timerd.meta");
	if (PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) == 1)
		*ret = atoi(PQgetvalue(r, 0, 0));
	else
		error = fail(c, r);
	PQclear(r);
	return error;
}

static int write_version(PGconn *c, int version)
{
	char sql[80];

	snprintf(sql, sizeof(sql), "UPDATE timerd.meta SET version = %d", version);
	return run(c, sql);
}

/* A pooler that gives each statement another connection ends the client's connection at BEGIN. */
static int begin(PGconn *c)
{
	PGresult *r = PQexec(c, "BEGIN");
	bool begun = PQresultStatus(r) == PGRES_COMMAND_OK &&
		PQtransactionStatus(c) == PQTRANS_INTRANS;

	if (!begun)
		fprintf(stderr,
			"timerqd: --migrate: no transaction begins: %.*s; if a pooler that pools "
			"statements stands in between (pgbouncer with pool_mode=statement), name "
			"the database itself in the URI\n",
			(int)strcspn(PQerrorMessage(c), "\n"), PQerrorMessage(c));
	PQclear(r);
	return begun ? 0 : -EIO;
}

/* One step, in one transaction with the lock: a migration that waited for the lock finds the
 * version that the other one has made. ret_more: whether to go on. */
static int migrate_once(PGconn *c, bool *ret_more)
{
	int version, r = begin(c);

	if (r)
		return r;
	r = run(c, SAFE_PATH "; SELECT pg_advisory_xact_lock(" LOCK ")");
	if (!r)
		r = read_version(c, &version);
	if (!r && version > SCHEMA_VERSION) {
		char why[256];

		check_version(version, why, sizeof(why));
		fprintf(stderr, "timerqd: %s\n", why);
		r = -EPROTO;
	}
	if (!r && version < SCHEMA_VERSION) {
		r = run(c, steps[version]);
		if (!r)
			r = write_version(c, version + 1);
		if (!r)
			printf("version %d\n", version + 1);
	}
	if (!r && version >= SCHEMA_VERSION - 1)
		r = run(c, functions);
	*ret_more = !r && version < SCHEMA_VERSION - 1;
	if (r) {
		PQclear(PQexec(c, "ROLLBACK"));
		return r;
	}
	return run(c, "COMMIT");
}

static void ignore_notice(void *userdata, const PGresult *r)
{
	(void)userdata;
	(void)r;
}

int schema_migrate(const char *uri)
{
	PGconn *c = PQconnectdb(uri);
	bool more = true;
	int r = 0;

	if (PQstatus(c) != CONNECTION_OK) {
		r = fail(c, NULL);
		if (PQconnectionNeedsPassword(c))
			fprintf(stderr,
				"timerqd: --migrate: write the password into ~/.pgpass, or into "
				"the file that PGPASSFILE names, with mode 0600\n");
		more = false;
	}
	PQsetNoticeReceiver(c, ignore_notice, NULL);
	while (more && !r)
		r = migrate_once(c, &more);
	PQfinish(c);
	if (!r)
		printf("the schema has version %d\n", SCHEMA_VERSION);
	return r;
}

int schema_print(void)
{
	printf("BEGIN;\n" SAFE_PATH ";\n");
	for (int i = 0; i < SCHEMA_VERSION; i++)
		printf("%s\n", steps[i]);
	printf("UPDATE timerd.meta SET version = %d;\n\n%s\nCOMMIT;\n", SCHEMA_VERSION, functions);
	return 0;
}
