/* SPDX-License-Identifier: MIT */
#pragma once

#include "handle.h"

/* Queues a call and waits for its answer. Return: 0: its results are in it; a negative errno: it is
 * no longer the caller's. */
int call_ask(struct toytimer *t, struct call *call, uint64_t deadline);
