/* SPDX-License-Identifier: MIT */
/* The shortest program: it is woken after one second. The first argument may name a socket. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <toytimer.h>

static int woken(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t, (void)userdata;
	if (event->type != TOYTIMER_WOKEN) /* refused or cancelled */
		return event->error ? event->error : -ECANCELED;
	return printf("woken, %" PRIu64 " us late\n", event->late) < 0 ? -EIO : 0;
}

int main(int argc, char **argv)
{
	toytimer_registration r = {.due = 1000000, .flags = TOYTIMER_RELATIVE, .handler = woken};
	toytimer *t = NULL;
	int error = toytimer_open(&t, argc > 1 ? argv[1] : NULL);

	if (error == 0)
		error = toytimer_register(t, &r, NULL);
	if (error == 0)
		error = toytimer_run(t);
	if (error < 0)
		fprintf(stderr, "%s\n", toytimer_strerror(error));
	toytimer_unref(t);
	return error < 0;
}
