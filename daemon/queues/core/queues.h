/* SPDX-License-Identifier: MIT */
/* Queues in memory: which of them have something to do, and when. */
#pragma once

#include "state.h"

/* The queue of that number, or a new one of that user. Return: NULL: no memory. */
struct queue *queue_get(struct broker *b, uint32_t number, uint32_t uid);

/* The queue has no consumer any more: drops its loaded wakes, and frees the queue when nothing is
 * under way for it. */
void queue_release(struct broker *b, struct queue *queue);

/* Frees a queue without consumers and without wakes. The store may be closed. */
void queue_free(struct broker *b, struct queue *queue);

/* Updates a slice of the queues that have changed or in which a wake has become ready. Return:
 * whether there are more. */
bool queues_touch_due(struct broker *b);

/* The wake of the queue that has been ready for longest; NULL: none is ready, or an older one is
 * being loaded. O(1). */
struct wake *queue_oldest(const struct broker *b, const struct queue *queue);

/* Whether the queue has a consumer with room in its window. O(1). */
bool queue_is_open(const struct queue *queue);

/* Whether the queue's lease allows to deliver now; always on one host. */
bool queue_may_deliver(const struct broker *b, const struct queue *queue);

/* Gives the queue a turn. */
void queue_activate(struct broker *b, struct queue *queue);
