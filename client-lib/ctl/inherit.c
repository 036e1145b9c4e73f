/* SPDX-License-Identifier: MIT */
/* See inherit.h. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include "ctl.h"
#include "inherit.h"

/*
 * The stand-in is a path descriptor: read() and write() fail with EBADF, as on a closed one. The
 * root directory is always there, /dev/null is not. COMMAND finds the descriptor closed again.
 */
int inherit_hold_descriptors(void)
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

static void tell_cpu_limit(int signal)
{
	static const char line[] = "toytimerctl: the limit of CPU time is reached (RLIMIT_CPU)\n";

	(void)signal;
	if (write(STDERR_FILENO, line, sizeof(line) - 1) < 0)
		_exit(CTL_FAILED); /* nobody is there to read it */
	_exit(CTL_FAILED);
}

/* Handles a signal whose default action is a core dump. A handler, not SIG_IGN: exec() resets it. */
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

int inherit_take(struct inherited *ret)
{
	const struct sigaction by_default = {.sa_handler = SIG_DFL};

	if (handle_limit(SIGXFSZ, do_nothing) < 0 || handle_limit(SIGXCPU, tell_cpu_limit) < 0 ||
		sigprocmask(SIG_SETMASK, NULL, &ret->mask) < 0 ||
		sigaction(SIGCHLD, &by_default, &ret->child) < 0)
		return -errno;
	return 0;
}

void inherit_give_back(const struct inherited *inherited)
{
	(void)sigaction(SIGCHLD, &inherited->child, NULL);
	(void)sigprocmask(SIG_SETMASK, &inherited->mask, NULL);
}
