/* SPDX-License-Identifier: MIT */
/*
 * See command.h. It is waited for on a pidfd beside the signals, for a SIGTERM must reach a COMMAND
 * that is still running: without that, stopping toytimerctl would leave it behind.
 */
#include <errno.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "ctl.h"
#include "output.h"

int signals_block(struct signals *s)
{
	sigset_t set, before;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (sigprocmask(SIG_BLOCK, &set, &before) < 0) {
		close(fd);
		return -errno;
	}
	*s = (struct signals){.fd = fd, .before = before};
	return 0;
}

int signals_take(struct signals *s)
{
	struct signalfd_siginfo info;

	if (read(s->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return 0;
	if (s->caught == 0)
		s->caught = (int)info.ssi_signo;
	return (int)info.ssi_signo;
}

void signals_close(struct signals *s)
{
	if (s->fd >= 0)
		close(s->fd);
}

/* Returns 0 or an errno, as posix_spawn() does. */
static int command_spawn(char **argv, const sigset_t *mask, pid_t *ret)
{
	posix_spawnattr_t attributes;
	int r;

	r = posix_spawnattr_init(&attributes);
	if (r != 0)
		return r;
	posix_spawnattr_setsigmask(&attributes, mask);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	r = posix_spawnp(ret, argv[0], NULL, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	return r;
}

/* Returns when the process has ended, each SIGTERM that came before passed on to it. */
static void command_watch(pid_t pid, struct signals *s)
{
	struct pollfd fds[2] = {{.events = POLLIN}, {.fd = s->fd, .events = POLLIN}};

	fds[0].fd = pidfd_open(pid, 0);
	if (fds[0].fd < 0)
		return; /* an old kernel: then it is only waited for */

	while (poll(fds, 2, -1) < 0 || !fds[0].revents)
		if (signals_take(s) == SIGTERM)
			kill(pid, SIGTERM);
	close(fds[0].fd);
}

int command_run(char **argv, struct signals *s)
{
	int r, status;
	pid_t pid;

	r = command_spawn(argv, &s->before, &pid);
	if (r != 0) {
		output_error("%s: %s", output_word(argv[0]), strerror(r));
		return r == ENOENT ? CTL_NOT_FOUND : CTL_NOT_EXECUTABLE;
	}

	command_watch(pid, s);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return CTL_FAILED;
	return WIFSIGNALED(status) ? CTL_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}
