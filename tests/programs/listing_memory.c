/* SPDX-License-Identifier: MIT */
/* Listing many timers takes no more memory than a page of them. Prints the figure, in kB. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <toytimer.h>
#include <unistd.h>

#define TIMERS 100000

static int count(const toytimer_listed *listed, void *userdata)
{
	(void)listed;
	++*(long *)userdata;
	return 0;
}

/* The peak of this program alone: ru_maxrss would include the time before exec(). */
static long peak(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[128];
	long kb = -1;

	while (f && fgets(line, sizeof(line), f) && sscanf(line, "VmHWM: %ld kB", &kb) != 1)
		;
	if (f)
		fclose(f);
	return kb;
}

static int list(void)
{
	long n = 0, before;
	toytimer *t;

	if (toytimer_open(&t, NULL) < 0)
		return 3;
	before = peak();
	if (toytimer_list(t, 0, count, &n) != 0 || n != TIMERS)
		return 4;
	toytimer_unref(t);
	printf("# listing %d timers takes %ld kB\n", TIMERS, peak() - before);
	return before > 0 && peak() - before < 2048 ? 0 : 5;
}

/* This process registers timers. It starts itself again as a process without timers, which lists
 * them. */
int main(int argc, char **argv)
{
	toytimer_registration *r;
	toytimer *t;
	int status;

	if (argc > 1)
		return list();
	r = calloc(TIMERS, sizeof(*r));
	for (int i = 0; r && i < TIMERS; i++) {
		r[i].due = 3600000000u;
		r[i].flags = TOYTIMER_RELATIVE;
	}
	if (!r || toytimer_open(&t, NULL) < 0 ||
		toytimer_register_many(t, r, TIMERS, NULL, NULL) != TIMERS)
		return 1;
	free(r);
	if (fork() == 0) {
		execl(argv[0], argv[0], "list", NULL);
		_exit(2);
	}
	wait(&status);
	toytimer_unref(t);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 6;
}
