/* SPDX-License-Identifier: MIT */
/*
 * Calls the program's handlers. A handler may throw an exception, end its thread or jump out of the
 * library; the handle stays usable (dispatch.h).
 */
#pragma once

#include "handle.h"

/* Calls a handler. Return: what the handler returns. */
typedef int (*handler_function)(struct toytimer *t, void *argument);

/* The handler was called and has dropped the last reference: the handle is gone. */
#define HANDLER_FREED 2

/*
 * Runs a handler with the lock released.
 *   timer: whose handler it is; 0: no timer's
 * Return: as handler_call_next() where there is an event.
 */
int handler_call(struct toytimer *t, uint64_t timer, handler_function function, void *argument,
	int *ret_result);

/*
 * Calls the handler of the oldest event that is not stale. The lock is released while it runs.
 * Return: 1: *ret_result is the handler's result. 0: there is no event. HANDLER_FREED. -ECHILD: the
 * handler returned in a forked child; the lock is not held, and the handle may be freed.
 */
int handler_call_next(struct toytimer *t, int *ret_result);

/*
 * Takes the oldest event that is not stale, without calling its handler.
 *   ret_userdata: of the timer; may be NULL
 * Return: whether there is an event.
 */
bool handler_take_next(struct toytimer *t, toytimer_event *ret_event, void **ret_userdata);
