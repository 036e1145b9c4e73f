/* SPDX-License-Identifier: MIT */
#include "windows.h"

#include "heap.h"
#include "list.h"
#include "queue_table.h"

static bool has_room(const struct consumer *c)
{
	return c->used < c->window && !c->client->blocked && !c->client->closing;
}

void window_update(struct consumer *c)
{
	struct link *list = has_room(c) ? &c->queue->with_room : &c->queue->full;

	link_move(list, &c->of_queue);
	queue_touch(c->queue);
}

void windows_update(struct client *client)
{
	for (struct consumer *c = client->consumers; c; c = c->next_of_client)
		window_update(c);
}

void window_arm(struct broker *b, struct consumer *c)
{
	const struct wake *oldest = LINK_OWNER(c->unacked.next, struct wake, link);
	bool waits = c->ack_within && !link_is_empty(&c->unacked);

	/* Both are at most INT64_MAX. */
	heap_set(&b->overdue, &c->overdue,
		waits ? oldest->sent_real + c->ack_within : PROTO_FOREVER);
}
