/* SPDX-License-Identifier: MIT */
/* A dead-man switch: while this program lives, it puts off an alarm that is a second away. Once it
 * is killed, whoever consumes the queue "alarms" is woken. */
#include <stdio.h>
#include <toytimer-queue.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	toytimer_queue_timer alarm = {.due = 1000000,
		.flags = TOYTIMER_RELATIVE,
		.clock = TOYTIMER_BOOTTIME,
		.key = "backup",
		.payload = "backup has died",
		.payload_size = 15};
	toytimer_queue *q;
	int error = toytimer_queue_open(&q, argc > 1 ? argv[1] : NULL, 0);

	/* The key is unique in its queue: each put replaces the one before it. */
	for (; error == 0; usleep(300000))
		error = toytimer_queue_put(q, "alarms", &alarm, NULL);
	fprintf(stderr, "%s\n", toytimer_queue_strerror(error));
	return 1;
}
