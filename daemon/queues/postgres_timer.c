/* SPDX-License-Identifier: MIT */
#include "postgres_timer.h"

#include <sys/timerfd.h>

uint64_t pg_timer_next_round(const struct store_postgres *s)
{
	uint64_t next = leases_next(&s->leases), give_up = leases_give_up(&s->leases);

	if (s->control.state != PG_LINK_READY)
		return UINT64_MAX;
	if (s->round_under_way)
		return give_up;
	next = next < s->poll_at ? next : s->poll_at;
	return next > s->round_again ? next : s->round_again;
}

uint64_t pg_timer_next_hint(const struct store_postgres *s)
{
	bool waits = (s->hints.n || s->hints.released) && s->control.state == PG_LINK_READY;

	return waits ? s->hints.sent + PG_HINT_US : UINT64_MAX;
}

/* How old the users' holdings in a status may be, microseconds. */
#define USAGE_US UINT64_C(1000000)

uint64_t pg_timer_next_usage(const struct store_postgres *s)
{
	bool waits = s->usage_asked && s->data.state == PG_LINK_READY;

	return waits ? s->usage_read + USAGE_US : UINT64_MAX;
}

static uint64_t next_of(const struct store_postgres *s)
{
	uint64_t next = pg_link_next(&s->data), other = pg_link_next(&s->control);

	next = other < next ? other : next;
	other = pg_timer_next_round(s);
	next = other < next ? other : next;
	other = pg_timer_next_hint(s);
	next = other < next ? other : next;
	other = pg_timer_next_usage(s);
	return other < next ? other : next;
}

void pg_timer_arm(struct store_postgres *s)
{
	uint64_t next = next_of(s);
	struct itimerspec at = {0};

	if (next == s->armed)
		return;
	s->armed = next;
	if (next != UINT64_MAX) {
		at.it_value.tv_sec = (time_t)(next / 1000000);
		at.it_value.tv_nsec = (long)(next % 1000000) * 1000 + 1;
	}
	timerfd_settime(s->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

void pg_timer_flush(struct store_postgres *s, struct pg_link *l)
{
	pg_link_send(l);
	pg_timer_arm(s);
}
