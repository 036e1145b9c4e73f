/* SPDX-License-Identifier: MIT */
/* A consumer's window: whether it has room for a wake, and when its oldest wake is overdue. */
#pragma once

#include "state.h"

/* Updates the consumer's lists. Call it when the room in the window has changed, or when the
 * client's socket has become full or has room again. O(1). */
void window_update(struct consumer *c);

/* The same for all consumers of a client. */
void windows_update(struct client *client);

/* Sets the instant at which the consumer's oldest wake becomes overdue. O(log consumers). */
void window_arm(struct broker *b, struct consumer *c);
