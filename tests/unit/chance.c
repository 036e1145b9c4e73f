/* SPDX-License-Identifier: MIT */
/*
 * The odds of chance.h: one number in 25 is at an edge of the range, and one registration in 40 has
 * an invalid field.
 */
#include "chance.h"

#include <string.h>

uint64_t chance_edge(struct dice *dice, uint64_t near)
{
	switch (dice_below(dice, 6)) {
	case 0:
		return 0;
	case 1:
		return 1;
	case 2:
		return UINT64_MAX - dice_below(dice, 3);
	case 3:
		return (UINT64_C(1) << 63) + dice_below(dice, 3) - 1;
	default:
		return UINT64_MAX - near + dice_below(dice, 3) - 1;
	}
}

static uint64_t some_due(struct dice *dice, bool relative, uint64_t now)
{
	if (dice_once_in(dice, 25))
		return chance_edge(dice, now);
	return relative ? dice_below(dice, 200) : now + dice_below(dice, 250) - 50;
}

static uint64_t some_span(struct dice *dice, uint64_t most, uint64_t due)
{
	if (dice_once_in(dice, 25))
		return chance_edge(dice, due);
	return dice_below(dice, 2) ? dice_below(dice, most) : 0;
}

/* Makes one field wrong. */
static void spoil(struct dice *dice, struct proto_register *r)
{
	switch (dice_below(dice, 5)) {
	case 0:
		r->clock = (uint8_t)(PROTO_CLOCKS + dice_below(dice, 200));
		break;
	case 1:
		r->flags |= (uint8_t)(4u << dice_below(dice, 6));
		break;
	case 2:
		r->reserved = 1;
		break;
	case 3:
		r->label[0] = (char)0xff;
		break;
	default:
		r->every = 0;
		r->count = 2 + (uint32_t)dice_below(dice, UINT32_MAX - 2);
	}
}

struct proto_register chance_register(struct dice *dice, const struct now *now)
{
	struct proto_register r = {
		.cookie = dice_any(dice),
		.clock = (uint8_t)dice_below(dice, PROTO_CLOCKS),
		.flags = dice_below(dice, 2) ? PROTO_RELATIVE : 0,
	};

	if (dice_once_in(dice, 5))
		r.flags |= PROTO_WAKE_SYSTEM;
	r.due = some_due(dice, r.flags & PROTO_RELATIVE, now->at[r.clock]);
	r.slack = some_span(dice, 100, r.due);
	r.every = some_span(dice, 60, r.due);
	r.count = r.every ? (uint32_t)dice_below(dice, 4) : (uint32_t)dice_once_in(dice, 4);
	if (dice_once_in(dice, 5))
		memcpy(r.label, "label", 5);
	if (dice_once_in(dice, 40))
		spoil(dice, &r);
	return r;
}

struct proto_rearm chance_rearm(struct dice *dice, uint64_t id, uint64_t now)
{
	struct proto_rearm r = {
		.id = id,
		.flags = dice_below(dice, 2) ? PROTO_RELATIVE : 0,
	};

	r.due = some_due(dice, r.flags & PROTO_RELATIVE, now);
	r.slack = some_span(dice, 100, r.due);
	r.every = some_span(dice, 60, r.due);
	r.count = r.every || dice_once_in(dice, 20) ? (uint32_t)dice_below(dice, 4) : 0;
	return r;
}
