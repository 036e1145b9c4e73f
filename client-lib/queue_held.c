/* SPDX-License-Identifier: MIT */
#include "queue_held.h"

#include <stdlib.h>

#define ROOM_LEAST 64

static size_t bucket_of(const toytimer_wake_ref *ref, size_t room)
{
	uint64_t hash = (ref->id * 31 + ref->number) * UINT64_C(0x9e3779b97f4a7c15);

	return (size_t)((hash >> 32) + ref->queue) & (room - 1);
}

void helds_destroy(struct helds *helds)
{
	for (size_t i = 0; i < helds->room; i++)
		while (helds->buckets[i]) {
			struct held *held = helds->buckets[i];

			helds->buckets[i] = held->next;
			free(held);
		}
	free(helds->buckets);
	*helds = (struct helds){0};
}

struct held *helds_find(const struct helds *helds, const toytimer_wake_ref *ref)
{
	struct held *held = helds->room ? helds->buckets[bucket_of(ref, helds->room)] : NULL;

	while (held &&
		(held->ref.id != ref->id || held->ref.number != ref->number ||
			held->ref.queue != ref->queue))
		held = held->next;
	return held;
}

/* Without memory the number of buckets stays, and their lists get longer. */
static void grow(struct helds *helds)
{
	size_t room = helds->room ? 2 * helds->room : ROOM_LEAST;
	struct held **buckets = calloc(room, sizeof(struct held *));

	if (!buckets)
		return;
	for (size_t i = 0; i < helds->room; i++)
		while (helds->buckets[i]) {
			struct held *held = helds->buckets[i];
			size_t bucket = bucket_of(&held->ref, room);

			helds->buckets[i] = held->next;
			held->next = buckets[bucket];
			buckets[bucket] = held;
		}
	free(helds->buckets);
	helds->buckets = buckets;
	helds->room = room;
}

struct held *helds_add(struct helds *helds, const toytimer_wake_ref *ref)
{
	struct held *held;
	size_t bucket;

	if (helds->count >= helds->room)
		grow(helds);
	held = helds->room ? calloc(1, sizeof(*held)) : NULL;
	if (!held)
		return NULL;
	held->ref = *ref;
	bucket = bucket_of(ref, helds->room);
	held->next = helds->buckets[bucket];
	helds->buckets[bucket] = held;
	helds->count++;
	return held;
}

static void unlink_acked(struct helds *helds, struct held *held)
{
	if (held->state != HELD_ACKED)
		return;
	*(held->newer ? &held->newer->older : &helds->newest) = held->older;
	*(held->older ? &held->older->newer : &helds->oldest) = held->newer;
	held->newer = held->older = NULL;
	helds->acked--;
}

void helds_set_state(struct helds *helds, struct held *held, enum held_state state)
{
	unlink_acked(helds, held);
	held->state = state;
	if (state != HELD_ACKED)
		return;
	held->older = helds->newest;
	*(helds->newest ? &helds->newest->newer : &helds->oldest) = held;
	helds->newest = held;
	if (++helds->acked > HELD_ACKED_MAX)
		helds_remove(helds, helds->oldest);
}

void helds_remove(struct helds *helds, struct held *held)
{
	struct held **at = &helds->buckets[bucket_of(&held->ref, helds->room)];

	unlink_acked(helds, held);
	while (*at != held)
		at = &(*at)->next;
	*at = held->next;
	helds->count--;
	free(held);
}

void helds_forget_queue(struct helds *helds, uint32_t queue)
{
	for (size_t i = 0; i < helds->room; i++)
		for (struct held *held = helds->buckets[i], *next; held; held = next) {
			next = held->next;
			if (held->ref.queue == queue && held->state == HELD_BY_USER)
				helds_remove(helds, held);
		}
}
