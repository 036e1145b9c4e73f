/* SPDX-License-Identifier: MIT */
#include "queue_table.h"

#include <stdlib.h>

#include "list.h"

struct queue *queue_find(const struct broker *b, uint32_t number)
{
	struct queue *queue = b->queue_room ? b->queues[number & (b->queue_room - 1)] : NULL;

	while (queue && queue->number != number)
		queue = queue->next;
	return queue;
}

void queue_table_enter(struct broker *b, struct queue *queue)
{
	struct queue **slot = &b->queues[queue->number & (b->queue_room - 1)];

	queue->next = *slot;
	*slot = queue;
}

bool queue_table_reserve(struct broker *b)
{
	size_t before = b->queue_room, room = before ? 2 * before : 64;
	struct queue **old = b->queues, **queues;

	if (b->queue_count < before)
		return true;
	queues = calloc(room, sizeof(*queues));
	if (!queues)
		return before > 0; /* longer chains */
	b->queues = queues;
	b->queue_room = room;
	for (size_t i = 0; i < before; i++)
		while (old[i]) {
			struct queue *queue = old[i];

			old[i] = queue->next;
			queue_table_enter(b, queue);
		}
	free(old);
	return true;
}

void queue_table_remove(struct broker *b, struct queue *queue)
{
	struct queue **at = &b->queues[queue->number & (b->queue_room - 1)];

	while (*at != queue)
		at = &(*at)->next;
	*at = queue->next;
}

void queue_touch(struct queue *queue)
{
	if (link_is_empty(&queue->dirty))
		link_insert(&queue->broker->dirty, &queue->dirty);
}
