/* SPDX-License-Identifier: MIT */
/*
 * Packets on their way, and the two queues of a socket, one for each direction, with a bounded
 * number of packets. A packet never changes once it is made. Worlds share packets by counting
 * references, so a world is copied by copying pointers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct packet {
	uint32_t references;
	uint32_t size;
	uint8_t bytes[];
};

/* Aborts where there is no memory: a test has no use for going on without. */
struct packet *packet_new(const void *bytes, size_t size);
struct packet *packet_ref(struct packet *packet);

/* NULL does nothing. Returns NULL. */
struct packet *packet_unref(struct packet *packet);

#define QUEUE_MAX 8

struct queue {
	struct packet *packets[QUEUE_MAX];
	uint32_t first, count;
};

/* Takes a reference of its own. Return: false where it is full. */
bool queue_push(struct queue *queue, struct packet *packet);

/* The first packet, its reference now the caller's; NULL: there is none. */
struct packet *queue_pop(struct queue *queue);

void queue_clear(struct queue *queue);

/* The queue was copied byte by byte: counts the copy's references. */
void queue_copied(struct queue *queue);
