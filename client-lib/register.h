/* SPDX-License-Identifier: MIT */
/*
 * Registers timers again that have ended: a handler may re-arm its timer in its last event.
 */
#pragma once

#include "handle.h"

/* Registers an ENDED timer again, and waits for the answer. Return: 0 or a negative errno. */
int register_again(struct toytimer *t, struct timer *timer, const struct proto_rearm *record);

/* The same without waiting. If the daemon refuses the timer, its handler gets TOYTIMER_REFUSED. */
void register_again_async(
	struct toytimer *t, struct timer *timer, const struct proto_rearm *record);
