/* SPDX-License-Identifier: MIT */
/*
 * What timerqd does not trust: other roles of its database, and a pooler between both, which hides
 * that another server has taken over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <toytimer-queue.h>
#include <unistd.h>

#include "database.h"
#include "jobs.h"
#include "queues.h"
#include "said.h"

#define HOUR UINT64_C(3600000000)

static struct test_queues a, b;

static struct {
	pid_t pid;
	char folder[64], uri[192];
} pooler;

static int set_up(void **state)
{
	(void)state;
	queues_start(&a, NULL);
	return 0;
}

static void stop_pooler(void)
{
	char command[96];

	if (!pooler.pid)
		return;
	kill(pooler.pid, SIGKILL);
	waitpid(pooler.pid, NULL, 0);
	snprintf(command, sizeof(command), "rm -rf '%s'", pooler.folder);
	if (system(command))
		perror(pooler.folder);
	pooler.pid = 0;
}

static int tear_down(void **state)
{
	(void)state;
	queues_clean(&b);
	queues_clean(&a);
	stop_pooler();
	postgres_run("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
	return 0;
}

static void write_settings(const char *path, const char *mode)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fprintf(f,
		"[databases]\npostgres = host=%s user=timerd\n[pgbouncer]\nlisten_addr =\n"
		"unix_socket_dir = %s\nlisten_port = 5432\nauth_type = any\npool_mode = %s\n"
		"server_login_retry = 1\n",
		postgres.folder, pooler.folder, mode);
	fclose(f);
}

/* pgbouncer refuses to run as root. */
static void become_pooler(const char *settings)
{
	const struct passwd *user = geteuid() == 0 ? getpwnam("nobody") : NULL;

	if (user && (setgid(user->pw_gid) < 0 || setuid(user->pw_uid) < 0))
		_exit(126);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execl("/usr/sbin/pgbouncer", "pgbouncer", "-q", settings, (char *)NULL);
	_exit(127);
}

/* mode: what pgbouncer pools. It skips the test if there is no pgbouncer. */
static void start_pooler(const char *mode)
{
	char settings[80];

	if (access("/usr/sbin/pgbouncer", X_OK) < 0) {
		print_message("no /usr/sbin/pgbouncer\n");
		skip();
	}
	snprintf(pooler.folder, sizeof(pooler.folder), "/tmp/timerd-pooler-XXXXXX");
	assert_non_null(mkdtemp(pooler.folder));
	assert_int_equal(chmod(pooler.folder, 0777), 0);
	snprintf(settings, sizeof(settings), "%s/settings", pooler.folder);
	write_settings(settings, mode);
	assert_int_equal(chmod(settings, 0644), 0);
	assert_int_equal(chmod(postgres.folder, 0755), 0);
	snprintf(pooler.uri, sizeof(pooler.uri), "postgresql:///postgres?host=%s&user=timerd",
		pooler.folder);
	fflush(NULL);
	pooler.pid = fork();
	if (pooler.pid == 0)
		become_pooler(settings);
	for (int ms = 0; PQping(pooler.uri) != PQPING_OK; ms += 20) {
		assert_int_equal(waitpid(pooler.pid, NULL, WNOHANG), 0);
		assert_true(ms < 20000);
		usleep(20000);
	}
}

/* Puts, delivers and acknowledges a timer. */
static void expect_service(toytimer_queue *q, struct jobs_log *log)
{
	size_t n = log->n;

	jobs_put_soon(q, 0);
	jobs_process(q, log, n + 1, 20000);
	assert_int_equal(log->n, n + 1);
	assert_int_equal(toytimer_queue_ack(q, &log->refs[n]), 0);
}

/* Functions that match the arguments of timerqd's calls better than those of pg_catalog, which are
 * polymorphic. Any role may create them, if the administrator has left that to the public. */
static void shadow(const char *signature)
{
	postgres_run("CREATE FUNCTION public.%s RETURNS integer LANGUAGE plpgsql AS"
		     " $$ BEGIN RAISE EXCEPTION 'a function of another role runs'; END $$",
		signature);
}

static void test_shadowed_functions(void **state)
{
	static const char *const signatures[] = {"cardinality(integer[])", "cardinality(bigint[])",
		"cardinality(uuid[])", "array_position(integer[], integer)",
		"array_fill(bigint, integer[])", "array_fill(integer, integer[])",
		"array_fill(boolean, integer[])", "array_append(integer[], integer)",
		"array_append(bigint[], bigint)", "unnest(text[])", "unnest(bigint[])",
		"unnest(integer[])"};
	toytimer_queue *q, *other;
	struct jobs_log log = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++)
		shadow(signatures[i]);
	q = jobs_open(&a);
	jobs_consume(q, &log);
	expect_service(q, &log);
	/* And with a hint of another host. */
	b.has_schema = true;
	queues_start(&b, NULL);
	other = jobs_open(&b);
	assert_int_equal(jobs_put(other, HOUR), 0);
	assert_int_equal(jobs_put(other, 0), 0);
	jobs_process(q, &log, 2, 20000);
	assert_int_equal(log.n, 2);
	assert_int_equal(toytimer_queue_purge(q, "jobs", 0, NULL), 0);
	assert_int_equal(jobs_rows(), 0);
	toytimer_queue_unref(q);
	toytimer_queue_unref(other);
}

/* The rounds that all hosts have begun. */
static int64_t count_rounds(void)
{
	return postgres_run(
		"SELECT calls FROM pg_stat_user_functions WHERE funcname = 'ask_leases'");
}

/* Any role may notify: it does not drive the hosts to ask without end. */
static void test_flood_of_hints(void **state)
{
	toytimer_queue *q = jobs_open(&a), *other;
	struct jobs_log log = {0}, others = {0};
	PGconn *c = PQconnectdb(postgres.uri);
	uint64_t until, n = 0;
	int64_t before;

	(void)state;
	postgres_run("ALTER ROLE timerd SET track_functions = 'all'");
	queues_kill(&a);
	queues_start(&a, NULL);
	jobs_consume(q, &log);
	expect_service(q, &log);
	b.has_schema = true;
	queues_start(&b, NULL);
	other = jobs_open(&b);
	jobs_consume(other, &others);
	jobs_process(other, &others, 1, 1000);
	before = count_rounds();
	for (until = toytimer_now(TOYTIMER_BOOTTIME) + 2000000;
		toytimer_now(TOYTIMER_BOOTTIME) < until; n++)
		PQclear(PQexec(c, n % 2 ? "NOTIFY timerd, 'released'" : "NOTIFY timerd, '-1/x'"));
	PQfinish(c);
	usleep(1500000);
	print_message("%llu hints, %lld rounds\n", (unsigned long long)n,
		(long long)(count_rounds() - before));
	/* Ten rounds a second of the host that stands by, and the usual ones of both. */
	assert_in_range(count_rounds() - before, 3, 50);
	postgres_run("ALTER ROLE timerd RESET track_functions");
	toytimer_queue_unref(q);
	toytimer_queue_unref(other);
}

/* A pooler of statements ends the connection at BEGIN. */
static void test_statement_pooling(void **state)
{
	const char *const argv[] = {
		daemon_binary("TIMERQD_BINARY"), "--store", pooler.uri, "--migrate", NULL};
	char said[SAID];

	(void)state;
	start_pooler("statement");
	assert_int_equal(said_by(said, argv), 1);
	if (!strstr(said, "pool_mode=statement"))
		fail_msg("%s", said);
}

/* Starts timerqd anew behind a pooler of transactions. Return: a consumer, which the caller unrefs.
 */
static toytimer_queue *consume_through_pooler(struct jobs_log *log)
{
	toytimer_queue *q;

	queues_kill(&a);
	start_pooler("transaction");
	queues_start(&a, "--store", pooler.uri, NULL);
	q = jobs_open(&a);
	jobs_consume(q, log);
	return q;
}

static void test_transaction_pooling(void **state)
{
	struct jobs_log log = {0};
	toytimer_queue *q;

	(void)state;
	q = consume_through_pooler(&log);
	for (int i = 0; i < 3; i++)
		expect_service(q, &log);
	toytimer_queue_unref(q);
	assert_int_equal(queues_stop(&a), 0);
}

/* The pooler keeps timerqd's connection while another server takes over. A failover may lose
 * leases, so the host must notice: its clients then come again. */
static void test_failover_behind_a_pooler(void **state)
{
	struct jobs_log log = {0};
	toytimer_queue *q;
	uint64_t reconnects;

	(void)state;
	q = consume_through_pooler(&log);
	expect_service(q, &log);
	reconnects = toytimer_queue_get_reconnects(q);
	assert_int_equal(kill(a.pid, SIGSTOP), 0);
	postgres_fail_over();
	assert_int_equal(kill(a.pid, SIGCONT), 0);
	for (int i = 0; toytimer_queue_get_reconnects(q) == reconnects && i < 150; i++)
		jobs_process(q, &log, log.n + 1, 100);
	assert_true(toytimer_queue_get_reconnects(q) > reconnects);
	jobs_put_soon(q, HOUR);
	toytimer_queue_unref(q);
}

/* Users without timers are forgotten, also if their rows add up to nothing only together. */
static void test_users_are_forgotten(void **state)
{
	(void)state;
	postgres_run("INSERT INTO timerd.users VALUES (70001, 1, 5, 1, 9), (70001, 2, -5, -1, -9),"
		     " (70002, 1, 0, 0, 0), (70003, 1, 5, 0, 0), (70003, 2, -4, 0, 0)");
	postgres_run("SELECT timerd.tidy()");
	assert_int_equal(postgres_run("SELECT count(*) FROM timerd.users"
				      " WHERE uid IN (70001, 70002)"),
		0);
	assert_int_equal(
		postgres_run("SELECT sum(timers)::bigint FROM timerd.users WHERE uid = 70003"), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_shadowed_functions),
		TEST(test_flood_of_hints),
		TEST(test_users_are_forgotten),
		TEST(test_statement_pooling),
		TEST(test_transaction_pooling),
		TEST(test_failover_behind_a_pooler),
	};
	return queues_run(tests);
}
