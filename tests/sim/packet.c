/* SPDX-License-Identifier: MIT */
/*
 * Packets that count their references, and the rings that hold them.
 */
#include "packet.h"

#include <stdlib.h>
#include <string.h>

struct packet *packet_new(const void *bytes, size_t size)
{
	struct packet *packet = malloc(sizeof(*packet) + size);

	if (!packet)
		abort();
	packet->references = 1;
	packet->size = (uint32_t)size;
	memcpy(packet->bytes, bytes, size);
	return packet;
}

struct packet *packet_ref(struct packet *packet)
{
	packet->references++;
	return packet;
}

struct packet *packet_unref(struct packet *packet)
{
	if (packet && --packet->references == 0)
		free(packet);
	return NULL;
}

bool queue_push(struct queue *queue, struct packet *packet)
{
	if (queue->count == QUEUE_MAX)
		return false;
	queue->packets[(queue->first + queue->count++) % QUEUE_MAX] = packet_ref(packet);
	return true;
}

struct packet *queue_pop(struct queue *queue)
{
	struct packet *packet;

	if (!queue->count)
		return NULL;
	packet = queue->packets[queue->first];
	queue->first = (queue->first + 1) % QUEUE_MAX;
	queue->count--;
	return packet;
}

void queue_clear(struct queue *queue)
{
	while (queue->count)
		packet_unref(queue_pop(queue));
}

void queue_copied(struct queue *queue)
{
	for (uint32_t i = 0; i < queue->count; i++)
		packet_ref(queue->packets[(queue->first + i) % QUEUE_MAX]);
}
