/* SPDX-License-Identifier: MIT */
#include "database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MS 60000

struct test_postgres postgres;

static bool failed_over; /* since the schema was made */

bool postgres_wanted(void)
{
	const char *store = getenv("TIMERQD_TEST_STORE");

	return store && !strcmp(store, "postgresql");
}

/* Finds Debian's folder of the newest version. */
static bool find_programs(void)
{
	glob_t found;
	bool there = glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) == 0;

	if (there) {
		const char *path = found.gl_pathv[found.gl_pathc - 1];

		snprintf(postgres.programs, sizeof(postgres.programs), "%.*s",
			(int)(strrchr(path, '/') - path), path);
		globfree(&found);
	}
	return there;
}

/* PostgreSQL refuses to run as root. */
static const struct passwd *find_user(void)
{
	const struct passwd *user = getpwnam("postgres");

	return user ? user : getpwnam("nobody");
}

static void become(const char *const argv[])
{
	const struct passwd *user = geteuid() == 0 ? find_user() : NULL;
	char path[160];
	int log;

	if (user &&
		(setgroups(0, NULL) < 0 || setgid(user->pw_gid) < 0 || setuid(user->pw_uid) < 0))
		_exit(126);
	/* After setuid(), which clears this setting. SIGQUIT makes the server shut down at once. */
	prctl(PR_SET_PDEATHSIG, SIGQUIT);
	signal(SIGHUP, SIG_DFL);
	snprintf(path, sizeof(path), "%s/log", postgres.folder);
	log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (log < 0 || chdir(postgres.folder) < 0)
		_exit(125);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	snprintf(path, sizeof(path), "%s/%s", postgres.programs, argv[0]);
	execv(path, (char *const *)(uintptr_t)argv);
	_exit(127);
}

static pid_t launch(const char *const argv[])
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		become(argv);
	return pid;
}

static bool answers(void)
{
	return PQping(postgres.uri) == PQPING_OK;
}

static void run_server(void)
{
	char data[80], folder[64];
	/* A shutdown waits for a client that has connected and sends nothing. */
	const char *const argv[] = {"postgres", "-D", data, "-k", folder, "-c",
		"listen_addresses=", "-c", "shared_buffers=32MB", "-c", "max_connections=50", "-c",
		"authentication_timeout=10s", NULL};

	snprintf(data, sizeof(data), "%s/data", postgres.folder);
	snprintf(folder, sizeof(folder), "%s", postgres.folder);
	postgres.pid = launch(argv);
	for (int ms = 0; !answers(); ms += 20) {
		assert_int_equal(waitpid(postgres.pid, NULL, WNOHANG), 0);
		assert_true(ms < START_MS);
		usleep(20000);
	}
}

bool postgres_start(void)
{
	char data[80];
	const char *const argv[] = {"initdb", "-D", data, "-A", "trust", "-E", "UTF8", "--locale=C",
		"-U", "timerd", "--no-sync", NULL};
	const struct passwd *user = find_user();
	int status;

	if (!find_programs()) {
		printf("no PostgreSQL server: /usr/lib/postgresql/*/bin/postgres\n");
		return false;
	}
	snprintf(postgres.folder, sizeof(postgres.folder), "/tmp/timerd-postgres-XXXXXX");
	assert_non_null(mkdtemp(postgres.folder));
	if (geteuid() == 0)
		assert_int_equal(chown(postgres.folder, user->pw_uid, user->pw_gid), 0);
	snprintf(data, sizeof(data), "%s/data", postgres.folder);
	snprintf(postgres.uri, sizeof(postgres.uri), "postgresql:///postgres?host=%s&user=timerd",
		postgres.folder);
	assert_int_equal(waitpid(launch(argv), &status, 0) > 0 ? status : -1, 0);
	run_server();
	return true;
}

static void end_server(int signal)
{
	assert_int_equal(kill(postgres.pid, signal), 0);
	while (waitpid(postgres.pid, NULL, 0) != postgres.pid)
		;
	postgres.pid = 0;
}

void postgres_restart(void)
{
	end_server(SIGQUIT);
	run_server();
}

void postgres_fail_over(void)
{
	char path[96];
	int fd;

	end_server(SIGINT);
	snprintf(path, sizeof(path), "%s/data/standby.signal", postgres.folder);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	close(fd);
	run_server();
	if (!postgres_run("SELECT pg_promote()::integer"))
		fail_msg("the server was not promoted");
	failed_over = true;
}

void postgres_stop(void)
{
	char command[96];

	if (postgres.pid)
		end_server(SIGQUIT);
	snprintf(command, sizeof(command), "rm -rf '%s'", postgres.folder);
	if (*postgres.folder && system(command))
		perror(postgres.folder);
	postgres = (struct test_postgres){0};
}

/* If the server does not answer, the test fails and does not hang. */
static PGconn *connect_bounded(void)
{
	char uri[sizeof(postgres.uri) + 32];
	PGconn *c;

	snprintf(uri, sizeof(uri), "%s&connect_timeout=20", postgres.uri);
	c = PQconnectdb(uri);
	PQclear(PQexec(c, "SET client_min_messages = warning; SET statement_timeout = '60s'"));
	return c;
}

int64_t postgres_run(const char *format, ...)
{
	PGconn *c = connect_bounded();
	int64_t value = 0;
	char sql[4096];
	PGresult *r;
	va_list ap;

	va_start(ap, format);
	vsnprintf(sql, sizeof(sql), format, ap);
	va_end(ap);
	r = PQexec(c, sql);
	if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(c));
	if (PQntuples(r) > 0 && PQnfields(r) > 0)
		value = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
	PQclear(r);
	PQfinish(c);
	return value;
}

void postgres_print(const char *sql)
{
	PQprintOpt how = {.header = 1, .fieldSep = (char[]){" | "}};
	PGconn *c = connect_bounded();
	PGresult *r = PQexec(c, sql);

	if (PQresultStatus(r) == PGRES_TUPLES_OK)
		PQprint(stderr, r, &how);
	else
		fprintf(stderr, "%s: %s", sql, PQerrorMessage(c));
	PQclear(r);
	PQfinish(c);
}

void postgres_drop_schema(void)
{
	for (unsigned int tries = 1;; tries++) {
		PGconn *c = connect_bounded();
		PGresult *r = PQexec(c, "DROP SCHEMA IF EXISTS timerd CASCADE");
		bool dropped = PQresultStatus(r) == PGRES_COMMAND_OK;

		if (!dropped && tries == 20)
			fail_msg("%s", PQerrorMessage(c));
		PQclear(r);
		PQfinish(c);
		if (dropped)
			return;
	}
}

static void migrate(const char *timerqd)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDOUT_FILENO);
		execl(timerqd, timerqd, "--store", postgres.uri, "--migrate", (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

void postgres_reset(const char *timerqd, uint64_t lease)
{
	/* Ends a transaction that a failed test may have left open, and so its locks. */
	postgres_run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
		     " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()");
	/* Hosts would wait for a lease: see postgres_schema.h. */
	if (failed_over)
		postgres_drop_schema();
	failed_over = false;
	if (!postgres_run("SELECT (to_regclass('timerd.users') IS NOT NULL)::integer"))
		migrate(timerqd);
	postgres_run("TRUNCATE timerd.timers, timerd.parked, timerd.queues, timerd.puts,"
		     " timerd.counts, timerd.users RESTART IDENTITY");
	postgres_run("UPDATE timerd.meta SET lease = %llu, margin = %llu",
		(unsigned long long)lease, (unsigned long long)lease / 10);
}
