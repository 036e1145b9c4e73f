/* SPDX-License-Identifier: MIT */
/*
 * Binary heaps of instants: which lane, or which consumer, comes first among thousands. A node lies
 * in its owner. Room is reserved when an owner is made, so that setting a key never fails.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct heap_node {
	uint64_t key;
	size_t at; /* its index in heap::nodes; 0: it is in no heap */
};

struct heap {
	struct heap_node **nodes; /* nodes[0] is not used */
	size_t count, room;
};

/* Makes room for so many nodes. A heap begins as zero. Return: 0; -ENOMEM: nothing has changed. */
int heap_reserve(struct heap *h, size_t room);
/* Frees the heap's memory, not the nodes. */
void heap_free(struct heap *h);

/* Gives a node a key: it enters the heap, or moves in it. PROTO_FOREVER takes it out. Room was
 * reserved. O(log n). */
void heap_set(struct heap *h, struct heap_node *node, uint64_t key);

/* The node with the smallest key; NULL: there is none. O(1). */
static inline struct heap_node *heap_first(const struct heap *h)
{
	return h->count ? h->nodes[1] : NULL;
}
