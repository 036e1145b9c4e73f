/* SPDX-License-Identifier: MIT */
#include "users.h"

#include <stdlib.h>

#include "list.h"

struct user *user_get(struct broker *b, uint32_t uid)
{
	struct user **slot = &b->users[uid % BROKER_HASH], *user = *slot;

	while (user && user->uid != uid)
		user = user->next;
	if (user)
		return user;
	user = calloc(1, sizeof(*user));
	if (!user)
		return NULL;
	user->uid = uid;
	link_init(&user->turn);
	link_init(&user->turns);
	link_init(&user->clients);
	link_init(&user->readers);
	user->next = *slot;
	*slot = user;
	return user;
}

void user_resume(struct user *user)
{
	LINK_FOR_EACH(at, &user->clients)
	{
		struct client *client = LINK_OWNER(at, struct client, of_user);
		const struct broker_outlet *outlet = client->broker->outlet;

		if (!client->gone)
			outlet->resume(outlet->userdata, client->number);
	}
}
