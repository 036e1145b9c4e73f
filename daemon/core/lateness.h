/* SPDX-License-Identifier: MIT */
/*
 * How late a wake counts in the service's figures: from when it could first have been sent.
 *
 * A wake says sent - due, whatever the reason. The figures are about the service, so they leave out
 * what the service cannot help: slack that was used, a due that had passed when it was asked for, a
 * client that did not read, a wall clock that was set, and a machine that was suspended (unless the
 * timer wakes it). The time between a daemon's end and its successor's start counts.
 *
 * None of this takes memory of a timer's. What is kept here is kept in the arena, but makes no
 * record: where a kill leaves half of it, a figure is wrong by less than the time since.
 */
#pragma once

#include "timers.h"

/* Looks whether a clock has jumped against another since the last call. Once for each reading of
 * the clocks for which wakes are sent. O(1). */
void lateness_look(struct arena *arena, const struct now *now);

/* A registration or re-arming of the session comes after due + slack. */
void lateness_asked(struct arena *arena, uint32_t session, const struct now *now);

/* Its client does not read; it reads (again). */
void lateness_block(struct arena *arena, uint32_t session);
void lateness_unblock(struct arena *arena, uint32_t session, const struct now *now);

/* Goes on with the sessions that were adopted. For one that was blocked, or that an older layout says
 * nothing of (zeros), time counts from now on. */
void lateness_adopt(struct arena *arena, const struct now *now);

/* Microseconds by which a wake of the timer is late that is sent now. O(1). */
uint64_t lateness_of(const struct arena *arena, uint32_t timer, const struct now *now);
