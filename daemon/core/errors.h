/* SPDX-License-Identifier: MIT */
/*
 * Error events: the last packet of a session that ends, and what it says.
 */
#pragma once

#include <stddef.h>

#include "codec.h"

/* Writes an error event. Peers without a session get one, too. Return: its size in bytes. */
size_t errors_write(void *packet, enum proto_status status, uint64_t serial, const char *text);

/* A sentence for a status that ends a session. Never NULL. */
const char *errors_text(enum proto_status status);
