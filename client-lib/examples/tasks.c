/* SPDX-License-Identifier: MIT */
/*
 * A toy event loop for tasks. A task does a little work, asks for its next wake and returns. One
 * loop sleeps for all tasks and runs each task that is woken. Threads start the tasks: each thread
 * has a reference to the handle. If two tasks ask for the same instant, they run in the order in
 * which they asked.
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
	unsigned int runs_remaining;
};

static int task_run(toytimer *t, const toytimer_event *wake, void *userdata);

/* Asks for the next run of a task, after its pause. */
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

/* A wake runs the task's next step. The loop's thread runs all tasks, so a task never waits. */
static int task_run(toytimer *t, const toytimer_event *wake, void *userdata)
{
	struct task *task = userdata;

	if (wake->type != TOYTIMER_WOKEN)
		return wake->error ? wake->error : -ECANCELED;
	task->runs_remaining--;
	printf("%-5s step %u of %u, %" PRIu64 " us late\n", task->name,
		task->runs - task->runs_remaining, task->runs, wake->late);
	return task->runs_remaining ? task_sleep(t, task) : 0;
}

/* A thread that starts a task. */
struct starter {
	toytimer *t; /* a reference that the thread owns */
	struct task task;
	pthread_t thread;
	int error;
};

static void *starter_main(void *userdata)
{
	struct starter *starter = userdata;

	starter->error = task_sleep(starter->t, &starter->task);
	toytimer_unref(starter->t);
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
		starters[i].t = toytimer_ref(t);
		if (pthread_create(&starters[i].thread, NULL, starter_main, &starters[i]) != 0)
			return 1;
	}
	for (size_t i = 0; i < n && t; i++) {
		pthread_join(starters[i].thread, NULL);
		error = error ? error : starters[i].error;
	}
	/* The loop ends when no task waits for a wake. */
	if (error == 0)
		error = toytimer_run(t);
	if (error < 0)
		fprintf(stderr, "%s\n", toytimer_strerror(error));
	toytimer_unref(t);
	return error < 0;
}
