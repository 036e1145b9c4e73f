/* SPDX-License-Identifier: MIT */
/* The values that when.h parses and formats. Include when.h. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* "infinity" as a span, "@infinity" as an instant that never comes. */
#define WHEN_INFINITY UINT64_MAX

/* The last instant with a date: 9999-12-30 23:59:59 UTC, as in systemd. The year has four digits in
 * every time zone. */
#define WHEN_TIMESTAMP_LAST UINT64_C(253402214399000000)

/* Buffer sizes for any formatted span and any formatted timestamp, with the terminating 0. A zone's
 * name of more than 32 bytes may not fit and is then omitted. */
#define WHEN_SPAN_MAX	   64
#define WHEN_TIMESTAMP_MAX 64

enum when_kind {
	WHEN_SPAN,    /* counts from now; setting the wall clock does not change it */
	WHEN_INSTANT, /* a time of the wall clock */
};

/* Buffer sizes for the texts below, with the terminating 0. */
#define WHEN_ADVICE_MAX	    160
#define WHEN_SUGGESTION_MAX 96

struct when {
	enum when_kind kind;
	uint64_t us;	   /* from now, or since the epoch */
	uint64_t every_us; /* the period of "every 5 minutes"; 0: none */
	/* For a time of day that has passed today: the same time tomorrow, as text. Else empty. The
	 * caller can warn a user who typed "09:00" in the evening. */
	char suggestion[WHEN_SUGGESTION_MAX];
};

/*
 * Why a text is no span or no time: one of its words, and the rest of a sentence about that word,
 * which says what is wrong and what to type ("is not a unit; the units are ..."). The word points
 * into the caller's text and has no terminating 0. It is empty if the text is empty.
 */
struct when_error {
	const char *word;
	size_t length; /* of the word, in bytes */
	char advice[WHEN_ADVICE_MAX];
};
