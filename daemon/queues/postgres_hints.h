/* SPDX-License-Identifier: MIT */
/*
 * Hints between hosts, over NOTIFY: a queue's owner polls sooner after another host has changed the
 * queue. A hint may get lost. The poll each second finds the same changes.
 */
#pragma once

#include <libpq-fe.h>

#include "postgres.h"

/* Notes that a commit of this host has changed a queue of another host. pg_hints_run() tells the
 * owner. O(hints that wait). */
void pg_hints_add(struct store_postgres *s, const struct pg_queue *queue);

/* Sends the hints that wait, if it is time: see pg_timer_next_hint(). */
void pg_hints_run(struct store_postgres *s);

/* Reads the payload of a notification, which any client of the database may have sent. Return: the
 * queue that it names; NULL: this host does not know such a queue. */
struct pg_queue *pg_hints_read(struct store_postgres *s, const char *payload);
