/* SPDX-License-Identifier: MIT */
/* See inherit.h. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "inherit.h"

/*
 * On an O_PATH descriptor read() and write() fail with EBADF, as on a closed one. "/" always
 * exists; /dev/null may not. O_CLOEXEC: for COMMAND the descriptor is closed again.
 */
int inherit_fill_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		if (open("/", O_PATH | O_CLOEXEC) != fd)
			return -1;
	}
	return 0;
}

static void do_nothing(int signal)
{
	(void)signal;
}

static void report_cpu_limit(int signal)
{
	static const char line[] = "toytimerctl: reached the limit of CPU time (RLIMIT_CPU)\n";

	(void)signal;
	if (write(STDERR_FILENO, line, sizeof(line) - 1) < 0)
		_exit(EXIT_FAILURE); /* there is no other place to report it */
	_exit(EXIT_FAILURE);
}

/* Sets a handler for a signal whose default action is a core dump. Not SIG_IGN, since exec() would
 * keep that for COMMAND. */
static int handle_limit(int signal, void (*handler)(int))
{
	const struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
	struct sigaction before;

	if (sigaction(signal, NULL, &before) < 0)
		return -1;
	if (before.sa_handler != SIG_DFL)
		return 0;
	return sigaction(signal, &action, NULL);
}

int inherit_prepare(struct inherited *ret)
{
	const struct sigaction by_default = {.sa_handler = SIG_DFL};

	if (handle_limit(SIGXFSZ, do_nothing) < 0 || handle_limit(SIGXCPU, report_cpu_limit) < 0 ||
		sigprocmask(SIG_SETMASK, NULL, &ret->mask) < 0 ||
		sigaction(SIGCHLD, &by_default, &ret->child) < 0)
		return -errno;
	return 0;
}

void inherit_restore(const struct inherited *inherited)
{
	(void)sigaction(SIGCHLD, &inherited->child, NULL);
	(void)sigprocmask(SIG_SETMASK, &inherited->mask, NULL);
}
