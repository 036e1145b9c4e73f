/* SPDX-License-Identifier: MIT */
/*
 * Random requests. Most numbers are small, so that dues are often equal. A few numbers are at the
 * edge of their range, and a few requests must be refused.
 */
#pragma once

#include "dice.h"
#include "timers.h"

/* A number at an edge of 64 bits, or one whose sum with `near` is at an edge. */
uint64_t chance_edge(struct dice *dice, uint64_t near);

struct proto_register chance_register(struct dice *dice, const struct now *now);

/* now: on the timer's clock. */
struct proto_rearm chance_rearm(struct dice *dice, uint64_t id, uint64_t now);
