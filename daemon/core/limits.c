/* SPDX-License-Identifier: MIT */
/*
 * A hash table finds accounts by uid. It has at least as many chains as there may be clients, so a
 * chain has at most one element on average.
 */
#include "limits.h"

#include <string.h>

/* Fibonacci hashing: the multiplier is 2^32 / golden ratio (Knuth, TAOCP 3, 6.4). It spreads
 * consecutive uids. */
static uint32_t hash_of(uint32_t uid)
{
	uint32_t hash = uid * UINT32_C(2654435769);

	return hash ^ hash >> 16;
}

static uint32_t *bucket(const struct arena *arena, uint32_t uid)
{
	return &arena->buckets[hash_of(uid) & arena->buckets_mask];
}

/* Return: the user's set. ret_way: the user's index in the set; REMEMBERED_WAYS: not there. */
static struct remembered *find_remembered(
	const struct arena *arena, uint32_t uid, unsigned int *ret_way)
{
	struct remembered *set = arena->remembered +
		(size_t)(hash_of(uid) % REMEMBERED_SETS) * REMEMBERED_WAYS;
	unsigned int way = 0;

	while (way < REMEMBERED_WAYS && !(set[way].used && set[way].uid == uid))
		way++;
	*ret_way = way;
	return set;
}

/* Puts the user's tally first in its set. A full set loses its last tally. */
static void remember(struct arena *arena, uint32_t uid, const struct tally *tally)
{
	unsigned int way;
	struct remembered *set = find_remembered(arena, uid, &way);

	if (way == REMEMBERED_WAYS)
		way--;
	memmove(set + 1, set, way * sizeof(*set));
	set[0] = (struct remembered){.uid = uid, .used = 1, .tally = *tally};
}

static struct tally recall(const struct arena *arena, uint32_t uid)
{
	unsigned int way;
	const struct remembered *set = find_remembered(arena, uid, &way);

	return way < REMEMBERED_WAYS ? set[way].tally : (struct tally){0};
}

void limits_remember_all(struct arena *arena)
{
	struct arena_header *h = arena->header;
	uint32_t top = h->users_top < h->max_clients ? h->users_top : h->max_clients;

	for (uint32_t user = 1; user <= top; user++)
		if (arena->users[user].clients)
			remember(arena, arena->users[user].uid, &arena->users[user].tally);
}

/* The account of uid; 0: it has none. */
static uint32_t find(const struct arena *arena, uint32_t uid)
{
	uint32_t user = *bucket(arena, uid);

	while (user && arena->users[user].uid != uid)
		user = arena->users[user].next;
	return user;
}

/* The account of uid, a new one if it has none. There are as many accounts as there may be clients,
 * and each account has a client, so there is a free one. */
static uint32_t account(struct arena *arena, uint32_t uid)
{
	struct arena_header *h = arena->header;
	uint32_t *chain = bucket(arena, uid), user = find(arena, uid);

	if (user)
		return user;
	user = h->users_free;
	if (user)
		h->users_free = arena->users[user].next;
	else
		user = ++h->users_top;
	arena->users[user] = (struct user){.uid = uid, .next = *chain, .tally = recall(arena, uid)};
	*chain = user;
	return user;
}

/* Drops the account if it has no client any more. */
static void drop_if_unused(struct arena *arena, uint32_t user)
{
	struct user *u = &arena->users[user];
	uint32_t *link = bucket(arena, u->uid);

	if (u->clients)
		return;
	remember(arena, u->uid, &u->tally);
	while (*link != user)
		link = &arena->users[*link].next;
	*link = u->next;
	u->next = arena->header->users_free;
	arena->header->users_free = user;
}

static uint32_t root_reserve(const struct limits *limits)
{
	uint32_t share = limits->max_clients / 16;

	return share < LIMITS_ROOT_RESERVE ? share : LIMITS_ROOT_RESERVE;
}

enum proto_status limits_check_client(
	const struct arena *arena, const struct limits *limits, uint32_t uid)
{
	uint32_t most = limits->max_clients - (uid == 0 ? 0 : root_reserve(limits));
	uint32_t user = find(arena, uid);
	uint32_t clients = user ? arena->users[user].clients : 0;

	if (arena->header->clients >= most)
		return PROTO_E_CLIENTS;
	if (uid != 0 && clients >= limits->max_clients_per_user)
		return PROTO_E_CLIENTS_USER;
	return PROTO_OK;
}

enum proto_status limits_take_client(
	struct arena *arena, const struct limits *limits, uint32_t uid, uint32_t *ret_user)
{
	enum proto_status status = limits_check_client(arena, limits, uid);

	if (status == PROTO_OK)
		*ret_user = limits_adopt_client(arena, uid);
	return status;
}

uint32_t limits_adopt_client(struct arena *arena, uint32_t uid)
{
	uint32_t user = account(arena, uid);

	arena->users[user].clients++;
	arena->header->clients++;
	return user;
}

void limits_count_refused_client(struct arena *arena, uint32_t uid)
{
	uint32_t user = *bucket(arena, uid);
	unsigned int way;
	struct remembered *set = find_remembered(arena, uid, &way);

	arena->header->counters.refused++;
	if (uid == UINT32_MAX)
		return;
	while (user && arena->users[user].uid != uid)
		user = arena->users[user].next;
	if (user)
		arena->users[user].tally.refused++;
	else if (way < REMEMBERED_WAYS)
		set[way].tally.refused++;
	else
		remember(arena, uid, &(struct tally){.refused = 1});
}

void limits_return_client(struct arena *arena, uint32_t user, uint32_t timers)
{
	limits_return_timers(arena, user, timers);
	arena->users[user].clients--;
	arena->header->clients--;
	drop_if_unused(arena, user);
}

enum proto_status limits_check_timer(
	const struct arena *arena, const struct limits *limits, uint32_t session, uint32_t pending)
{
	const struct session *s = &arena->sessions[session];
	const struct user *u = &arena->users[s->user];
	uint32_t most = s->max_timers ? s->max_timers : limits->max_timers_per_user;

	if (u->uid != 0 && u->timers + pending >= most)
		return PROTO_E_TIMERS_USER;
	if (arena->header->timers + pending >= limits->max_timers)
		return PROTO_E_TIMERS;
	return PROTO_OK;
}

void limits_take_timers(struct arena *arena, uint32_t user, uint32_t n)
{
	arena->users[user].timers += n;
	arena->header->timers += n;
}

void limits_return_timers(struct arena *arena, uint32_t user, uint32_t n)
{
	arena->users[user].timers -= n;
	arena->header->timers -= n;
}
