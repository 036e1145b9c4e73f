/* SPDX-License-Identifier: MIT */
/*
 * A toy event loop. Tasks do a little work, say when they want to be run again, and return; a
 * handle is cloned to each thread that has tasks to start; one loop sleeps for them all and runs
 * whichever is woken. Two tasks may ask for the same instant: they run in the order in which they
 * asked.
 *
 * The first argument may name a socket.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <toytimer.h>

struct task {
	const char *name;
	uint64_t pause; /* between two runs, microseconds */
	unsigned int runs;
	unsigned int runs_left;
};

static int task_run(toytimer *t, const toytimer_event *wake, void *userdata);

/* Run me again after a pause. */
static int task_sleep(toytimer *t, struct task *task)
{
	toytimer_registration r = {
		.due = task->pause,
		.flags = TOYTIMER_RELATIVE,
		.label = task->name,
		.handler = task_run,
		.userdata = task,
	};

	return toytimer_register_async(t, &r, NULL);
}

/* What a wake does: the task's next step. It has no thread of its own, so it never waits. */
static int task_run(toytimer *t, const toytimer_event *wake, void *userdata)
{
	struct task *task = userdata;

	if (wake->type != TOYTIMER_WOKEN)
		return wake->error ? wake->error : -ECANCELED;
	task->runs_left--;
	printf("%-5s step %u of %u, %" PRIu64 " us late\n", task->name,
		task->runs - task->runs_left, task->runs, wake->late);
	return task->runs_left ? task_sleep(t, task) : 0;
}

/* A thread with a clone of the handle and a task to start. */
struct starter {
	toytimer *timer;
	struct task task;
	pthread_t thread;
	int error;
};

static void *starter_main(void *userdata)
{
	struct starter *starter = userdata;

	starter->error = task_sleep(starter->timer, &starter->task);
	toytimer_unref(starter->timer);
	return NULL;
}

int main(int argc, char **argv)
{
	struct starter starters[] = {
		{.task = {"blink", 100000, 10, 10}},
		{.task = {"poll", 250000, 4, 4}},
		{.task = {"tidy", 500000, 2, 2}},
	};
	const size_t n = sizeof(starters) / sizeof(starters[0]);
	toytimer *t = NULL;
	int error = toytimer_open(&t, argc > 1 ? argv[1] : NULL);

	for (size_t i = 0; i < n && error == 0; i++) {
		starters[i].timer = toytimer_ref(t);
		if (pthread_create(&starters[i].thread, NULL, starter_main, &starters[i]) != 0)
			return 1;
	}
	for (size_t i = 0; i < n && t; i++) {
		pthread_join(starters[i].thread, NULL);
		error = error ? error : starters[i].error;
	}
	/* The loop: until no task has a wake to wait for. */
	if (error == 0)
		error = toytimer_run(t);
	if (error < 0)
		fprintf(stderr, "%s\n", toytimer_strerror(error));
	toytimer_unref(t);
	return error < 0;
}
