/* SPDX-License-Identifier: MIT */
/* A thread is cancelled in toytimer_run(). The handle serves the other thread as before. */
#include <pthread.h>
#include <toytimer.h>
#include <unistd.h>

static void *run(void *t)
{
	toytimer_run(t);
	return NULL;
}

int main(void)
{
	toytimer_registration r = {.due = 3600000000u, .flags = TOYTIMER_RELATIVE};
	uint64_t timer;
	pthread_t thread;
	toytimer *t;
	void *result;

	if (toytimer_open(&t, NULL) < 0 || toytimer_register(t, &r, &timer) < 0)
		return 1;
	pthread_create(&thread, NULL, run, t);
	usleep(50000);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	if (result != PTHREAD_CANCELED || toytimer_cancel(t, timer) != 0)
		return 2;
	r.due = 1000;
	if (toytimer_register(t, &r, NULL) < 0 || toytimer_run(t) != 0)
		return 3;
	toytimer_unref(t);
	return 0;
}
