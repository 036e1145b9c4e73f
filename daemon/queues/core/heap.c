/* SPDX-License-Identifier: MIT */
#include "heap.h"

#include <errno.h>
#include <stdlib.h>

#include "proto.h"

int heap_reserve(struct heap *h, size_t room)
{
	size_t more = h->room ? h->room : 64;
	struct heap_node **nodes;

	if (room <= h->room)
		return 0;
	while (more < room)
		more *= 2;
	nodes = realloc(h->nodes, (more + 1) * sizeof(struct heap_node *));
	if (!nodes)
		return -ENOMEM;
	h->nodes = nodes;
	h->room = more;
	return 0;
}

void heap_free(struct heap *h)
{
	free(h->nodes);
	*h = (struct heap){0};
}

static void place(struct heap *h, size_t at, struct heap_node *node)
{
	h->nodes[at] = node;
	node->at = at;
}

static void sift(struct heap *h, struct heap_node *node)
{
	size_t at = node->at;

	for (; at > 1 && h->nodes[at / 2]->key > node->key; at /= 2)
		place(h, at, h->nodes[at / 2]);
	for (;;) {
		size_t child = 2 * at;

		if (child < h->count && h->nodes[child + 1]->key < h->nodes[child]->key)
			child++;
		if (child > h->count || h->nodes[child]->key >= node->key)
			break;
		place(h, at, h->nodes[child]);
		at = child;
	}
	place(h, at, node);
}

void heap_set(struct heap *h, struct heap_node *node, uint64_t key)
{
	if (key == node->key && node->at)
		return;
	node->key = key;
	if (key != PROTO_FOREVER) {
		if (!node->at)
			place(h, ++h->count, node);
		sift(h, node);
	} else if (node->at) {
		struct heap_node *last = h->nodes[h->count--];

		if (last != node) {
			place(h, node->at, last);
			sift(h, last);
		}
		node->at = 0;
	}
}
