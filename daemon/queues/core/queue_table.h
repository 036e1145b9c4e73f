/* SPDX-License-Identifier: MIT */
/* The queues in memory by the store's number, and the list of queues that the next turn updates. */
#pragma once

#include "state.h"

/* The queue in memory of that number; NULL: none is. O(1). */
struct queue *queue_find(const struct broker *b, uint32_t number);

/* Makes room for one more queue. Return: false: no memory. */
bool queue_table_reserve(struct broker *b);

/* Adds a queue, for which the caller has made room; removes it. */
void queue_table_enter(struct broker *b, struct queue *queue);
void queue_table_remove(struct broker *b, struct queue *queue);

/* The queue has changed: the next turn updates it. O(1). */
void queue_touch(struct queue *queue);
