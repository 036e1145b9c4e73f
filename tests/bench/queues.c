/* SPDX-License-Identifier: MIT */
#include "queues.h"

#include "bench.h"

toytimer_queue *queues_open(const char *path)
{
	toytimer_queue *q;
	int r = toytimer_queue_open(&q, path, 0);

	if (r < 0)
		bench_die("toytimer_queue_open", r);
	toytimer_queue_set_timeout(q, TOYTIMER_FOREVER);
	return q;
}
