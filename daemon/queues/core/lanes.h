/* SPDX-License-Identifier: MIT */
/*
 * Lanes: the first rows of a queue on one clock, in memory and in order. A table also finds each
 * wake in memory by the id of its row.
 *
 * The horizon of a lane is the last row that is in memory. All rows beyond it are only in the
 * store.
 */
#pragma once

#include "state.h"

/* Begins with no row in memory: the next lane_refill() reads from the lane's start. */
void lane_init(struct lane *lane, struct queue *queue, unsigned int clock);

/* Makes a wake from a copy of a row, with key and payload. It is in no lane yet. Return: NULL: no
 * memory. */
struct wake *wake_new(struct broker *b, struct lane *lane, const struct store_timer *t);

/* Frees a wake, which is in no list. */
void wake_free(struct broker *b, struct wake *wake);

/* The wake in memory of this row; NULL: there is none, or it is gone. O(1). */
struct wake *wake_find(const struct broker *b, uint64_t id);

/* The consumer's unacknowledged wake of this timer and number, even if it is gone; NULL: none.
 * O(1). */
struct wake *wake_find_unacked(
	const struct broker *b, const struct consumer *consumer, uint64_t timer, uint32_t number);

/* A row of the lane is new, or has moved. If it is within the horizon, it goes into memory; else it
 * is noted as the next row beyond the horizon, if it comes first there.
 *   wake: the wake of this row in memory, in no list; taken over. NULL: it is not in memory.
 * The search for its place begins at the lane's end, where most rows go. */
void lane_add(struct broker *b, struct lane *lane, const struct store_timer *t, struct wake *wake);

/* Whether a row with these values is within the horizon: it is in memory, or must go there. */
bool lane_reaches(const struct lane *lane, uint64_t ready, uint64_t id);

/* Notes a row beyond the horizon. flags: PROTO_WAKE_SYSTEM or 0. */
void lane_note_beyond(struct lane *lane, uint64_t ready, uint8_t flags);

/* A row beyond the horizon may have been removed or moved: the next load finds the first one. */
void lane_recheck_beyond(struct lane *lane);

/* Takes a loaded wake out of its lane. O(1). */
void lane_remove(struct lane *lane, struct wake *wake);

/* Frees all loaded wakes, so that they are read again from the lane's start. */
void lane_reset(struct broker *b, struct lane *lane);

/* When the lane must load the first row beyond the horizon; PROTO_FOREVER: there is none. O(1). */
uint64_t lane_read_at(const struct broker *b, const struct lane *lane);

/* Starts a load if the lane has too little in memory. */
void lane_refill(struct broker *b, struct lane *lane);

/* The first wake of the lane, if it is ready; NULL: no wake is ready. O(1). */
struct wake *lane_ready(const struct broker *b, const struct lane *lane);
