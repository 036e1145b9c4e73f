/* SPDX-License-Identifier: MIT */
#include "postgres_queues.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare_queues(const void *a, const void *b)
{
	const struct pg_queue *x = a, *y = b;

	if (x->uid != y->uid)
		return x->uid < y->uid ? -1 : 1;
	return strcmp(x->name, y->name);
}

static int compare_users(const void *a, const void *b)
{
	const struct pg_user *x = a, *y = b;

	return x->uid == y->uid ? 0 : x->uid < y->uid ? -1 : 1;
}

static void keep(void *node)
{
	(void)node;
}

void pg_queues_free(struct pg_queues *q)
{
	tdestroy(q->by_name, keep);
	tdestroy(q->by_uid, keep);
	for (uint32_t i = 0; i < q->count; i++)
		free(q->at[i]);
	for (size_t i = 0; i < q->user_count; i++)
		free(q->users[i]);
	free(q->at);
	free(q->users);
	*q = (struct pg_queues){0};
}

struct pg_queue *pg_queues_get(const struct pg_queues *q, uint32_t number)
{
	return number >= 1 && number <= q->count ? q->at[number - 1] : NULL;
}

static struct pg_queue *add_queue(struct pg_queues *q, const struct pg_queue *key)
{
	struct pg_queue *queue;
	uint32_t at = 0;

	while (q->free_count && at < q->count && q->at[at])
		at++;
	if (!q->free_count)
		at = q->count;
	if (at == q->room) {
		uint32_t room = q->room * 2 + 16;
		struct pg_queue **all = realloc(q->at, room * sizeof(*all));

		if (!all)
			return NULL;
		q->at = all;
		q->room = room;
	}
	queue = malloc(sizeof(*queue));
	if (!queue)
		return NULL;
	*queue = *key;
	lease_init(&queue->lease);
	queue->number = at + 1;
	if (!tsearch(queue, &q->by_name, compare_queues)) {
		free(queue);
		return NULL;
	}
	q->free_count -= at < q->count;
	q->count += at == q->count;
	q->at[at] = queue;
	return queue;
}

void pg_queues_unref(struct pg_queues *q, struct pg_queue *queue)
{
	if (--queue->references || queue->row)
		return;
	tdelete(queue, &q->by_name, compare_queues);
	q->at[queue->number - 1] = NULL;
	q->free_count++;
	free(queue);
}

struct pg_queue *pg_queues_find(struct pg_queues *q, uint32_t uid, const char *name)
{
	struct pg_queue key = {.uid = uid}, **found;

	if (strlen(name) >= sizeof(key.name))
		return NULL;
	strcpy(key.name, name);
	found = tfind(&key, &q->by_name, compare_queues);
	return found ? *found : NULL;
}

struct pg_queue *pg_queues_open(struct pg_queues *q, uint32_t uid, const char *name)
{
	struct pg_queue key = {.uid = uid}, *found = pg_queues_find(q, uid, name);

	snprintf(key.name, sizeof(key.name), "%s", name);
	return found ? found : add_queue(q, &key);
}

static struct pg_user *find_user(const struct pg_queues *q, uint32_t uid)
{
	struct pg_user key = {.uid = uid}, **found = tfind(&key, &q->by_uid, compare_users);

	return found ? *found : NULL;
}

struct pg_user *pg_queues_user(struct pg_queues *q, uint32_t uid)
{
	struct pg_user *user = find_user(q, uid);

	if (user)
		return user;
	if (q->user_count == q->user_room) {
		size_t room = q->user_room * 2 + 16;
		struct pg_user **users = realloc(q->users, room * sizeof(*users));

		if (!users)
			return NULL;
		q->users = users;
		q->user_room = room;
	}
	user = calloc(1, sizeof(*user));
	if (!user)
		return NULL;
	user->uid = uid;
	if (!tsearch(user, &q->by_uid, compare_users)) {
		free(user);
		return NULL;
	}
	q->users[q->user_count++] = user;
	return user;
}

void pg_queues_usage(const struct pg_queues *q, uint32_t uid, struct store_usage *ret)
{
	const struct pg_user *user;

	*ret = (struct store_usage){0};
	if (uid != PROTO_QUEUE_OWN) {
		user = find_user(q, uid);
		if (user)
			*ret = user->holds;
		return;
	}
	for (size_t i = 0; i < q->user_count; i++) {
		const struct store_usage *holds = &q->users[i]->holds;

		ret->queues += holds->queues;
		ret->timers += holds->timers;
		ret->parked += holds->parked;
		ret->bytes += holds->bytes;
	}
}
