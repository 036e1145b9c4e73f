/* SPDX-License-Identifier: MIT */
/*
 * The daemon of a test program of the library, and handles to it. What goes wrong in here fails the
 * cmocka test that called it.
 */
#pragma once

#include <stdint.h>

#include <toytimer.h>

#include "daemon.h"

/* The only daemon of the program. */
extern struct test_daemon d;

/* For cmocka: starts the daemon, or starts it with room for 400000 timers, before tests. */
int start_daemon(void **state);
int start_large_daemon(void **state);

/* For cmocka: ends the daemon as SIGTERM does, and checks that it succeeded. It may be stopped. */
int stop_daemon(void **state);

/* For cmocka: kills the daemon if it runs, and removes its directory. */
int clean_daemon(void **state);

/* A new handle to the daemon. */
toytimer *open_handle(void);

/* A blocking registration that has to succeed. Return: the timer. */
uint64_t register_one(toytimer *t, const toytimer_registration *r);

/* Registers a timer that is due once, after that span. Return: the timer. */
uint64_t add_timer(toytimer *t, uint64_t span, toytimer_handler handler, void *userdata);

/* A handler that does nothing. */
int ignore_event(toytimer *t, const toytimer_event *event, void *userdata);

/* Checks that calls are answered, that a timer wakes, and that a program that polls can sleep. A
 * flag that an unfinished call left behind would prevent one of these. */
void check_usable(toytimer *t);

/* How many timers the daemon holds. Its answer comes after all that the handle has queued. */
uint64_t daemon_timers(toytimer *t);
