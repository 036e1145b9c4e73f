/* SPDX-License-Identifier: MIT */
/*
 * See command.h. While COMMAND runs, toytimerctl polls a pidfd and the signals. So SIGTERM reaches
 * a running COMMAND; otherwise stopping toytimerctl would leave COMMAND behind.
 *
 * fork() and not posix_spawn(), which cannot make a child ignore a signal that the parent does not
 * ignore.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "ctl.h"
#include "output.h"

static bool is_ignored(int signal)
{
	struct sigaction action;

	return sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

int signals_open(struct signals *s, const struct inherited *inherited)
{
	static const int signals[] = {SIGINT, SIGTERM};
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (!is_ignored(signals[i]))
			sigaddset(&set, signals[i]);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	*s = (struct signals){.fd = fd, .set = set, .inherited = inherited};
	return 0;
}

void signals_block(const struct signals *s)
{
	(void)sigprocmask(SIG_BLOCK, &s->set, NULL);
}

void signals_unblock(const struct signals *s)
{
	(void)sigprocmask(SIG_SETMASK, &s->inherited->mask, NULL);
}

int signals_read(struct signals *s)
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

void signals_die(int signal)
{
	const struct sigaction by_default = {.sa_handler = SIG_DFL};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	(void)sigaction(signal, &by_default, NULL);
	(void)raise(signal);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* In the child: executes argv, or writes errno to the pipe. */
static void command_exec(char **argv, const struct inherited *inherited, int input, int report)
{
	int error;

	inherit_restore(inherited);
	if (input < 0 || dup2(input, STDIN_FILENO) >= 0)
		execvp(argv[0], argv);
	error = errno;
	while (write(report, &error, sizeof(error)) < 0 && errno == EINTR)
		;
	_exit(CTL_NOT_EXECUTABLE);
}

/* Returns the child's process id or a negative errno. A successful exec() closes the pipe. */
static pid_t command_spawn(char **argv, const struct inherited *inherited, int input)
{
	int report[2], error = 0;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		command_exec(argv, inherited, input, report[1]);
	if (pid < 0)
		error = errno;
	close(report[1]);
	while (pid > 0 && read(report[0], &error, sizeof(error)) < 0 && errno == EINTR)
		;
	close(report[0]);
	if (pid > 0 && error != 0)
		(void)waitpid(pid, NULL, 0);
	return error == 0 ? pid : -error;
}

/* Waits until the process ends, and passes each SIGTERM on to it. */
static void command_watch(pid_t pid, struct signals *s)
{
	struct pollfd fds[2] = {{.events = POLLIN}, {.fd = s->fd, .events = POLLIN}};

	fds[0].fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fds[0].fd < 0)
		return; /* an old kernel: the caller waits without passing SIGTERM on */

	while (poll(fds, 2, -1) < 0 || !fds[0].revents)
		if (signals_read(s) == SIGTERM)
			kill(pid, SIGTERM);
	close(fds[0].fd);
}

int command_run(char **argv, struct signals *s, int input)
{
	pid_t pid = command_spawn(argv, s->inherited, input);
	int status;

	if (pid == -EAGAIN) {
		output_error("%s: cannot start a process: too many processes (RLIMIT_NPROC)",
			output_word(argv[0]));
		return CTL_NOT_EXECUTABLE;
	}
	if (pid < 0) {
		output_error("%s: %s", output_word(argv[0]), strerror(-pid));
		return pid == -ENOENT ? CTL_NOT_FOUND : CTL_NOT_EXECUTABLE;
	}

	command_watch(pid, s);
	while (waitpid(pid, &status, 0) < 0) {
		if (errno == EINTR)
			continue;
		output_error("%s: %s", output_word(argv[0]), strerror(errno));
		return CTL_FAILED;
	}
	return WIFSIGNALED(status) ? CTL_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}
