/* SPDX-License-Identifier: MIT */
/*
 * Looks up the names of the database's hosts in a thread of its own. libpq would look them up in
 * the loop's thread, and the loop would wait for the name servers.
 *
 * It also chooses which host libpq tries first. libpq tries the next host only after
 * a host has refused the connection: it waits for ever for a host that does not answer.
 */
#pragma once

#include <stdbool.h>

struct pg_names;

/* Whether a connection to this URI needs a lookup: it has a name, or several hosts. libpq looks up
 * the hosts of a service file, too, which this function does not read: false. */
bool pg_names_wanted(const char *uri);

/* Begins a lookup. first: which address the lists begin with, modulo their number. Return: NULL: no
 * memory, no thread or no descriptor. The caller unrefs it. */
struct pg_names *pg_names_start(const char *uri, unsigned int first);
/* Drops a lookup, which may still be under way. NULL is allowed. */
void pg_names_unref(struct pg_names *n);

/* A descriptor that becomes readable when the lookup ends, and stays so until pg_names_ended().
 * Borrowed. */
int pg_names_fd(const struct pg_names *n);
/* Whether the lookup has ended. */
bool pg_names_ended(struct pg_names *n);

/* After the end of a lookup: why no host has an address; NULL: some host has one. */
const char *pg_names_why(const struct pg_names *n);
/* The values of libpq's options host, hostaddr and port: an entry for each address. */
const char *pg_names_hosts(const struct pg_names *n);
const char *pg_names_addresses(const struct pg_names *n);
const char *pg_names_ports(const struct pg_names *n);
