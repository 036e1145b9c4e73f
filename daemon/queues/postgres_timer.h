/* SPDX-License-Identifier: MIT */
/*
 * The store's timerfd: when the store has to be called though neither socket has anything to read.
 * It lies below commits, reads and leases, because each of them sends jobs and so moves that
 * moment.
 */
#pragma once

#include "postgres.h"

/* When the next round of leases begins, or a round that is under way is given up: an instant of
 * CLOCK_BOOTTIME in microseconds; UINT64_MAX: there is no connection for it. */
uint64_t pg_timer_next_round(const struct store_postgres *s);

/* When the hints that wait are to be sent; UINT64_MAX: none waits, or there is no connection. */
uint64_t pg_timer_next_hint(const struct store_postgres *s);

/* When what users hold is to be read, because somebody has asked; UINT64_MAX: nobody has. */
uint64_t pg_timer_next_usage(const struct store_postgres *s);

/* Sets the timer to the first moment that one of the links or a round waits for. It costs a system
 * call where that moment has changed. */
void pg_timer_arm(struct store_postgres *s);

/* Sends what waits on the link, as far as its socket takes it, and sets the timer. */
void pg_timer_flush(struct store_postgres *s, struct pg_link *l);
