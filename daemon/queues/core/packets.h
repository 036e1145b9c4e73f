/* SPDX-License-Identifier: MIT */
/* A client's packet: whether it may come now, and which file handles it. */
#pragma once

#include "state.h"

/* As broker_handle(). */
int packets_handle(struct broker *b, struct client *client, const void *packet, size_t size);
