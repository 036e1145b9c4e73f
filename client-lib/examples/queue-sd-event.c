/* SPDX-License-Identifier: MIT */
/*
 * How to use durable queues in an existing event loop, here that of sd-event; see sd-event.c. The
 * program puts three timers without waiting for the answers, consumes them, and exits after the
 * third wake. The first argument may name a socket.
 */
#include <stdio.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>
#include <toytimer-queue.h>

static unsigned int left = 3;

static int stored(toytimer_queue *q, const toytimer_queue_stored *s, void *userdata)
{
	(void)q;
	return s->error ? sd_event_exit(userdata, s->error) : 0;
}

static int woken(toytimer_queue *q, const toytimer_wake *wake, void *userdata)
{
	printf("%.*s, %llu us late\n", (int)wake->payload_size, (const char *)wake->payload,
		(unsigned long long)wake->late);
	/* Waits for the last acknowledgement, so that all are stored when the program exits. */
	if (--left)
		return toytimer_queue_ack_async(q, &wake->ref);
	sd_event_exit(userdata, 0);
	return toytimer_queue_ack(q, &wake->ref);
}

/* Processes all events, so that the descriptor is not readable until there are more. */
static int ready(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	int r;

	(void)fd, (void)revents;
	do
		r = toytimer_queue_process(userdata);
	while (r > 0);
	return r < 0 ? sd_event_exit(sd_event_source_get_event(source), r) : 0;
}

int main(int argc, char **argv)
{
	toytimer_queue_timer timer = {
		.flags = TOYTIMER_RELATIVE,
		.clock = TOYTIMER_BOOTTIME,
		.payload = "hello",
		.payload_size = 5,
	};
	toytimer_queue_consumer consumer = {.window = 10, .handler = woken};
	toytimer_queue *q = NULL;
	sd_event *loop = NULL;
	int error = sd_event_default(&loop);

	consumer.userdata = loop;
	if (error >= 0)
		error = toytimer_queue_open(&q, argc > 1 ? argv[1] : NULL, 0);
	if (error >= 0)
		error = sd_event_add_io(loop, NULL, toytimer_queue_get_fd(q),
			(uint32_t)toytimer_queue_get_events(q), ready, q);
	if (error >= 0)
		error = toytimer_queue_consume(q, "greetings", &consumer);
	for (unsigned int i = 1; i <= 3 && error >= 0; i++) {
		timer.due = i * UINT64_C(100000);
		error = toytimer_queue_put_async(q, "greetings", &timer, stored, loop);
	}
	if (error >= 0)
		error = sd_event_loop(loop);
	if (error < 0)
		fprintf(stderr, "%s\n", toytimer_queue_strerror(error));
	toytimer_queue_unref(q);
	sd_event_unref(loop);
	return error < 0;
}
