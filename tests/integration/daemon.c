/* SPDX-License-Identifier: MIT */
/*
 * Starts and ends the daemon under test. /proc/net/unix shows whether it listens. A test connection
 * would count against the limits that the tests set.
 *
 * If $TIMERD_UNIT names a program, this program starts the daemon as a unit of systemd: see
 * tests/system/as-unit. The daemon is then no child of this process.
 */
#include "daemon.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_MS 20000 /* enough for valgrind and a busy machine */

const char *daemon_binary(const char *variable)
{
	const char *path = getenv(variable);

	if (!path)
		fail_msg("%s is not set", variable);
	return path;
}

static void make_directory(struct test_daemon *d)
{
	snprintf(d->directory, sizeof(d->directory), "/tmp/timerd-test-XXXXXX");
	assert_non_null(mkdtemp(d->directory));
	assert_int_equal(chmod(d->directory, 0755), 0);
	snprintf(d->socket, sizeof(d->socket), "%s/socket", d->directory);
	snprintf(d->log, sizeof(d->log), "%s/log", d->directory);
	close(open(d->log, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
}

/* Whether some process listens on the path. A line of /proc/net/unix is
 * "Num: RefCount Protocol Flags Type St Inode Path"; the flag is __SO_ACCEPTCON. */
static bool listens(const char *path)
{
	FILE *f = fopen("/proc/net/unix", "re");
	char line[512], name[256];
	unsigned long flags;
	bool found = false;

	assert_non_null(f);
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%*s %*s %*s %lx %*s %*s %*s %255s", &flags, name) == 2 &&
			flags & 0x10000 && strcmp(name, path) == 0;
	fclose(f);
	return found;
}

static void become_daemon(const struct test_daemon *d, char **argv)
{
	int log = open(d->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (log >= 0)
		dup2(log, STDERR_FILENO);
	execv(argv[0], argv);
	_exit(127);
}

/* Fails the test, and shows the log, if the daemon has ended. */
static void expect_running(struct test_daemon *d)
{
	pid_t pid = waitpid(d->pid, NULL, WNOHANG);
	char line[512];
	FILE *f;

	if (pid == 0)
		return;
	f = fopen(d->log, "re");
	while (f && fgets(line, sizeof(line), f))
		print_error("%s", line);
	if (f)
		fclose(f);
	d->pid = 0;
	fail_msg("timerd has ended");
}

/* Return: whether the daemon runs as a unit. */
static bool are_units(void)
{
	return getenv("TIMERD_UNIT") != NULL;
}

/* Return: the number that the program $TIMERD_UNIT prints. */
static int ask_unit(const struct test_daemon *d, const char *verb, const char *options)
{
	char command[1024];
	int n, number = 0;
	FILE *f;

	n = snprintf(command, sizeof(command), "'%s' %s '%s'%s", getenv("TIMERD_UNIT"), verb,
		d->directory, options);
	assert_true(n > 0 && (size_t)n < sizeof(command));
	fflush(NULL);
	f = popen(command, "re");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &number), 1);
	assert_int_equal(pclose(f), 0);
	return number;
}

static void start_unit(struct test_daemon *d, const char *const *options)
{
	char words[512] = "";
	size_t n = 0;

	for (; *options; options++) {
		n += (size_t)snprintf(words + n, sizeof(words) - n, " '%s'", *options);
		assert_true(n < sizeof(words));
	}
	d->pid = ask_unit(d, "start", words);
}

static void start_child(struct test_daemon *d, char **argv)
{
	fflush(NULL);
	d->pid = fork();
	assert_true(d->pid >= 0);
	if (d->pid == 0)
		become_daemon(d, argv);

	for (int ms = 0; !listens(d->socket); ms++) {
		expect_running(d);
		assert_true(ms < START_MS);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

void daemon_add_arguments(const char *argv[static DAEMON_ARGUMENTS], size_t n, va_list ap)
{
	do {
		assert_true(n < DAEMON_ARGUMENTS);
		argv[n] = va_arg(ap, const char *);
	} while (argv[n++]);
}

void daemon_start(struct test_daemon *d, ...)
{
	const char *argv[DAEMON_ARGUMENTS] = {daemon_binary("TIMERD_BINARY"), "--socket"};
	va_list ap;

	assert_int_equal(d->pid, 0);
	if (!d->directory[0])
		make_directory(d);
	argv[2] = d->socket;

	va_start(ap, d);
	daemon_add_arguments(argv, 3, ap);
	va_end(ap);

	if (are_units())
		start_unit(d, argv + 3);
	else
		start_child(d, (char **)argv);
}

const char *daemon_socket(const struct test_daemon *d)
{
	return d->socket;
}

static int wait_for_child(pid_t child)
{
	int status;
	pid_t pid;

	do
		pid = waitpid(child, &status, 0);
	while (pid < 0 && errno == EINTR);
	assert_int_equal(pid, child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int end(struct test_daemon *d, int signal)
{
	int status;

	assert_true(d->pid > 0);
	assert_int_equal(kill(d->pid, signal), 0);
	status = are_units() ? ask_unit(d, "wait", "") : wait_for_child(d->pid);
	d->pid = 0;
	return status;
}

int daemon_kill_signal(void)
{
	return getenv("TIMERD_COUNTED") ? SIGRTMAX : SIGKILL;
}

void daemon_kill(struct test_daemon *d)
{
	end(d, daemon_kill_signal());
}

int daemon_stop(struct test_daemon *d)
{
	return end(d, SIGTERM);
}

/* Removes a directory without subdirectories: it has the socket, the log, and other files of the
 * tests. */
static void remove_directory(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		if (entry->d_name[0] != '.' || strlen(entry->d_name) > 2)
			unlinkat(dirfd(directory), entry->d_name, 0);
	if (directory)
		closedir(directory);
	rmdir(path);
}

void daemon_clean(struct test_daemon *d)
{
	if (d->pid > 0)
		daemon_kill(d);
	if (!d->directory[0])
		return;
	remove_directory(d->directory);
	*d = (struct test_daemon){0};
}

void daemon_finish(struct test_daemon *d)
{
	if (d->pid)
		assert_int_equal(daemon_stop(d), 0);
	daemon_clean(d);
}

int daemon_count_fds(pid_t pid)
{
	char path[64];
	DIR *directory;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%ld/fd", (long)(pid ? pid : getpid()));
	directory = opendir(path);
	assert_non_null(directory);
	while (readdir(directory))
		n++;
	closedir(directory);
	return n - 2 - (pid == 0); /* ".", "..", and the directory itself */
}
