/* SPDX-License-Identifier: MIT */
/*
 * The leases of a fleet's queues on PostgreSQL. They move in rounds: one transaction takes, renews
 * and releases the leases of all queues.
 */
#pragma once

#include "postgres.h"

extern const struct store_fleet pg_fleet;

/* The control connection is ready, or was lost. */
void pg_leases_changed(void *userdata, bool ready);
/* Another host has released a lease. */
void pg_leases_notified(void *userdata);
/* Begins a round if it is time. */
void pg_leases_run(struct store_postgres *s);
/* Gives up all leases: a clean stop. */
void pg_leases_release(struct store_postgres *s);
/* A change found that another host owns the queue now. */
void pg_leases_fenced(struct store_postgres *s, struct pg_queue *queue, uint64_t term);
