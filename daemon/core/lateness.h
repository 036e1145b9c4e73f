/* SPDX-License-Identifier: MIT */
/*
 * The lateness of wakes in the status: the time since a wake could first have been sent.
 *
 * The field `late` of a wake is always sent - due. The status measures the service, so it leaves
 * out delays that timerd does not cause: the timer's slack, a due that had passed at registration,
 * a client that did not read, a wall clock that was set, and a suspend of the machine (unless the
 * timer wakes the machine). The time between a daemon's end and its successor's start does count.
 *
 * This needs no memory in a timer. The arena keeps the stamps of sessions and clocks without a
 * check word: a kill in the middle of a write makes at most some figures wrong.
 */
#pragma once

#include "timers.h"

/* Detects a jump of one clock against another since the last call. Call it once for each reading of
 * the clocks, before wakes are sent. O(1). */
void lateness_detect_jumps(struct arena *arena, const struct now *now);

/* The session has registered or re-armed a timer whose due + slack has already passed. */
void lateness_registered_past(struct arena *arena, uint32_t session, const struct now *now);

/* The session's client does not read; the client reads (again). */
void lateness_block(struct arena *arena, uint32_t session);
void lateness_unblock(struct arena *arena, uint32_t session, const struct now *now);

/* Call it once after an adoption. The lateness of a session counts from now if it was blocked, or
 * if its stamps are zero because the previous layout has none. */
void lateness_adopt(struct arena *arena, const struct now *now);

/* The lateness in microseconds of a wake of the timer that is sent now. O(1). */
uint64_t lateness_of(const struct arena *arena, uint32_t timer, const struct now *now);
