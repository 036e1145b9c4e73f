/* SPDX-License-Identifier: MIT */
#include "changes.h"

#include <stdlib.h>

struct change *changes_add(struct broker *b, enum store_change_type type)
{
	struct change *change = calloc(1, sizeof(*change));

	if (!change)
		return NULL;
	change->c.type = type;
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
		change->c.now[i] = b->now.at[i] + b->now.uncertainty;
	*(b->last ? &b->last->next : &b->first) = change;
	b->last = change;
	return change;
}
