/* SPDX-License-Identifier: MIT */
#pragma once

#include "handle.h"

/* Registers a timer again that is at its end, and waits for the answer. */
int register_again(struct toytimer *t, struct timer *timer, const struct proto_rearm *record);

/* The same without waiting: a refusal becomes an event. */
void register_again_async(
	struct toytimer *t, struct timer *timer, const struct proto_rearm *record);
