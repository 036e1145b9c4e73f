/* SPDX-License-Identifier: MIT */
/* Root lists and cancels another user's timers. The other user cannot do so with root's timers. */
#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <toytimer.h>
#include <unistd.h>

#define OTHER 65534

static int count(const toytimer_listed *listed, void *userdata)
{
	*(int *)userdata += listed->uid == OTHER;
	return 0;
}

static int note(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t;
	*(int *)userdata += event->type == TOYTIMER_CANCELLED;
	return 0;
}

static int be_other(void)
{
	toytimer_match roots = {.flags = TOYTIMER_MATCH_USER},
		       all = {.flags = TOYTIMER_MATCH_EVERYBODY};
	int n = 0, cancelled = 0;
	toytimer_registration r = {.due = 3600000000u,
		.flags = TOYTIMER_RELATIVE,
		.label = "theirs",
		.handler = note,
		.userdata = &cancelled};
	toytimer *t;

	if (setgid(OTHER) < 0 || setuid(OTHER) < 0 || toytimer_open(&t, NULL) < 0)
		return 10;
	if (toytimer_list_matching(t, &roots, count, &n) != -EACCES ||
		toytimer_list_matching(t, &all, count, &n) != -EACCES ||
		toytimer_cancel_matching(t, &roots, NULL) != -EACCES ||
		toytimer_cancel_matching(t, &all, NULL) != -EACCES)
		return 11;
	/* Ends when root cancels the timer. */
	if (toytimer_register(t, &r, NULL) < 0 || toytimer_run(t) != 0)
		return 12;
	toytimer_unref(t);
	return cancelled == 1 ? 0 : 13;
}

int main(void)
{
	toytimer_match theirs = {.flags = TOYTIMER_MATCH_USER, .uid = OTHER, .label = "theirs"};
	toytimer_registration r = {
		.due = 3600000000u, .flags = TOYTIMER_RELATIVE, .label = "theirs"};
	uint64_t cancelled = 0, timer;
	int n = 0, status;
	toytimer *t;

	if (geteuid() != 0) {
		printf("# not root: nothing is tried\n");
		return 77;
	}
	if (fork() == 0)
		_exit(be_other());
	if (toytimer_open(&t, NULL) < 0 || toytimer_register(t, &r, &timer) < 0)
		return 1;
	for (int i = 0; i < 500 && n == 0; i++) {
		if (toytimer_list_matching(t, &theirs, count, &n) < 0)
			return 2;
		usleep(10000);
	}
	if (n != 1 || toytimer_cancel_matching(t, &theirs, &cancelled) < 0 || cancelled != 1)
		return 3;
	wait(&status);
	/* Root's own timer with the same label must remain. */
	if (toytimer_cancel(t, timer) != 0)
		return 4;
	toytimer_unref(t);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 5;
}
