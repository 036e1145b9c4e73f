/* SPDX-License-Identifier: MIT */
/* Checks whether a client's packet is allowed now, and passes it to the file that handles it. */
#pragma once

#include "state.h"

/* As broker_handle(). */
int packets_handle(struct broker *b, struct client *client, const void *packet, size_t size);
