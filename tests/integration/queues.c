/* SPDX-License-Identifier: MIT */
#include "queues.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef TEST_POSTGRES
#	include "database.h"
#endif

#define START_MS 20000

static bool connects(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	bool done;

	strcpy(address.sun_path, path);
	done = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(fd);
	return done;
}

static void become_timerqd(const struct test_queues *d, char **argv)
{
	int log = open(d->timerd.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (log >= 0)
		dup2(log, STDERR_FILENO);
	execv(argv[0], argv);
	_exit(127);
}

#ifdef TEST_POSTGRES
/* The length of a lease; so a killed timerqd's queues wait for up to this time. A statement may
 * take three tenths of it, also on a busy machine. */
#	define LEASE_US 5000000

static bool begin_database(void)
{
	return !postgres_wanted() || postgres_start();
}

static void end_database(void)
{
	if (postgres_wanted())
		postgres_stop();
}

/* The arguments that name the store. All timerqd of d use the same store. */
static void choose_store(struct test_queues *d, const char **argv)
{
	if (!postgres_wanted())
		return;
	if (!d->has_schema)
		postgres_reset(daemon_binary("TIMERQD_BINARY"), LEASE_US);
	d->has_schema = true;
	argv[0] = "--store";
	argv[1] = postgres.uri;
}
#else
static bool begin_database(void)
{
	return true;
}

static void end_database(void)
{
}

static void choose_store(struct test_queues *d, const char **argv)
{
	(void)d;
	(void)argv;
}
#endif

int queues_run_tests(const struct CMUnitTest *tests, size_t n)
{
	int failed;

	if (!begin_database())
		return 77;
	cmocka_set_test_filter(getenv("CMOCKA_TEST_FILTER"));
	failed = _cmocka_run_group_tests("tests", tests, n, NULL, NULL);
	end_database();
	return failed;
}

void queues_start(struct test_queues *d, ...)
{
	const char *argv[DAEMON_ARGUMENTS] = {daemon_binary("TIMERQD_BINARY"), "--socket", NULL,
		"--state", NULL, "--timerd", NULL};
	va_list ap;

	if (!d->timerd.pid)
		daemon_start(&d->timerd, NULL);
	snprintf(d->socket, sizeof(d->socket), "%s/queues", d->timerd.directory);
	snprintf(d->state, sizeof(d->state), "%s/state", d->timerd.directory);
	argv[2] = d->socket;
	argv[4] = d->state;
	choose_store(d, &argv[3]);
	argv[6] = daemon_socket(&d->timerd);
	va_start(ap, d);
	daemon_add_arguments(argv, 7, ap);
	va_end(ap);
	if (d->pid)
		return;
	fflush(NULL);
	d->pid = fork();
	assert_true(d->pid >= 0);
	if (d->pid == 0)
		become_timerqd(d, (char **)argv);
	for (int ms = 0; !connects(d->socket); ms++) {
		/* The cleaning after a failure must not look for a process that has ended. */
		if (waitpid(d->pid, NULL, WNOHANG)) {
			d->pid = 0;
			fail_msg("timerqd has ended: see %s", d->timerd.log);
		}
		assert_true(ms < START_MS);
		usleep(1000);
	}
}

static int end(struct test_queues *d, int signal)
{
	int status;

	assert_true(d->pid > 0);
	assert_int_equal(kill(d->pid, signal), 0);
	while (waitpid(d->pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	d->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void queues_kill(struct test_queues *d)
{
	end(d, daemon_kill_signal());
}

int queues_stop(struct test_queues *d)
{
	return end(d, SIGTERM);
}

void queues_clean(struct test_queues *d)
{
	static const char *const files[] = {"/queues.db", "/queues.db-wal", "/queues.db-shm"};
	char path[256];

	if (d->pid)
		queues_kill(d);
	for (size_t i = 0; d->state[0] && i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", d->state, files[i]);
		unlink(path);
	}
	if (d->state[0])
		rmdir(d->state);
	daemon_clean(&d->timerd);
	*d = (struct test_queues){0};
}

void queues_expect_log(const struct test_queues *d, const char *words)
{
	char line[1024];
	bool found = false;

	for (int i = 0; !found && i < 800; i++) {
		FILE *f = fopen(d->timerd.log, "re");

		usleep(50000);
		assert_non_null(f);
		while (!found && fgets(line, sizeof(line), f))
			found = strstr(line, words);
		fclose(f);
	}
	assert_true(found);
}
