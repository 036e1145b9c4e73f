/* SPDX-License-Identifier: MIT */
/*
 * Whether timerqd can use its database: the schema is missing, old, newer or changes while timerqd
 * runs, the role lacks rights, fsync is off, or the URI is wrong. timerqd must migrate the schema,
 * or refuse and say why, and no log may show a password.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <toytimer-queue.h>
#include <unistd.h>

#include "database.h"
#include "jobs.h"
#include "queues.h"
#include "said.h"

#define LEASE_US 3000000 /* of an old schema: its first host waits for a lease */

static struct test_queues a;

static int set_up(void **state)
{
	(void)state;
	queues_start(&a, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	queues_clean(&a);
	return 0;
}

static void set_version(int version)
{
	postgres_run("UPDATE timerd.meta SET version = %d", version);
}

/* While the database cannot be used, each new reason is logged. The two connections can meet
 * different ones. */
static void test_reasons_are_logged(void **state)
{
	int64_t version = postgres_run("SELECT version FROM timerd.meta");

	(void)state;
	set_version(99);
	postgres_run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
		     " WHERE application_name = 'timerqd'");
	queues_expect_log(&a, "version 99 of the schema");
	set_version(98);
	queues_expect_log(&a, "version 98 of the schema");
	set_version((int)version);
	queues_expect_log(&a, "takes timers again");
}

/* A role that may read but not write: the log says what to grant. */
static void test_role_that_reads(void **state)
{
	struct jobs_log log = {0};
	toytimer_queue *q;
	char uri[192];

	(void)state;
	postgres_run("CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA timerd TO reader;"
		     " GRANT SELECT ON ALL TABLES IN SCHEMA timerd TO reader");
	snprintf(uri, sizeof(uri), "postgresql:///postgres?host=%s&user=reader", postgres.folder);
	queues_kill(&a);
	queues_start(&a, "--store", uri, NULL);
	q = jobs_open(&a);
	jobs_consume(q, &log);
	queues_expect_log(&a, "cannot take or renew leases: permission denied for table");
	queues_expect_log(&a, "grant the role SELECT, INSERT, UPDATE and DELETE");
	toytimer_queue_unref(q);
}

static void expect_refusal(const char *uri, const char *word)
{
	char said[SAID], socket[160];
	const char *const argv[] = {
		daemon_binary("TIMERQD_BINARY"), "--store", uri, "--socket", socket, NULL};

	snprintf(socket, sizeof(socket), "%s/refused", a.timerd.directory);
	assert_int_equal(said_by(said, argv), 1);
	if (!strstr(said, word))
		fail_msg("%s: %s", word, said);
	/* The log must not show a password. */
	if (strstr(said, "cret"))
		fail_msg("%s: %s", uri, said);
}

static void migrate(void)
{
	const char *const argv[] = {
		daemon_binary("TIMERQD_BINARY"), "--store", postgres.uri, "--migrate", NULL};
	char said[SAID];

	if (said_by(said, argv))
		fail_msg("%s", said);
}

/* Reads a file of the sources. */
static char *read_sql(const char *name)
{
	char path[512], *text = calloc(1, 65536);
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", SQL_FOLDER, name);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_true(fread(text, 1, 65535, f) > 0);
	fclose(f);
	return text;
}

static void run_sql(const char *sql)
{
	PGconn *c = PQconnectdb(postgres.uri);
	PGresult *r = PQexec(c, sql);

	if (PQresultStatus(r) != PGRES_COMMAND_OK)
		fail_msg("%s", PQerrorMessage(c));
	PQclear(r);
	PQfinish(c);
}

/* Makes the schema of an old version, with one timer of 3 bytes. Leases were given under it. */
static void make_old(int version)
{
	postgres_drop_schema();
	for (int i = 1; i <= version; i++) {
		char name[32], *sql;

		snprintf(name, sizeof(name), "schema_%d.sql", i);
		sql = read_sql(name);
		run_sql(sql);
		free(sql);
	}
	postgres_run(
		"UPDATE timerd.meta SET version = %d, term = 1, lease = %d", version, LEASE_US);
	postgres_run("INSERT INTO timerd.queues (uid, name) VALUES (%u, 'jobs')", geteuid());
	postgres_run("INSERT INTO timerd.timers (due, ready, every, count, number, attempt,"
		     " max_attempts, queue, clock, flags, payload)"
		     " VALUES (9e17, 9e17, 0, 0, 1, 0, 0, 1, 2, 0, 'old')");
	postgres_run("INSERT INTO timerd.counts VALUES (1, 3, 1, 0, 3, 0)");
	if (version > 1)
		postgres_run("INSERT INTO timerd.users VALUES (%u, 3, 1, 0, 3)", geteuid());
}

static void test_schema_versions(void **state)
{
	toytimer_queue_status status;
	struct jobs_log log;
	toytimer_queue *q;
	char words[16];

	(void)state;
	queues_kill(&a);
	postgres_drop_schema();
	expect_refusal(postgres.uri, "--migrate");
	for (int version = 1; version <= 3; version++) {
		make_old(version);
		snprintf(words, sizeof(words), "version %d", version);
		expect_refusal(postgres.uri, words);
		migrate();
		migrate();
		assert_int_equal(
			postgres_run("SELECT bytes FROM timerd.users WHERE uid = %u", geteuid()),
			3);
		/* Nobody knows under which timeline the old leases were given. */
		assert_int_equal(postgres_run("SELECT timeline FROM timerd.meta"), 0);
		queues_start(&a, NULL);
		q = jobs_open(&a);
		assert_int_equal(toytimer_queue_get_status(q, &status), 0);
		jobs_put_soon(q, 0);
		assert_int_equal(jobs_rows(), 2);
		assert_int_equal(toytimer_queue_get_status(q, &status), 0);
		assert_int_equal(status.timers, 2);
		log.n = 0;
		jobs_consume(q, &log);
		jobs_process(q, &log, 1, 30000);
		assert_int_equal(log.n, 1);
		assert_int_not_equal(postgres_run("SELECT timeline FROM timerd.meta"), 0);
		toytimer_queue_unref(q);
		queues_kill(&a);
	}
	postgres_run("UPDATE timerd.meta SET version = 99");
	expect_refusal(postgres.uri, "newer timerqd");
	postgres_drop_schema();
}

/* Several hosts migrate at the same time. Each succeeds, and the migration runs once. */
static void test_migrations_at_once(void **state)
{
	pid_t pids[4];
	int status;

	(void)state;
	queues_kill(&a);
	postgres_drop_schema();
	fflush(NULL);
	for (size_t i = 0; i < 4; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			int null = open("/dev/null", O_WRONLY);

			dup2(null, STDOUT_FILENO);
			execl(daemon_binary("TIMERQD_BINARY"), "timerqd", "--store", postgres.uri,
				"--migrate", (char *)NULL);
			_exit(127);
		}
	}
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(postgres_run("SELECT version FROM timerd.meta"), 4);
}

/* Databases and URIs that timerqd refuses. */
static void test_refusals(void **state)
{
	char uri[256];

	(void)state;
	snprintf(uri, sizeof(uri), "%s&password=secret", postgres.uri);
	expect_refusal(uri, "password");
	snprintf(uri, sizeof(uri), "%s&sslpassword=secret", postgres.uri);
	expect_refusal(uri, "password");
	expect_refusal("postgresql://u:secret@h/x", "password");
	/* libpq cannot parse these. */
	expect_refusal("postgresql://u:se%zzcret@h/x", "password");
	expect_refusal("postgresql://u:secret@[::1/x", "password");
	expect_refusal("POSTGRESQL://u:secret@h/x", "postgresql://");
	expect_refusal("host=h password=secret", "postgresql://");
	expect_refusal("mysql://x", "postgresql://");
	postgres_run("ALTER SYSTEM SET fsync = off");
	postgres_run("SELECT pg_reload_conf()");
	while (postgres_run("SELECT (current_setting('fsync') = 'on')::integer"))
		usleep(10000);
	expect_refusal(postgres.uri, "fsync=off");
	postgres_run("ALTER SYSTEM RESET fsync");
	postgres_run("SELECT pg_reload_conf()");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_reasons_are_logged),
		TEST(test_role_that_reads),
		TEST(test_schema_versions),
		TEST(test_migrations_at_once),
		TEST(test_refusals),
	};
	return queues_run(tests);
}
