/* SPDX-License-Identifier: MIT */
#include "locked.h"

#include <stdlib.h>
#include <string.h>

/* The time between two attempts, and the time after which a client's change is refused.
 * Microseconds. */
#define AGAIN_US    UINT64_C(250000)
#define PATIENCE_US UINT64_C(4000000)

static bool waits_for(const struct broker *b, uint32_t queue)
{
	return queue / 8 < b->locked_room && b->locked_queues[queue / 8] & 1u << queue % 8;
}

/* Notes that changes of the queue wait. If memory runs out, later changes of the queue may overtake
 * them. */
static void note_queue(struct broker *b, uint32_t queue)
{
	size_t room = queue / 8 + 64;
	uint8_t *bits;

	if (queue / 8 >= b->locked_room) {
		bits = realloc(b->locked_queues, room);
		if (!bits)
			return;
		memset(bits + b->locked_room, 0, room - b->locked_room);
		b->locked_queues = bits;
		b->locked_room = room;
	}
	b->locked_queues[queue / 8] |= (uint8_t)(1u << queue % 8);
}

static void add(struct broker *b, struct change *change)
{
	change->next = NULL;
	change->locked_at = change->locked_at ?: b->now.real;
	*(b->locked ? &b->last_locked->next : &b->locked) = change;
	b->last_locked = change;
	note_queue(b, change->c.timer.queue);
}

struct change *locked_keep(struct broker *b, struct change *list)
{
	struct change *change = list, *next, **at = &list;

	for (; change; change = next) {
		next = change->next;
		if (change->c.locked &&
			(change->wake || !change->locked_at ||
				b->now.real < change->locked_at + PATIENCE_US)) {
			b->retry_locked = b->now.real + AGAIN_US;
			add(b, change);
			*at = next;
		} else {
			at = &change->next;
		}
	}
	return list;
}

/* Finds the end of the put packet that begins with this change; if it belongs to no put packet, the
 * end of the change. ret_waits: whether a queue of these changes has waiting changes. Return: the
 * first change after them. */
static struct change *end_of(struct change *change, bool *ret_waits, const struct broker *b)
{
	const struct request *put = change->request && change->request->is_put ? change->request
									       : NULL;
	struct change *end = change;

	*ret_waits = false;
	do {
		*ret_waits = *ret_waits || waits_for(b, end->c.timer.queue);
		end = end->next;
	} while (end && put && end->request == put);
	return end;
}

/* Takes the changes that must not overtake waiting changes off broker::first. The changes of a put
 * packet stay together. */
static void sift(struct broker *b)
{
	struct change *change = b->first, **at = &b->first, *last = NULL;
	bool waits;

	while (change) {
		struct change *end = end_of(change, &waits, b), *next;

		for (; change != end; change = next) {
			next = change->next;
			if (waits) {
				add(b, change);
				*at = next;
			} else {
				at = &change->next;
				last = change;
			}
		}
	}
	b->last = last;
}

void locked_sift(struct broker *b)
{
	if (!b->locked)
		return;
	if (b->now.real < b->retry_locked) {
		sift(b);
		return;
	}
	b->last_locked->next = b->first;
	b->last = b->first ? b->last : b->last_locked;
	b->first = b->locked;
	b->locked = b->last_locked = NULL;
	if (b->locked_queues) /* NULL: there was no memory for it */
		memset(b->locked_queues, 0, b->locked_room);
}
