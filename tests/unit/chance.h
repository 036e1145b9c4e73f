/* SPDX-License-Identifier: MIT */
/*
 * Requests by chance: mostly small numbers, so that equal dues and meetings of all kinds are
 * frequent; now and then one from the edge of what can be said, or one that must be refused.
 */
#pragma once

#include "dice.h"
#include "timers.h"

/* A number from the edges of 64 bits, or such that with `near` it makes one. */
uint64_t chance_edge(struct dice *dice, uint64_t near);

struct proto_register chance_register(struct dice *dice, const struct now *now);

/* now: on the timer's clock. */
struct proto_rearm chance_rearm(struct dice *dice, uint64_t id, uint64_t now);
