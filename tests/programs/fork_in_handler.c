/* SPDX-License-Identifier: MIT */
/* A handler forks. The child's run ends with -ECHILD; the parent gets every wake. */
#include <errno.h>
#include <sys/wait.h>
#include <toytimer.h>
#include <unistd.h>

static pid_t child;
static int wakes;

static int woken(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t;
	(void)event;
	(void)userdata;
	if (++wakes == 1)
		child = fork();
	return 0;
}

int main(void)
{
	toytimer_registration r = {.due = 1000,
		.every = 20000,
		.count = 3,
		.flags = TOYTIMER_RELATIVE,
		.handler = woken};
	toytimer *t;
	int status;

	if (toytimer_open(&t, NULL) < 0 || toytimer_register(t, &r, NULL) < 0)
		return 1;
	status = toytimer_run(t);
	if (child == 0)
		_exit(status == -ECHILD && wakes == 1 ? 0 : 2);
	if (status != 0 || wakes < 2 || waitpid(child, &status, 0) != child || status != 0)
		return 3;
	toytimer_unref(t);
	return 0;
}
