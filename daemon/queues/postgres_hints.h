/* SPDX-License-Identifier: MIT */
/*
 * Hints between hosts, by NOTIFY: after a host has changed a queue, the queue's owner polls sooner;
 * after a host has released leases, others ask sooner. If a hint gets lost, the next poll finds the
 * change, within a second.
 */
#pragma once

#include <libpq-fe.h>

#include "postgres.h"

/* Notes that a commit of this host has changed a queue of another host. pg_hints_run() tells the
 * owner. O(hints that wait). */
void pg_hints_add(struct store_postgres *s, const struct pg_queue *queue);

/* Notes that this host has released leases. pg_hints_run() tells the hosts that stand by. O(1). */
void pg_hints_add_release(struct store_postgres *s);

/* Whether all hints were sent and answered. O(1). */
bool pg_hints_are_sent(const struct store_postgres *s);

/* Sends the waiting hints if pg_timer_next_hint() has passed. */
void pg_hints_run(struct store_postgres *s);

/* Reads the payload of a notification, which any client of the database may have sent. Return: the
 * queue that it names; NULL: this host does not know such a queue. */
struct pg_queue *pg_hints_read(struct store_postgres *s, const char *payload);
