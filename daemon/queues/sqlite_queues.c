/* SPDX-License-Identifier: MIT */
#include "sqlite_queues.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Numbers are given one after another, so the array by number has few gaps. A file with a number as
 * great as this is damaged. */
#define NUMBER_MAX (1u << 24)

static int compare_queues(const void *a, const void *b)
{
	const struct sqlite_queue *x = a, *y = b;

	if (x->uid != y->uid)
		return x->uid < y->uid ? -1 : 1;
	return strcmp(x->name, y->name);
}

static int compare_users(const void *a, const void *b)
{
	const struct sqlite_user *x = a, *y = b;

	return x->uid == y->uid ? 0 : x->uid < y->uid ? -1 : 1;
}

void sqlite_queues_init(struct sqlite_queues *q)
{
	*q = (struct sqlite_queues){0};
	pthread_mutex_init(&q->lock, NULL);
}

void sqlite_queues_free(struct sqlite_queues *q)
{
	tdestroy(q->by_name, free);
	tdestroy(q->by_uid, free);
	free(q->at);
	pthread_mutex_destroy(&q->lock);
}

static void add_counts(struct sqlite_counts *to, const struct sqlite_counts *more)
{
	to->timers += more->timers;
	to->parked += more->parked;
	to->bytes += more->bytes;
}

static bool holds_something(const struct sqlite_counts *counts)
{
	return counts->timers > 0 || counts->parked > 0;
}

static struct sqlite_user *find_user(struct sqlite_queues *q, uint32_t uid)
{
	struct sqlite_user key = {.uid = uid}, **found = tfind(&key, &q->by_uid, compare_users);

	return found ? *found : NULL;
}

static struct sqlite_user *get_user(struct sqlite_queues *q, uint32_t uid)
{
	struct sqlite_user *user = find_user(q, uid);

	if (user)
		return user;
	user = calloc(1, sizeof(*user));
	if (!user)
		return NULL;
	user->uid = uid;
	if (tsearch(user, &q->by_uid, compare_users))
		return user;
	free(user);
	return NULL;
}

static int make_room(struct sqlite_queues *q, uint32_t number)
{
	size_t room = (size_t)number + q->room / 2 + 16;
	struct sqlite_queue **at;

	if (number <= q->room)
		return 0;
	at = realloc(q->at, room * sizeof(struct sqlite_queue *));
	if (!at)
		return -ENOMEM;
	memset(at + q->room, 0, (room - q->room) * sizeof(struct sqlite_queue *));
	q->at = at;
	q->room = room;
	return 0;
}

/* The lock is held. */
static int add(struct sqlite_queues *q, uint32_t number, uint32_t uid, const char *name,
	struct sqlite_queue **ret)
{
	struct sqlite_user *user = get_user(q, uid);
	struct sqlite_queue *queue;

	if (!user || make_room(q, number) < 0)
		return -ENOMEM;
	queue = calloc(1, sizeof(*queue));
	if (!queue)
		return -ENOMEM;
	*queue = (struct sqlite_queue){.number = number, .uid = uid, .user = user};
	snprintf(queue->name, sizeof(queue->name), "%s", name);
	if (!tsearch(queue, &q->by_name, compare_queues)) {
		free(queue);
		return -ENOMEM;
	}
	q->at[number - 1] = queue;
	if (number > q->last) {
		q->vacant += number - q->last - 1;
		q->last = number;
	} else {
		q->vacant--;
	}
	*ret = queue;
	return 0;
}

static struct sqlite_queue *find(struct sqlite_queues *q, uint32_t uid, const char *name)
{
	struct sqlite_queue key = {.uid = uid}, **found;

	snprintf(key.name, sizeof(key.name), "%s", name);
	found = tfind(&key, &q->by_name, compare_queues);
	return found ? *found : NULL;
}

static void count(
	struct sqlite_queues *q, struct sqlite_queue *queue, const struct sqlite_counts *more)
{
	int64_t before = holds_something(&queue->holds), after;

	add_counts(&queue->holds, more);
	add_counts(&queue->user->holds, more);
	add_counts(&q->all.holds, more);
	after = holds_something(&queue->holds);
	queue->user->queues += (uint64_t)(after - before);
	q->all.queues += (uint64_t)(after - before);
}

int sqlite_queues_add(struct sqlite_queues *q, uint32_t number, uint32_t uid, const char *name,
	const struct sqlite_counts *holds)
{
	struct sqlite_queue *queue;
	int r = 0;

	pthread_mutex_lock(&q->lock);
	if (number < 1 || number > NUMBER_MAX || (number <= q->room && q->at[number - 1]) ||
		find(q, uid, name))
		r = -EBADMSG;
	if (!r)
		r = add(q, number, uid, name, &queue);
	if (!r)
		count(q, queue, holds);
	pthread_mutex_unlock(&q->lock);
	return r;
}

/* Chooses a number that no queue has; 0: there is none. It searches for a free number only if so
 * many are free that one is near. */
static uint32_t choose_number(struct sqlite_queues *q)
{
	if (q->vacant <= q->last / 2)
		return q->last < NUMBER_MAX ? q->last + 1 : 0;
	do
		q->vacant_from = q->vacant_from % q->last + 1;
	while (q->at[q->vacant_from - 1]);
	return q->vacant_from;
}

int sqlite_queues_open(struct sqlite_queues *q, uint32_t uid, const char *name, uint32_t *ret)
{
	struct sqlite_queue *queue;
	uint32_t number;
	int r = 0;

	pthread_mutex_lock(&q->lock);
	queue = find(q, uid, name);
	if (!queue) {
		number = choose_number(q);
		r = number ? add(q, number, uid, name, &queue) : -ENOMEM;
	}
	if (!r) {
		queue->references++;
		*ret = queue->number;
	}
	pthread_mutex_unlock(&q->lock);
	return r;
}

void sqlite_queues_ref(struct sqlite_queues *q, uint32_t number)
{
	pthread_mutex_lock(&q->lock);
	q->at[number - 1]->references++;
	pthread_mutex_unlock(&q->lock);
}

void sqlite_queues_unref(struct sqlite_queues *q, uint32_t number)
{
	struct sqlite_queue *queue;

	pthread_mutex_lock(&q->lock);
	queue = q->at[number - 1];
	if (!--queue->references && !holds_something(&queue->holds)) {
		tdelete(queue, &q->by_name, compare_queues);
		q->at[number - 1] = NULL;
		q->vacant++;
		free(queue);
	}
	pthread_mutex_unlock(&q->lock);
}

struct sqlite_queue *sqlite_queues_get(struct sqlite_queues *q, uint32_t number)
{
	struct sqlite_queue *queue = NULL;

	pthread_mutex_lock(&q->lock);
	if (number >= 1 && number <= q->room)
		queue = q->at[number - 1];
	pthread_mutex_unlock(&q->lock);
	return queue;
}

struct sqlite_user *sqlite_queues_user(struct sqlite_queues *q, uint32_t uid)
{
	struct sqlite_user *user;

	pthread_mutex_lock(&q->lock);
	user = get_user(q, uid);
	pthread_mutex_unlock(&q->lock);
	return user;
}

void sqlite_queues_usage(struct sqlite_queues *q, uint32_t uid, struct store_usage *ret)
{
	const struct sqlite_user *user;

	*ret = (struct store_usage){0};
	pthread_mutex_lock(&q->lock);
	user = uid == PROTO_QUEUE_OWN ? &q->all : find_user(q, uid);
	if (user)
		*ret = (struct store_usage){
			.queues = user->queues,
			.timers = (uint64_t)user->holds.timers,
			.parked = (uint64_t)user->holds.parked,
			.bytes = (uint64_t)user->holds.bytes,
		};
	pthread_mutex_unlock(&q->lock);
}

size_t sqlite_queues_list(struct sqlite_queues *q, uint32_t uid, uint32_t after,
	struct store_queue *ret, size_t most, bool *ret_more)
{
	size_t n = 0;

	*ret_more = false;
	pthread_mutex_lock(&q->lock);
	for (size_t i = after; i < q->last && !*ret_more; i++) {
		const struct sqlite_queue *queue = q->at[i];

		if (!queue || (uid != PROTO_QUEUE_OWN && queue->uid != uid))
			continue;
		*ret_more = n == most;
		if (*ret_more)
			break;
		ret[n] = (struct store_queue){
			.number = queue->number,
			.uid = queue->uid,
			.timers = (uint64_t)queue->holds.timers,
			.parked = (uint64_t)queue->holds.parked,
			.bytes = (uint64_t)queue->holds.bytes,
		};
		memcpy(ret[n++].name, queue->name, sizeof(queue->name));
	}
	pthread_mutex_unlock(&q->lock);
	return n;
}

void sqlite_queues_touch(
	struct sqlite_queues *q, struct sqlite_queue *queue, const struct sqlite_counts *more)
{
	add_counts(&queue->added, more);
	add_counts(&queue->user->added, more);
	if (queue->touched)
		return;
	queue->touched = true;
	queue->touched_next = q->touched;
	q->touched = queue;
}

void sqlite_queues_end(struct sqlite_queues *q, bool committed)
{
	pthread_mutex_lock(&q->lock);
	while (q->touched) {
		struct sqlite_queue *queue = q->touched;

		if (committed)
			count(q, queue, &queue->added);
		queue->added = queue->user->added = (struct sqlite_counts){0};
		queue->touched = false;
		q->touched = queue->touched_next;
	}
	pthread_mutex_unlock(&q->lock);
}
