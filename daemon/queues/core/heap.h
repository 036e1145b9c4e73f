/* SPDX-License-Identifier: MIT */
/*
 * Binary heaps of instants, to find the first of thousands of lanes or consumers. A node is a
 * member of its owner. Room is reserved when an owner is made, so that setting a key never fails.
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

/* Makes room for `room` nodes. All zero is an empty heap. Return: 0; -ENOMEM: nothing has changed.
 * */
int heap_reserve(struct heap *h, size_t room);
/* Frees the heap's memory, not the nodes. */
void heap_free(struct heap *h);

/* Sets the key of a node: adds the node to the heap, or moves it there. PROTO_FOREVER removes it.
 * The caller has reserved room. O(log n). */
void heap_set(struct heap *h, struct heap_node *node, uint64_t key);

/* The node with the smallest key; NULL: there is none. O(1). */
static inline struct heap_node *heap_first(const struct heap *h)
{
	return h->count ? h->nodes[1] : NULL;
}
