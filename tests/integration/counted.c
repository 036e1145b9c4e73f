/* SPDX-License-Identifier: MIT */
/*
 * Used only for measuring coverage. gcov writes its counts when a process exits, but many tests
 * kill the daemon. So this file is linked into the daemon, and these tests send another signal in
 * place of SIGKILL (daemon_kill_signal()). Its handler writes the counts and then kills the
 * process. Nothing else of the process runs any more, as after SIGKILL.
 */
#include <gcov.h>
#include <signal.h>
#include <unistd.h>

/* The signal may interrupt malloc(). Then __gcov_dump() waits for malloc's lock for ever, and this
 * limit ends the process. */
#define PATIENCE_S 5

static void write_counts(int number)
{
	(void)number;
	alarm(PATIENCE_S);
	__gcov_dump();
	raise(SIGKILL);
}

/* Runs before main(). The daemon does not use SIGALRM, so it ends the process. */
__attribute__((constructor)) static void attach(void)
{
	struct sigaction action = {.sa_handler = write_counts};

	sigfillset(&action.sa_mask);
	sigdelset(&action.sa_mask, SIGALRM);
	sigaction(SIGRTMAX, &action, NULL);
}
