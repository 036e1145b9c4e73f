/* SPDX-License-Identifier: MIT */
#include "population.h"

#include <sys/mman.h>

#include "fdstore.h"
#include "meter.h"

#ifndef MADV_COLLAPSE /* Linux 6.1, glibc 2.37 */
#	define MADV_COLLAPSE 25
#endif

#ifndef MADV_POPULATE_WRITE /* Linux 5.14; musl 1.2.3 does not name it */
#	define MADV_POPULATE_WRITE 23
#endif

/* How many timers ahead memory is allocated: as many as 16 clients register in one turn of the
 * loop. */
#define TIMERS_AHEAD 16384

/* With fewer timers than this, a huge page would waste some megabytes. */
#define TIMERS_MIN 4096

/* A huge page takes a millisecond or two; half of its size in small pages takes as long. If the
 * memory is fragmented or the processors are busy, a huge page may take longer than a wake may
 * wait. In that case, and before Linux 6.1, this file asks for small pages only. */
#define PATIENCE_US   10000
#define SMALL_PORTION ((size_t)1 << 20)

/* Asks for a huge page at that address: a memory file gets none by itself unless the administrator
 * allows it. Return: whether the kernel made one in reasonable time. */
static bool make_huge_page(uintptr_t start)
{
	uint64_t before = meter_clock();
	bool made;

	(void)*(volatile const char *)start; /* the kernel collapses only what is mapped */
	made = madvise((void *)start, FDSTORE_ALIGN, MADV_COLLAPSE) == 0;
	return made && meter_clock() - before <= PATIENCE_US;
}

/* Populates the page around the address `next`, if *populated is below it. */
static void populate(struct population *population, const void *next, uintptr_t *populated)
{
	size_t size = population->small_pages ? SMALL_PORTION : FDSTORE_ALIGN;
	uintptr_t start = (uintptr_t)next & ~(uintptr_t)(size - 1);

	if (start <= *populated || start < population->block ||
		start + size > population->block + population->block_size)
		return;
	if (population->small_pages) {
		madvise((void *)start, size, MADV_POPULATE_WRITE);
	} else if (!make_huge_page(start)) {
		log_print(population->log, LOG_DEBUG,
			"the kernel makes no huge pages, or takes too long: using small pages");
		population->small_pages = true;
	}
	*populated = start;
}

void population_init(
	struct population *population, struct log *log, const void *block, size_t block_size)
{
	*population = (struct population){
		.log = log,
		.block = (uintptr_t)block,
		.block_size = block_size,
	};
}

void population_run(struct population *population, const struct arena *arena)
{
	uint32_t top = arena->header->timers_top;

	if (top < TIMERS_MIN || arena->header->max_timers - top < TIMERS_AHEAD)
		return;
	populate(population, &arena->nodes[top + TIMERS_AHEAD], &population->nodes);
	populate(population, &arena->timers[top + TIMERS_AHEAD], &population->timers);
}
