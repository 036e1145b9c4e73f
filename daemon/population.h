/* SPDX-License-Identifier: MIT */
/*
 * Allocates memory for the arena ahead of its use: a huge page or some small pages at a time.
 *
 * Without this the kernel allocates each page when it is touched, which takes half of the time of
 * registering a million timers. A reader may skip this file: without it everything works, slower.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "log.h"

struct population {
	struct log *log;
	uintptr_t block; /* where the arena lies */
	size_t block_size;
	uintptr_t nodes, timers; /* the last address that was populated in each array; 0: none */
	bool small_pages;	 /* the kernel has no huge pages, or they take too long */
};

/* block: where the arena lies, block_size bytes. */
void population_init(
	struct population *population, struct log *log, const void *block, size_t block_size);

/* Populates the pages that the next timers will use, if they are not populated yet. Takes a
 * millisecond or two for a page. */
void population_run(struct population *population, const struct arena *arena);
