/* SPDX-License-Identifier: MIT */
/*
 * libtoytimer against the real daemon, in programs that change what they inherited: they close the
 * standard descriptors, or change the working directory. Each program is a forked child. Its exit
 * status is the line that failed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handles.h"
#include "recorder.h"

/* Runs a program. When the program has opened its handle, the test restarts the daemon. */
struct program {
	pid_t pid;
	int ready[2], go[2];
};

#define EXPECT(holds)                              \
	do {                                       \
		if (!(holds))                      \
			_exit(__LINE__ % 250 + 1); \
	} while (0)

static void ready(const struct program *p)
{
	char c = 0;

	EXPECT(write(p->ready[1], &c, 1) == 1);
	EXPECT(read(p->go[0], &c, 1) == 1);
}

static void over_a_restart(void (*main)(const struct program *p))
{
	struct program p;
	int status;
	char c = 0;

	assert_int_equal(pipe2(p.ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(p.go, O_CLOEXEC), 0);
	p.pid = fork();
	if (p.pid == 0) {
		main(&p);
		_exit(0);
	}
	close(p.ready[1]);
	assert_int_equal(read(p.ready[0], &c, 1), 1);
	assert_int_equal(daemon_stop(&d), 0);
	daemon_start(&d, NULL);
	assert_int_equal(write(p.go[1], &c, 1), 1);
	assert_int_equal(waitpid(p.pid, &status, 0), p.pid);
	assert_int_equal(status, 0);
	close(p.ready[0]);
	close(p.go[0]);
	close(p.go[1]);
}

static void expect_standard_closed(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		EXPECT(fcntl(fd, F_GETFD) < 0);
}

static void close_standard(const struct program *p)
{
	toytimer_status status;
	toytimer *before, *after;

	EXPECT(toytimer_open(&before, daemon_socket(&d)) == 0);
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		close(fd);
	EXPECT(toytimer_open(&after, daemon_socket(&d)) == 0);
	expect_standard_closed();
	ready(p);
	EXPECT(toytimer_get_status(before, &status) == 0);
	EXPECT(toytimer_get_status(after, &status) == 0);
	EXPECT(toytimer_get_reconnects(before) == 1);
	expect_standard_closed();
	toytimer_unref(before);
	toytimer_unref(after);
}

/* The library never uses the number of a standard descriptor that the program closed. */
static void test_closed_standard_descriptors(void **state)
{
	(void)state;
	over_a_restart(close_standard);
}

static void change_folder(const struct program *p)
{
	toytimer_status status;
	toytimer *t;

	EXPECT(chdir(d.directory) == 0);
	EXPECT(toytimer_open(&t, strrchr(daemon_socket(&d), '/') + 1) == 0);
	EXPECT(chdir("/") == 0);
	ready(p);
	EXPECT(toytimer_get_status(t, &status) == 0);
	EXPECT(toytimer_get_reconnects(t) == 1);
	toytimer_unref(t);
}

static void test_a_relative_path_outlives_chdir(void **state)
{
	(void)state;
	over_a_restart(change_folder);
}

static char deep[PATH_MAX];

static void change_from_deep_folder(const struct program *p)
{
	toytimer_status status;
	toytimer *t;

	EXPECT(chdir(deep) == 0);
	EXPECT(toytimer_open(&t, "link") == 0);
	EXPECT(chdir("/") == 0);
	ready(p);
	EXPECT(toytimer_get_status(t, &status) == 0);
	EXPECT(toytimer_get_reconnects(t) == 1);
	toytimer_unref(t);
}

/* A relative path works where the absolute one is too long for a socket's address. */
static void test_relative_path_in_a_deep_folder(void **state)
{
	char link[PATH_MAX + 8];

	(void)state;
	snprintf(deep, sizeof(deep), "%s/%0100d", d.directory, 0);
	snprintf(link, sizeof(link), "%s/link", deep);
	assert_int_equal(mkdir(deep, 0700), 0);
	assert_int_equal(symlink(daemon_socket(&d), link), 0);
	over_a_restart(change_from_deep_folder);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(rmdir(deep), 0);
}

/* A program closes all descriptors, as daemons once did at their start. The handle cannot work any
 * more: a call that waits without end must say so. */
static void test_closed_descriptors_of_the_handle(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		toytimer *t;

		EXPECT(toytimer_open(&t, daemon_socket(&d)) == 0);
		add_timer(t, 3600 * S, ignore_event, NULL);
		for (int fd = 3; fd < 256; fd++)
			close(fd);
		alarm(60);
		EXPECT(toytimer_wait(t, TOYTIMER_FOREVER) == -EBADF);
		EXPECT(toytimer_run(t) == -EBADF);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_closed_standard_descriptors),
		cmocka_unit_test(test_a_relative_path_outlives_chdir),
		cmocka_unit_test(test_relative_path_in_a_deep_folder),
		cmocka_unit_test(test_closed_descriptors_of_the_handle),
	};

	return cmocka_run_group_tests(tests, start_daemon, stop_daemon);
}
