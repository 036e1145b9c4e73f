/* SPDX-License-Identifier: MIT */
/*
 * A timer's whole life in one process: what each of life_timerd.c, life_libevent.c, … has to offer
 * to life.c, which measures it. One program each, so that no two libraries share a heap.
 *
 * Time is pretended: life_clock.c stands between a library and clock_gettime(), adding what
 * life_pass() was given. So timers can be days apart, as in life, and yet all be due at once when
 * it is their turn; libuv, which counts in milliseconds, gets the same dues as those that do not.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A loop without timers, and room for n handles where the library wants them from the caller: in
 * touched memory, as all that is measured is. records: how many may be told at once, where more
 * than one can be. */
void life_open(size_t n, size_t records);
void life_close(void);

/* Timer i falls due so many microseconds (whole milliseconds) from now. */
void life_add(size_t i, uint64_t due);
void life_cancel(size_t i);

/* Tells what has been kept to be told together. */
void life_flush(void);

/* Runs the loop until nothing more is due. Return: how many timers have fired since the last
 * call. */
size_t life_expire(void);

/* Lets so many microseconds pass. */
void life_pass(uint64_t us);
