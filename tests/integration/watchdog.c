/* SPDX-License-Identifier: MIT */
#include "watchdog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The longest chain of processes that started each other. */
#define DEPTH_MAX 8

/* How long the stacks may take together: on a busy machine, a debugger takes seconds for each. */
#define PRINT_S 120

/* Return: whether the process exists. */
static bool read_stat(pid_t pid, char name[static 32], char *ret_state, pid_t *ret_parent)
{
	char path[32];
	FILE *f;
	int n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	n = fscanf(f, "%*d (%31[^)]) %c %d", name, ret_state, ret_parent);
	fclose(f);
	return n == 3;
}

static bool descends_from(pid_t pid, pid_t top)
{
	char name[32], state;

	for (int i = 0; pid > 1 && i < DEPTH_MAX; i++) {
		if (pid == top)
			return true;
		if (!read_stat(pid, name, &state, &pid))
			return false;
	}
	return false;
}

static void print_process(pid_t pid)
{
	char name[32], state, command[128];
	pid_t parent;

	if (!read_stat(pid, name, &state, &parent))
		return;
	fprintf(stderr, "== %d %s: state %c, parent %d\n", (int)pid, name, state, (int)parent);
	snprintf(command, sizeof(command),
		"timeout --foreground 30 gdb -nx -batch -ex 'thread apply all bt 24' -p %d 2>&1"
		" | grep -E '^(#|Thread)' >&2",
		(int)pid);
	if (system(command))
		fprintf(stderr, "(no stack)\n");
}

void watchdog_print_processes(pid_t top)
{
	DIR *folder = opendir("/proc");
	struct dirent *entry;
	time_t until = time(NULL) + PRINT_S;

	while (time(NULL) < until && folder && (entry = readdir(folder))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid > 0 && pid != getpid() && descends_from(pid, top))
			print_process(pid);
	}
	if (folder)
		closedir(folder);
}

static void watch(uint64_t (*progress)(void), unsigned int seconds, void (*say)(void), pid_t top)
{
	uint64_t last = progress();
	unsigned int still = 0;

	while (still < seconds) {
		uint64_t now;

		sleep(1);
		now = progress();
		still = now == last ? still + 1 : 0;
		last = now;
	}
	fprintf(stderr, "nothing has moved for %u s\n", seconds);
	if (say)
		say();
	watchdog_print_processes(top);
	/* cmocka counts this signal as a failure of the test, which then cleans up. */
	kill(top, SIGSYS);
}

void watchdog_start(
	struct watchdog *w, uint64_t (*progress)(void), unsigned int seconds, void (*say)(void))
{
	pid_t top = getpid();

	fflush(NULL);
	w->pid = fork();
	assert_true(w->pid >= 0);
	if (w->pid)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	watch(progress, seconds, say, top);
	_exit(1);
}

void watchdog_stop(struct watchdog *w)
{
	if (!w->pid)
		return;
	kill(w->pid, SIGKILL);
	waitpid(w->pid, NULL, 0);
	w->pid = 0;
}
