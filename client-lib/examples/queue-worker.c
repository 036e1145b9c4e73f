/* SPDX-License-Identifier: MIT */
/*
 * A worker: it consumes the queue "mail" and acknowledges each wake that it has handled. A wake
 * that it fails to handle comes again after a second. The key "stop" ends it. The first argument
 * may name a socket.
 */
#include <stdio.h>
#include <string.h>
#include <toytimer-queue.h>

/* The payload says what to do. It has no terminating 0. */
static int handle_wake(const toytimer_wake *wake)
{
	printf("%.*s, attempt %u, %llu us late\n", (int)wake->payload_size,
		(const char *)wake->payload, wake->attempt, (unsigned long long)wake->late);
	return strcmp(wake->key, "fragile") == 0 && wake->attempt == 1 ? -1 : 0;
}

static int woken(toytimer_queue *q, const toytimer_wake *wake, void *userdata)
{
	(void)userdata;
	if (handle_wake(wake) < 0)
		return toytimer_queue_retry(q, &wake->ref, 1000000);
	if (strcmp(wake->key, "stop") == 0)
		toytimer_queue_stop(q);
	/* When this returns 0, the acknowledgement is on disk, and the wake never comes again. */
	return toytimer_queue_ack(q, &wake->ref);
}

int main(int argc, char **argv)
{
	toytimer_queue_consumer consumer = {.window = 10, .handler = woken};
	toytimer_queue *q = NULL;
	int error = toytimer_queue_open(&q, argc > 1 ? argv[1] : NULL, 0);

	if (error == 0)
		error = toytimer_queue_consume(q, "mail", &consumer);
	if (error == 0)
		error = toytimer_queue_run(q);
	if (error < 0)
		fprintf(stderr, "%s\n", toytimer_queue_strerror(error));
	toytimer_queue_unref(q);
	return error < 0;
}
