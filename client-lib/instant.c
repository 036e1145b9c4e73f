/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "instant.h"
#include "text.h"

static uint64_t read_clock(struct instants *now, enum toytimer_clock clock)
{
	if (!now->known[clock]) {
		now->at[clock] = toytimer_now(clock) + 1;
		now->known[clock] = true;
	}
	return now->at[clock];
}

int instant_of(struct instants *now, enum toytimer_clock clock, unsigned int flags, uint64_t due,
	uint64_t *ret)
{
	if (flags & TOYTIMER_RELATIVE && __builtin_add_overflow(read_clock(now, clock), due, &due))
		return text_refused(-ERANGE, "registration.due:" TEXT_END);
	if (due == TOYTIMER_FOREVER)
		return text_refused(-ERANGE, "registration.due:" TEXT_END);
	*ret = due;
	return 0;
}
