/* SPDX-License-Identifier: MIT */
#include "postgres_order.h"

#include <stdlib.h>

static uint64_t mix(uint64_t hash, const void *bytes, size_t size)
{
	const uint8_t *p = bytes;

	/* FNV-1a. */
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/* A hash of what a change names; 0: it names nothing that another change could name. */
static uint64_t name_of(const struct store_change *c)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	if (c->timer.key_size)
		return mix(mix(hash, &c->timer.queue, sizeof(c->timer.queue)), c->timer.key,
			       c->timer.key_size) |
			1;
	return c->type == STORE_PUT ? 0 : mix(hash, &c->timer.id, sizeof(c->timer.id)) | 1;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x == *y ? 0 : *x < *y ? -1 : 1;
}

bool pg_order_matters(struct store_change *const *changes, size_t count)
{
	uint64_t *names = calloc(count, sizeof(*names));
	size_t n = 0;
	bool found = !names;

	for (size_t i = 0; i < count && names; i++) {
		names[n] = name_of(changes[i]);
		n += names[n] != 0;
	}
	if (n > 1)
		qsort(names, n, sizeof(*names), compare);
	for (size_t i = 1; i < n && !found; i++)
		found = names[i] == names[i - 1];
	free(names);
	return found;
}
