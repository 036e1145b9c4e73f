/* SPDX-License-Identifier: MIT */
/*
 * Shared by the test_when*.c files: tables of texts, with their values or the errors that they
 * cause. "Now" is always Tue 2026-11-24 08:00:00.123456 UTC, unless a test says otherwise.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../client-lib/ctl/when.h"

#define NOW_S	 UINT64_C(1795507200)
#define NOW_US	 (S(NOW_S) + 123456)
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define US(n)	 UINT64_C(n)
#define S(n)	 ((uint64_t)(n)*1000000)
#define MIN(n)	 S((n)*UINT64_C(60))
#define H(n)	 MIN((n)*UINT64_C(60))
#define D(n)	 H((n)*UINT64_C(24))
#define W(n)	 D((n)*UINT64_C(7))
#define MONTH(n) S((n)*UINT64_C(2629800))
#define Y(n)	 S((n)*UINT64_C(31557600))

/* 00:00 of today, a Tuesday. */
#define TODAY (S(NOW_S) - H(8))

struct instant {
	const char *text;
	uint64_t us; /* since the epoch; a span counts from now */
};

struct refused {
	const char *text;
	int r;
	const char *word;
	const char *advice; /* a part of it; NULL: any */
};

/* Sets $TZ; NULL: unsets it. */
void use_zone(const char *zone);

/* A setup function for cmocka: sets UTC and unsets $TZDIR. */
int in_utc(void **state);

/* Skips the test if the package tzdata is not installed. */
void need_zones(void);

void expect_instants(const struct instant *table, size_t count);

/* Each text is refused. Only the error is set, and its message is one line. */
void expect_refused(const struct refused *table, size_t count);

/* Checks that the error is about this word of the text. */
void expect_error(const char *text, const char *word, const struct when_error *error);

/* Pseudo-random numbers of all magnitudes, the same in each run. */
uint64_t next_number(uint64_t *seed);
