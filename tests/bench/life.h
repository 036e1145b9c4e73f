/* SPDX-License-Identifier: MIT */
/*
 * A timer's whole life in one process. life.c measures it; life_timerd.c, life_libevent.c, … each
 * implement these functions with one library. Each library has a program of its own, so that no two
 * libraries share a heap.
 *
 * Time is simulated: life_clock.c replaces clock_gettime() and adds the spans of life_pass(). So
 * timers can be days apart, as in real programs, and the benchmark does not wait for them. Dues are
 * whole milliseconds, because libuv counts in milliseconds.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Makes a loop without timers. If the library needs the caller's memory for its handles, allocates
 * and touches room for n of them. records: how many timers one call to the library may concern, if
 * it allows more than one. */
void life_open(size_t n, size_t records);
void life_close(void);

/* Timer i falls due so many microseconds (whole milliseconds) from now. */
void life_add(size_t i, uint64_t due);
void life_cancel(size_t i);

/* Passes the timers to the library that were kept for one call. */
void life_flush(void);

/* Runs the loop until nothing more is due. Return: how many timers have fired since the last
 * call. */
size_t life_expire(void);

/* Moves the simulated time forward. */
void life_pass(uint64_t us);
