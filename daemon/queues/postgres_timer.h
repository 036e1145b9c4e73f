/* SPDX-License-Identifier: MIT */
/*
 * The store's timerfd: it is readable when the store has work although neither socket has data. The
 * module is below commits, reads and leases, because each of them sends jobs and so changes the
 * time of the next work.
 */
#pragma once

#include "postgres.h"

/* When the next round of leases begins, or when the round under way is given up: microseconds of
 * CLOCK_BOOTTIME; UINT64_MAX: there is no connection for it. */
uint64_t pg_timer_next_round(const struct store_postgres *s);

/* When the waiting hints must be sent; UINT64_MAX: none waits, or there is no connection. */
uint64_t pg_timer_next_hint(const struct store_postgres *s);

/* When the usage of users must be read, because somebody has asked for it; UINT64_MAX: nobody has.
 */
uint64_t pg_timer_next_usage(const struct store_postgres *s);

/* Sets the timer to the earliest of these times. It makes a system call only if that time has
 * changed. */
void pg_timer_arm(struct store_postgres *s);

/* Sends waiting data of the link until its socket is full, and sets the timer. */
void pg_timer_flush(struct store_postgres *s, struct pg_link *l);
