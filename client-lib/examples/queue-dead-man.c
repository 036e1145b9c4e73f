/* SPDX-License-Identifier: MIT */
/*
 * A dead-man switch. While this program runs, it puts off an alarm that is due in a second. After
 * the program dies, the alarm wakes the consumer of the queue "alarms". The first argument may name
 * a socket.
 */
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

	/* The key is unique in its queue: each put replaces the timer of the last put. */
	for (; error == 0; usleep(300000))
		error = toytimer_queue_put(q, "alarms", &alarm, NULL);
	fprintf(stderr, "%s\n", toytimer_queue_strerror(error));
	return 1;
}
