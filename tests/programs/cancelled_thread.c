/* SPDX-License-Identifier: MIT */
/* A thread is cancelled in toytimer_run(), and another one between calls that are answered at once.
 * The handle serves the first thread as before. */
#include <pthread.h>
#include <toytimer.h>
#include <unistd.h>

static void *run(void *t)
{
	toytimer_run(t);
	return NULL;
}

static void *ask(void *t)
{
	toytimer_status status;

	while (toytimer_get_status(t, &status) == 0)
		;
	return NULL;
}

static int cancelled(void *(*start)(void *), toytimer *t)
{
	pthread_t thread;
	void *result;

	pthread_create(&thread, NULL, start, t);
	usleep(50000);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	return result == PTHREAD_CANCELED;
}

int main(void)
{
	toytimer_registration r = {.due = 3600000000u, .flags = TOYTIMER_RELATIVE};
	uint64_t timer;
	toytimer *t;

	if (toytimer_open(&t, NULL) < 0 || toytimer_register(t, &r, &timer) < 0)
		return 1;
	if (!cancelled(run, t) || !cancelled(ask, t) || toytimer_cancel(t, timer) != 0)
		return 2;
	r.due = 1000;
	if (toytimer_register(t, &r, NULL) < 0 || toytimer_run(t) != 0)
		return 3;
	toytimer_unref(t);
	return 0;
}
