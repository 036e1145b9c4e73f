/* SPDX-License-Identifier: MIT */
/*
 * Error events: the last packet of a session, with the reason why the session ends. timerd and
 * timerqd send the same sentences.
 */
#pragma once

#include <stddef.h>

#include "codec.h"

/* Writes an error event, also for a peer without a session. Return: its size in bytes. */
size_t errors_write(void *packet, enum proto_status status, uint64_t serial, const char *text);

/* The text for a status that ends a session. Never NULL. */
const char *errors_text(enum proto_status status);

/* The option for the limit that a status names; NULL: the status names no limit of a daemon. */
const char *errors_limit(enum proto_status status);
