/* SPDX-License-Identifier: MIT */
/*
 * The layout of the block, and what is free in it.
 */
#include "arena.h"

#include <string.h>

/* Sections start at multiples of this, so that no two sections share a page. */
#define SECTION_ALIGN 4096

/* The offsets of all sections in the block. */
struct layout {
	size_t nodes, timers, labels, sessions, heads, users, free, answer, rearmed, buckets, size;
	size_t remembered;
	uint32_t buckets_count;
};

static size_t section(size_t *end, size_t count, size_t width)
{
	size_t start = (*end + SECTION_ALIGN - 1) / SECTION_ALIGN * SECTION_ALIGN;

	*end = start + count * width;
	return start;
}

static struct layout layout_of(uint32_t max_timers, uint32_t max_clients)
{
	size_t timers = (size_t)max_timers + 1, sessions = (size_t)max_clients + 2;
	size_t end = sizeof(struct arena_header);
	struct layout l = {.buckets_count = 16};

	while (l.buckets_count < max_clients)
		l.buckets_count *= 2;
	l.sessions = section(&end, sessions, sizeof(struct session));
	l.heads = section(&end, sessions * ARENA_CLOCKS, sizeof(struct rbnode));
	l.users = section(&end, sessions, sizeof(struct user));
	l.buckets = section(&end, l.buckets_count, sizeof(uint32_t));
	static_assert(PROTO_ID_INDEX_BITS <= 6 * BITSET_LEVELS, "a bit for each");
	l.free = section(&end, bitset_words(max_timers + 1), sizeof(uint64_t));
	l.answer = section(&end, 1, PROTO_PACKET_MAX);
	l.rearmed = section(&end, ARENA_REARMED_MAX, sizeof(struct arena_intent));
	l.nodes = section(&end, timers, sizeof(struct rbnode));
	l.timers = section(&end, timers, sizeof(struct timer));
	l.labels = section(&end, timers, PROTO_LABEL_MAX);
	l.remembered = section(&end, REMEMBERED_SETS * REMEMBERED_WAYS, sizeof(struct remembered));
	l.size = (end + SECTION_ALIGN - 1) / SECTION_ALIGN * SECTION_ALIGN;
	return l;
}

size_t arena_size(uint32_t max_timers, uint32_t max_clients)
{
	return layout_of(max_timers, max_clients).size;
}

void arena_view(struct arena *arena, void *block, uint32_t max_timers, uint32_t max_clients)
{
	struct layout l = layout_of(max_timers, max_clients);
	char *base = block;

	*arena = (struct arena){
		.header = block,
		.nodes = (struct rbnode *)(base + l.nodes),
		.timers = (struct timer *)(base + l.timers),
		.labels = (char(*)[PROTO_LABEL_MAX])(base + l.labels),
		.sessions = (struct session *)(base + l.sessions),
		.heads = (struct rbnode *)(base + l.heads),
		.users = (struct user *)(base + l.users),
		.free = bitset_view((uint64_t *)(base + l.free), max_timers + 1),
		.answer = (uint8_t *)(base + l.answer),
		.rearmed = (struct arena_intent *)(base + l.rearmed),
		.buckets = (uint32_t *)(base + l.buckets),
		.buckets_mask = l.buckets_count - 1,
		.remembered = (struct remembered *)(base + l.remembered),
	};
}

static void init_nodes(struct arena *arena)
{
	rbtree_init_nodes(arena->nodes);
	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++)
		rbtree_init_nodes(arena_heads(arena, clock));
}

void arena_reset(struct arena *arena)
{
	struct arena_header *h = arena->header;

	h->timers_top = h->timers_orphaned = 0;
	h->sessions_top = ARENA_OWN_SESSION;
	h->sessions_free = h->users_top = h->users_free = 0;
	h->ready = (struct turns_list){0};
	h->timers = h->clients = 0;
	memset(h->watched, 0, sizeof(h->watched));
	memset(arena->buckets, 0, sizeof(*arena->buckets) * (arena->buckets_mask + 1));
	memset(arena->free.levels[0], 0, bitset_words(h->max_timers + 1) * sizeof(uint64_t));
	init_nodes(arena);
}

void arena_init(struct arena *arena, void *block, uint32_t max_timers, uint32_t max_clients)
{
	struct arena_header *h = block;

	h->max_timers = max_timers;
	h->max_clients = max_clients;
	h->size = arena_size(max_timers, max_clients);
	h->layout = ARENA_LAYOUT;
	arena_view(arena, block, max_timers, max_clients);
	h->sessions_top = ARENA_OWN_SESSION;
	init_nodes(arena);
	ARENA_PUBLISH(h->magic, ARENA_MAGIC);
}

/* Takes the root of the first orphaned tree. Return: the timer. */
static uint32_t take_orphan(struct arena *arena)
{
	struct arena_header *h = arena->header;
	uint32_t timer = h->timers_orphaned;
	struct rbnode *node = &arena->nodes[timer];

	h->timers_orphaned = node->parent;
	arena_orphan_timers(arena, node->child_red[0] >> 1);
	arena_orphan_timers(arena, node->child_red[1] >> 1);
	/* The next call takes this timer. */
	__builtin_prefetch(&arena->nodes[h->timers_orphaned]);
	__builtin_prefetch(&arena->timers[h->timers_orphaned]);
	return timer;
}

uint32_t arena_take_timer(struct arena *arena)
{
	struct arena_header *h = arena->header;
	uint32_t timer;

	if (h->timers_orphaned)
		return take_orphan(arena);
	timer = bitset_take(&arena->free);
	if (timer)
		return timer;
	return h->timers_top < h->max_timers ? ++h->timers_top : 0;
}

void arena_orphan_timers(struct arena *arena, uint32_t root)
{
	struct arena_header *h = arena->header;

	if (!root)
		return;
	arena->nodes[root].parent = h->timers_orphaned;
	h->timers_orphaned = root;
}

void arena_give_timer(struct arena *arena, uint32_t timer)
{
	bitset_add(&arena->free, timer);
}

uint32_t arena_take_session(struct arena *arena)
{
	struct arena_header *h = arena->header;
	uint32_t session = h->sessions_free;

	if (session)
		h->sessions_free = arena->sessions[session].ready.next;
	else
		session = ++h->sessions_top;
	memset(&arena->sessions[session], 0, sizeof(arena->sessions[session]));
	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++)
		arena_heads(arena, clock)[session].tag = 0;
	return session;
}

void arena_free_session(struct arena *arena, uint32_t session)
{
	struct arena_header *h = arena->header;

	ARENA_PUBLISH(arena->sessions[session].state, SESSION_FREE);
	arena->sessions[session].ready.next = h->sessions_free;
	h->sessions_free = session;
}
