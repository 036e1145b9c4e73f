/* SPDX-License-Identifier: MIT */
/*
 * Kills a copy of the world: with the arena as it is at this store, the sockets as the kernel
 * would keep them, and the clients as they are. Another worker adopts the arena, may be killed
 * during that as well, and then goes on for some steps and until all timers that end have ended.
 * The original world waits meanwhile.
 */
#include <string.h>

#include "world.h"

/* How much of the two sections of 64 KB is used here. */
#define ANSWER_USED  8192
#define REARMED_USED 4096

/* Copies an arena without the parts that are certainly untouched. */
static void copy_arena(const struct world *from, struct world *to)
{
	const struct arena *arena = &from->worker->arena;
	size_t before = (size_t)(arena->answer - (const uint8_t *)from->block);
	size_t rearmed = (size_t)((const uint8_t *)arena->rearmed - (const uint8_t *)from->block);
	size_t behind = (size_t)((const uint8_t *)arena->nodes - (const uint8_t *)from->block);

	memcpy(to->block, from->block, before + ANSWER_USED);
	memcpy((uint8_t *)to->block + rearmed, arena->rearmed, REARMED_USED);
	memcpy((uint8_t *)to->block + behind, (const uint8_t *)from->block + behind,
		from->block_size - behind);
}

static void copy_world(const struct world *from, struct world *to)
{
	void *block = to->block;
	struct worker *worker = to->worker;

	memcpy(to, from, offsetof(struct world, model));
	to->block_size = from->block_size;
	to->block = block;
	to->worker = worker;
	to->is_copy = true;
	to->model.events = to->counts.events;
	model_copy(&to->model, &from->model);
	copy_arena(from, to);
	for (uint32_t i = 0; i < WORLD_SOCKETS_MAX; i++) {
		queue_copied(&to->sockets[i].up);
		queue_copied(&to->sockets[i].down);
	}
	for (uint32_t i = 0; i < to->clients_count; i++)
		for (uint32_t k = 0; k < to->clients[i].count; k++)
			packet_ref(
				to->clients[i].flight[(to->clients[i].first + k) % CLIENT_FLIGHT]);
	if (to->errand.packet)
		packet_ref(to->errand.packet);
}

static void drop_copy(struct world *copy)
{
	for (uint32_t i = 0; i < copy->clients_count; i++)
		client_die(copy, &copy->clients[i]);
	for (uint32_t i = 0; i < WORLD_SOCKETS_MAX; i++) {
		queue_clear(&copy->sockets[i].up);
		queue_clear(&copy->sockets[i].down);
	}
	copy->errand.packet = packet_unref(copy->errand.packet);
}

static void add(struct counts *to, const struct counts *counts)
{
	to->steps += counts->steps;
	to->kills += counts->kills;
	to->requests += counts->requests;
	to->wakes += counts->wakes;
	to->duplicates += counts->duplicates;
	to->simulated_us += counts->simulated_us;
	to->quiet_wakes += counts->quiet_wakes;
	to->quiet_rings += counts->quiet_rings;
	for (unsigned int i = 0; i < EVENTS; i++)
		to->events[i] += counts->events[i];
}

void kill_branch(struct world *w, uint64_t seed)
{
	static struct world copy;

	if (!copy.block || copy.block_size != w->block_size) {
		free(copy.block);
		free(copy.worker);
		copy.block = aligned_alloc(4096, w->block_size);
		copy.worker = calloc(1, sizeof(*copy.worker));
		if (!copy.block || !copy.worker)
			abort();
	}
	w->counts.copies++;
	copy_world(w, &copy);
	copy.copied_step = w->step;
	copy.copied_store = w->step_stores;
	copy.counts = (struct counts){.stores = w->counts.stores};
	world_kill(&copy);
	for (uint64_t i = 0; i < w->branch_steps; i++)
		world_step(&copy, seed, i);
	world_settle(&copy);
	add(&w->copies_counts, &copy.counts);
	drop_copy(&copy);
}
