/* SPDX-License-Identifier: MIT */
/*
 * What every benchmark needs: a clock, random numbers that are the same in each run, samples, and
 * one way of printing, `name value unit` a line, which tests/bench/run reads.
 *
 * A benchmark that cannot go on says why on standard error and exits with 1; the report then tells
 * that instead of a figure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t bench_ns(void);

/* Sleeps until bench_ns() is at least that. */
void bench_sleep_until(uint64_t ns);

/* Exits with 1. error: a positive or negative errno, or 0. */
_Noreturn void bench_die(const char *what, int error);

/* Argument i as a number, or the default where it is not given. */
uint64_t bench_argument(int argc, char **argv, int i, uint64_t otherwise);

/* xorshift64*; the state must not be 0. */
uint64_t bench_random(uint64_t *state);

/* 0 .. n - 1 in random order; the caller's to free. */
uint32_t *bench_permutation(size_t n, uint64_t *state);

/* calloc or the end. */
void *bench_alloc(size_t n, size_t size);

/* Zeroed memory that children forked later share, or the end. */
void *bench_shared(size_t size);

void bench_print(const char *name, double value, const char *unit);

/* Sorts n samples of nanoseconds and prints NAME_p50, NAME_p99 and NAME_max in microseconds. */
void bench_print_samples(const char *name, uint64_t *samples, size_t n);

/* A number from /proc/PID/status, by the name before its colon. */
uint64_t bench_proc_status(int pid, const char *name);

/* As many descriptors as this process may have. Return: how many. */
size_t bench_raise_descriptors(void);
