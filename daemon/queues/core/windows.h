/* SPDX-License-Identifier: MIT */
/* A consumer's window: whether it has room for a wake, and when its oldest wake is overdue. */
#pragma once

#include "state.h"

/* The room in the window has changed, or the client can or cannot be written to. O(1). */
void window_update(struct consumer *c);

/* The same for all consumers of a client. */
void windows_update(struct client *client);

/* Sets when the consumer's oldest unacknowledged wake is overdue. O(log consumers). */
void window_arm(struct broker *b, struct consumer *c);
