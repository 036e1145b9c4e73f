/* SPDX-License-Identifier: MIT */
/* A handler jumps out of the library. The next event comes as usual. */
#include <setjmp.h>
#include <toytimer.h>

static jmp_buf target;
static int wakes;

static int woken(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t;
	(void)event;
	(void)userdata;
	wakes++;
	longjmp(target, 1);
}

int main(void)
{
	static toytimer_registration r = {
		.due = 1000, .flags = TOYTIMER_RELATIVE, .handler = woken};
	static toytimer *t;

	if (toytimer_open(&t, NULL) < 0 || toytimer_register(t, &r, NULL) < 0 ||
		toytimer_register(t, &r, NULL) < 0)
		return 1;
	(void)setjmp(target);
	if (toytimer_run(t) != 0 || wakes != 2)
		return 2;
	toytimer_unref(t);
	return 0;
}
