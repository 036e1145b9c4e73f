/* SPDX-License-Identifier: MIT */
/* The queues that a client has opened, under the client's own numbers. */
#pragma once

#include "state.h"

/* The queue that a client means by a number of its own; NULL: it has opened no such queue. The
 * pointer is valid until the client opens another queue. O(1). */
struct opened *opened_of(const struct client *client, uint32_t number);

/* Makes room for one more queue. Return: false: no memory. */
bool opened_reserve(struct broker *b, struct client *client);

/* Gives a reference to the list back; with the last one the store's references to the queues go,
 * too. NULL is allowed. Return: NULL. */
struct opened_list *opened_unref(struct opened_list *opened);
