/* SPDX-License-Identifier: MIT */
/*
 * How to use libtoytimer in an existing event loop, here that of sd-event. The handle's descriptor
 * is one event source of the loop. It stays the same when the daemon restarts. The first argument
 * may name a socket.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>
#include <toytimer.h>

static int woken(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t;
	if (event->type != TOYTIMER_WOKEN) /* refused or cancelled */
		return sd_event_exit(userdata, event->error ? event->error : -ECANCELED);
	printf("woken, %" PRIu64 " us late\n", event->late);
	return event->last ? sd_event_exit(userdata, 0) : 0;
}

/* Processes all events, so that the descriptor is not readable until there are more. An error ends
 * the loop explicitly: if this function returned it, sd-event would only disable the source. */
static int ready(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	int r;

	(void)fd, (void)revents;
	do
		r = toytimer_process(userdata);
	while (r > 0);
	return r < 0 ? sd_event_exit(sd_event_source_get_event(source), r) : 0;
}

int main(int argc, char **argv)
{
	toytimer_registration r = {
		.due = 200000,
		.every = 200000,
		.count = 5,
		.flags = TOYTIMER_RELATIVE,
		.label = "sd-event",
		.handler = woken,
	};
	sd_event *loop = NULL;
	toytimer *t = NULL;
	int error = sd_event_default(&loop);

	if (error >= 0)
		error = toytimer_open(&t, argc > 1 ? argv[1] : NULL);
	if (error >= 0)
		error = sd_event_add_io(
			loop, NULL, toytimer_get_fd(t), (uint32_t)toytimer_get_events(t), ready, t);
	r.userdata = loop;
	if (error >= 0)
		error = toytimer_register(t, &r, NULL);
	if (error >= 0)
		error = sd_event_loop(loop);
	if (error < 0)
		fprintf(stderr, "%s\n", toytimer_strerror(error));
	toytimer_unref(t);
	sd_event_unref(loop);
	return error < 0;
}
