/* SPDX-License-Identifier: MIT */
/*
 * Makes a small arena with timers and sessions of all kinds, which a test then damages; and uses a
 * worker on the result in every way.
 */
#pragma once

#include "../unit/dice.h"
#include "worker.h"

#define EXERCISE_SESSIONS 4
#define EXERCISE_UID	  1000

struct exercise {
	struct worker_config config;
	struct now now;
	struct dice dice;
	struct worker worker;
};

/* The world that all of it takes place in: two dozen timers, some sessions, one time of day. */
void exercise_init(struct exercise *e, uint64_t seed);

/* Bytes of a block for it. */
size_t exercise_size(const struct exercise *e);

/* Zeroes a block, but for what no exercise reads of the two sections of 64 KB. */
void exercise_clear(const struct exercise *e, void *block);

/* Makes a zeroed block an arena with sessions and timers of every kind. */
void exercise_fill(struct exercise *e, void *block);

/*
 * Adopts the block, and goes on: some sessions resume, some have gone, some come; requests are
 * handled, time passes, wakes are sent, all sessions close. What holds of a sound arena is looked
 * at after each.
 * Return: NULL, or what is wrong. ret_fits: whether the block was taken for an arena at all.
 */
const char *exercise_adopt(struct exercise *e, void *block, bool *ret_fits);
const char *exercise_serve(struct exercise *e);

/* Hands the worker a packet of a session and has its answer sent. Return: whether the session
 * ended. */
bool exercise_handle(struct exercise *e, uint32_t session, const void *packet, size_t size);

/* Has all that is due now sent. Return: NULL, or what is wrong. */
const char *exercise_turn(struct exercise *e);
