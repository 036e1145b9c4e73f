/* SPDX-License-Identifier: MIT */
#pragma once

#include "handle.h"

/*
 * Calls the handler of the oldest event that is not stale. The lock is released while it runs.
 * Return: 1: *ret_result is the handler's result. 0: there is no event. -ECHILD: the handler returned
 * in a forked child; the lock is not held, and the handle may be freed.
 */
int handler_call_next(struct toytimer *t, int *ret_result);
