/* SPDX-License-Identifier: MIT */
#include "opened.h"

#include <stdlib.h>

struct opened *opened_of(const struct client *client, uint32_t number)
{
	const struct opened_list *opened = client->opened;

	return opened && number >= 1 && number <= opened->count ? &opened->at[number - 1] : NULL;
}

struct opened_list *opened_unref(struct opened_list *opened)
{
	if (!opened || --opened->references)
		return NULL;
	for (uint32_t i = 0; i < opened->count; i++) {
		struct store *store = opened->broker->store;

		if (store)
			store->ops->unref_queue(store, opened->at[i].number);
	}
	free(opened->at);
	free(opened);
	return NULL;
}

bool opened_reserve(struct broker *b, struct client *client)
{
	struct opened_list *opened = client->opened;
	struct opened *at;
	uint32_t room;

	if (!opened) {
		opened = calloc(1, sizeof(*opened));
		if (!opened)
			return false;
		opened->broker = b;
		opened->references = 1;
		client->opened = opened;
	}
	if (opened->count < opened->room)
		return true;
	room = opened->room ? 2 * opened->room : 4;
	at = realloc(opened->at, room * sizeof(*at));
	if (!at)
		return false;
	opened->at = at;
	opened->room = room;
	return true;
}
