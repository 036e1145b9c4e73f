/* SPDX-License-Identifier: MIT */
/* Clients: how they connect and disconnect, and how many requests of each may wait. */
#pragma once

#include "state.h"

/* As broker_connect(). */
enum proto_status client_connect(
	struct broker *b, uint32_t uid, uint32_t max_clients, uint32_t *ret_client);

/* Ends the clients whose hello did not come in time. O(these clients). */
void clients_end_silent(struct broker *b);

/* When clients_end_silent() has something to do next, on `real`; PROTO_FOREVER: never. O(1). */
uint64_t clients_next_silent(const struct broker *b);

/* As broker_disconnect(). */
void client_disconnect(struct broker *b, struct client *client);

/* Frees a client without consumers for which the store reads nothing. Its requests are still
 * carried out. */
void client_free(struct broker *b, struct client *client);

/* As broker_reads(). */
bool client_may_ask(const struct client *client);

/* As broker_writable(). */
void client_writable(struct client *client);
