/* SPDX-License-Identifier: MIT */
#pragma once

#include "handle.h"

/* Queues a call and waits for its answer. Return: 0: the results are in the call, which the caller
 * frees. A negative errno: the caller no longer owns the call. */
int call_ask(struct toytimer *t, struct call *call, uint64_t deadline);
