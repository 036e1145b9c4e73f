/* SPDX-License-Identifier: MIT */
#pragma once

#include "handle.h"

/*
 * Hands out the oldest event that is still wanted, with the lock released while its handler runs.
 * Return: 1: there was one, and *ret_result is what its handler returned; 0: there was none;
 * -ECHILD: the handler returned in a forked child, without the lock; the handle may be gone.
 */
int handler_call_next(struct toytimer *t, int *ret_result);
