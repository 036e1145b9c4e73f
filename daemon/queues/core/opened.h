/* SPDX-License-Identifier: MIT */
/* The queues that a client has opened, under the client's own numbers. */
#pragma once

#include "state.h"

/* The queue that the client has opened under this number; NULL: there is none. The pointer is valid
 * until the client opens another queue. O(1). */
struct opened *opened_of(const struct client *client, uint32_t number);

/* Makes room for one more queue. Return: false: no memory. */
bool opened_reserve(struct broker *b, struct client *client);

/* Drops a reference to the list. The last one also drops the store's references to the queues. NULL
 * is allowed. Return: NULL. */
struct opened_list *opened_unref(struct opened_list *opened);
