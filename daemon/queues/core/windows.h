/* SPDX-License-Identifier: MIT */
/* A consumer's window: whether it has room for a wake, and when its oldest wake is overdue. */
#pragma once

#include "state.h"

/* The room in the window has changed, or whether the client can be sent to. O(1). */
void window_update(struct consumer *c);

/* The same for all consumers of a client. */
void windows_update(struct client *client);

/* Sets the instant at which the consumer's oldest wake becomes overdue. O(log consumers). */
void window_arm(struct broker *b, struct consumer *c);
