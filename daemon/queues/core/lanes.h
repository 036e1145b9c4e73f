/* SPDX-License-Identifier: MIT */
/*
 * Lanes: the first rows of a queue on one clock, in memory and in order. The wakes of all lanes are
 * also found by the ids of their rows.
 */
#pragma once

#include "state.h"

/* Begins with nothing in memory: the next lane_refill() reads from the lane's start. */
void lane_init(struct lane *lane, struct queue *queue, unsigned int clock);

/* A copy of a row, with its key and payload, in no lane. Return: NULL: no memory. */
struct wake *wake_new(struct broker *b, struct lane *lane, const struct store_timer *t);

/* Frees a wake that is in no list. */
void wake_free(struct broker *b, struct wake *wake);

/* The wake in memory of this row, unless it is gone; NULL: none. O(1). */
struct wake *wake_find(const struct broker *b, uint64_t id);

/* The wake that the consumer's client knows by this timer and number, gone or not; NULL: none.
 * O(1). */
struct wake *wake_find_unacked(
	const struct broker *b, const struct consumer *consumer, uint64_t timer, uint32_t number);

/* A row of the lane is new, or has moved. A row within the horizon goes into memory; one behind it
 * is noted as what comes next. wake: what the row is in memory as, in no list, and taken over;
 * NULL: it is not in memory. It is looked for from the lane's end, where most rows go. */
void lane_add(struct broker *b, struct lane *lane, const struct store_timer *t, struct wake *wake);

/* Whether such a row lies within the horizon: it is in memory, or has to come there. */
bool lane_reaches(const struct lane *lane, uint64_t ready, uint64_t id);

/* There is such a row behind the horizon. flags: PROTO_WAKE_SYSTEM. */
void lane_note_behind(struct lane *lane, uint64_t ready, uint8_t flags);

/* A row behind the horizon may have gone, or have moved: the next load looks. */
void lane_look_behind(struct lane *lane);

/* Takes a loaded wake out of its lane. O(1). */
void lane_remove(struct lane *lane, struct wake *wake);

/* Frees what is loaded: it is read again from the lane's start. */
void lane_reset(struct broker *b, struct lane *lane);

/* When the lane has to read the first row behind the horizon; PROTO_FOREVER: there is none. O(1).
 */
uint64_t lane_read_at(const struct broker *b, const struct lane *lane);

/* Starts a load if the lane has too little in memory. */
void lane_refill(struct broker *b, struct lane *lane);

/* The first wake of the lane, if it is ready; NULL: none is. O(1). */
struct wake *lane_ready(const struct broker *b, const struct lane *lane);
