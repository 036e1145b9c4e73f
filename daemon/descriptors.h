/* SPDX-License-Identifier: MIT */
/*
 * What timerd and timerqd do about their descriptors when they start.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "log.h"

/* Opens the standard streams that are closed. Otherwise a socket could get the number of one of
 * them, and a print would go to a client. */
void descriptors_open_standard(void);

/*
 * Raises RLIMIT_NOFILE to its hard limit. If that is too low for all clients, lowers max_clients
 * and logs that: a client that is refused with a clear error is better off than one that waits for
 * a descriptor.
 *   others: the descriptors that belong to no client
 * Return: whether it has lowered max_clients.
 */
bool descriptors_fit(struct log *log, uint32_t others, uint32_t *max_clients);
