/* SPDX-License-Identifier: MIT */
/*
 * What the tests of times share: tables of texts with what they mean, or with why they are refused.
 * "Now" is always Tue 2026-11-24 08:00:00.123456 UTC, unless a test says otherwise.
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

/* $TZ for this test; NULL: none. */
void use_zone(const char *zone);

/* A cmocka set-up: UTC, and no $TZDIR. */
int in_utc(void **state);

/* Skips the test where the rules of time zones, which come from a package, are not installed. */
void need_zones(void);

void expect_instants(const struct instant *table, size_t count);

/* Each is refused, nothing is written but the error, and the error is one line. */
void expect_refused(const struct refused *table, size_t count);

/* The error blames this word of the text. */
void expect_error(const char *text, const char *word, const struct when_error *error);

/* Numbers that look random but are the same each time; of all magnitudes. */
uint64_t next_number(uint64_t *seed);
