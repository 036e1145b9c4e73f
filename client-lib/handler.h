/* SPDX-License-Identifier: MIT */
#pragma once

#include "handle.h"

/* Calls a handler. Return: what the handler returns. */
typedef int (*handler_function)(struct toytimer *t, void *argument);

/*
 * Runs a handler with the lock released.
 *   timer: whose handler it is; 0: no timer's
 * Return: as handler_call_next() where there is an event.
 */
int handler_call(struct toytimer *t, uint64_t timer, handler_function function, void *argument,
	int *ret_result);

/*
 * Hands out the oldest event that is still wanted, with the lock released while its handler runs.
 * Return: 1: there was one, and *ret_result is what its handler returned; 0: there was none;
 * -ECHILD: the handler returned in a forked child, without the lock; the handle may be gone.
 */
int handler_call_next(struct toytimer *t, int *ret_result);
