/* SPDX-License-Identifier: MIT */
/* Queues in memory: which of them have something to do, and when. */
#pragma once

#include "state.h"

/* The queue of that number, or a new one of that user. Return: NULL: no memory. */
struct queue *queue_get(struct broker *b, uint32_t number, uint32_t uid);

/* The queue has no consumer: forgets what is loaded, and frees the queue once nothing is under way
 * for it. */
void queue_release(struct broker *b, struct queue *queue);

/* Frees a queue without consumers, whose wakes are freed. The store may be closed. */
void queue_free(struct broker *b, struct queue *queue);

/* Looks at a slice of the queues that changed or whose time has come. Return: whether there are
 * more. */
bool queues_look(struct broker *b);

/* Of the lanes' first wakes the one that has been ready for longest; NULL: none is ready, or an
 * older one is being read. O(1). */
struct wake *queue_oldest(const struct broker *b, const struct queue *queue);

/* Whether the queue may deliver, as far as its consumers go. O(1). */
bool queue_is_open(const struct queue *queue);

/* Whether the queue may deliver now, as far as its lease goes; always so on one host. */
bool queue_may_deliver(const struct broker *b, const struct queue *queue);

/* Gives the queue a turn. */
void queue_activate(struct broker *b, struct queue *queue);
