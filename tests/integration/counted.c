/* SPDX-License-Identifier: MIT */
/*
 * Only where coverage is measured: gcov writes its counts as a process exits, and much of what is
 * told of the daemon is told by tests that kill it. This is linked into it there, and a test that
 * kills sends another signal than SIGKILL (daemon_kill_signal()). At that the process goes no
 * further, as if it were dead, writes its counts, and then is.
 */
#include <gcov.h>
#include <signal.h>
#include <unistd.h>

/* The signal may come in the midst of an allocation, whose lock the writing then waits for. */
#define PATIENCE_S 5

static void write_counts(int number)
{
	(void)number;
	alarm(PATIENCE_S);
	__gcov_dump();
	raise(SIGKILL);
}

/* Before main(). SIGALRM is nobody's here, and ends the process. */
__attribute__((constructor)) static void attach(void)
{
	struct sigaction action = {.sa_handler = write_counts};

	sigfillset(&action.sa_mask);
	sigdelset(&action.sa_mask, SIGALRM);
	sigaction(SIGRTMAX, &action, NULL);
}
