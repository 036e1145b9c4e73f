/* SPDX-License-Identifier: MIT */
/*
 * The leases of a fleet's queues on PostgreSQL, and the database's clock. Leases move in rounds:
 * one transaction takes, renews and releases the leases of all queues (core/lease.h has the rules).
 */
#pragma once

#include "postgres.h"

/* The operations of a fleet (store.h). */
extern const struct store_fleet pg_fleet;

/* The control connection has become ready, or was lost. userdata: the store. */
void pg_leases_changed(void *userdata, bool ready);

/* A notification has arrived: another host says that it has released a lease or changed a queue. A
 * round begins soon. userdata: the store. payload: of the notification. */
void pg_leases_notified(void *userdata, const char *payload);

/* Begins a round if it is time for one. Breaks the connection if a round takes too long. */
void pg_leases_run(struct store_postgres *s);

/* For a clean stop: asks for the release of all leases. leases_gone() says whether it is done. */
void pg_leases_release(struct store_postgres *s);

/* A change under `term` found that this host does not own the queue any more. */
void pg_leases_fenced(struct store_postgres *s, struct pg_queue *queue, uint64_t term);
