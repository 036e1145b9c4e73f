/* SPDX-License-Identifier: MIT */
/*
 * Times as people write and read them, in the syntax of systemd.time(7) and in common English:
 * "1h 30min", "18:00", "in 5 minutes", "friday 5pm", "2027-01-01 09:00:30 Europe/Berlin",
 * "2027-01-01T09:00:30+01:00", "@1800000000.5".
 *
 * Everything is in microseconds, in uint64_t: a span as such, an instant since 1970-01-01 00:00
 * UTC. No clock is read here: who calls says what the wall clock shows (now_us), so that a test can
 * be of any day. No floating point, no arithmetic on what was typed that is not checked, and nothing
 * depends on the locale.
 *
 * The zone of the process is the C library's ($TZ, else /etc/localtime). A zone named in the text
 * is looked at by setting $TZ for the length of the call and putting it back: these functions are
 * therefore NOT for a process in which another thread uses local time or the environment.
 *
 * What systemd 252 accepts is accepted here and means the same, with these exceptions:
 *  - A date must exist: systemd reads 2027-02-30 as March 2.
 *  - A weekday with a time of day and no date is of the first such day after today. systemd takes
 *    it only if today is that day.
 *  - Where clocks skip a local time, it moves on by what they skip. systemd moves it back where the
 *    skip is not the begin of summer time.
 *  - Date and time need something between them. systemd 252 reads "2027-01-45:30" as 05:30 on
 *    the 4th; a slip of the finger should be an error and not another day.
 *  - Vertical tab and form feed are no blanks.
 * And much more is accepted than there: toytimerctl(1) lists it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The span without an end, "infinity"; also the instant that never comes, "@infinity". */
#define WHEN_INFINITY UINT64_MAX

/* The last instant with a calendar date, 9999-12-30 23:59:59 UTC, where systemd ends too: one day
 * short of the year 10000, so that the year has four digits in every zone. */
#define WHEN_TIMESTAMP_LAST UINT64_C(253402214399000000)

/* Bytes, the terminating 0 included, that hold any formatted span, any formatted timestamp (with a
 * zone's name of up to 32 bytes; a longer one is left out). */
#define WHEN_SPAN_MAX	   64
#define WHEN_TIMESTAMP_MAX 64

enum when_kind {
	WHEN_SPAN,    /* so long from now on, whatever the wall clock is set to */
	WHEN_INSTANT, /* when the wall clock shows this */
};

/* Bytes, the terminating 0 included, of the texts below. */
#define WHEN_ADVICE_MAX	    160
#define WHEN_SUGGESTION_MAX 96

/* A WHEN. */
struct when {
	enum when_kind kind;
	uint64_t us;	   /* from now on, or since the epoch */
	uint64_t every_us; /* "every 5 minutes": the period; 0: none was named */
	/* If a time of day was named that has passed today: the WHEN that names it for tomorrow.
	 * Else empty. Whoever typed "09:00" in the evening should be told. */
	char suggestion[WHEN_SUGGESTION_MAX];
};

/*
 * Why a text was not understood: a word of it and the rest of a sentence about that word, which
 * says what is wrong and what to say ("is not a unit; the units are ..."). The word is length bytes
 * inside the text that was given (so without a 0 at its end, and only for as long as that text
 * lives). It is empty where the text is.
 */
struct when_error {
	const char *word;
	size_t length;
	char advice[WHEN_ADVICE_MAX];
};

/*
 * Reads a span: numbers with units ("5s", "1.5h", "5day4hours", "2 h 30"), added up; without a unit
 * it is seconds; or "infinity". Fractions of a microsecond are dropped.
 *
 * @text: what was typed. @ret_us: the span in microseconds, WHEN_INFINITY for "infinity" and for
 * nothing else; untouched on failure. @error: written on failure only; may be NULL.
 * Return: 0; -EINVAL if it is no span; -ERANGE if it is negative or too large.
 */
int when_parse_span(const char *text, uint64_t *ret_us, struct when_error *error);

/*
 * Reads a WHEN. What counts from now on is a span: "5s", "+5s", "5s left", "in 5 minutes"; setting
 * the wall clock must not move it. "every 5 minutes" is a span of that length with a period. All
 * else is an instant: "now"; "@1800000000.5" (seconds since the epoch); "5s ago" and "-5s", since a
 * span cannot be negative; a day, a time of day (of today), or both, with an optional zone at the
 * end ("UTC", an offset, a name of the IANA database, an abbreviation of the local zone).
 *
 * A weekday beside a date must fit it. A weekday alone is the first one after today. "midnight" is
 * the next one. A local time that the clocks skip is moved on by what they skip, and never before
 * the gap. One that comes twice is, as in systemd, the later of the two east of Greenwich and the
 * earlier one west of it, unless an offset or the abbreviation after it tells which.
 *
 * @text: what was typed. @now_us: the wall clock, in microseconds since the epoch. @ret: untouched
 * on failure; its us is WHEN_INFINITY for "infinity" and "@infinity" only. @error: written on
 * failure only; may be NULL.
 * Return: 0; -EINVAL if it is no WHEN; -ERANGE if a span is negative or too large, or an instant
 * is before 1970 or, unless written with "@", after WHEN_TIMESTAMP_LAST; -ENOMEM.
 */
int when_parse(const char *text, uint64_t now_us, struct when *ret, struct when_error *error);

/*
 * Writes a span as systemd does: "1h 30min", "250ms", "5.005000s", "infinity", "0".
 *
 * @us: microseconds. @accuracy_us: what is smaller than this is left out, unless nothing else would
 * be left; 0 and 1 leave out nothing. @buffer of @size bytes, at least 1: always 0-terminated;
 * WHEN_SPAN_MAX holds any span, a smaller one cuts it off.
 * Return: @buffer.
 */
char *when_format_span(char *buffer, size_t size, uint64_t us, uint64_t accuracy_us);

enum when_style {
	WHEN_LOCAL = 0,		    /* in the local time zone, in whole seconds */
	WHEN_UTC = 1 << 0,	    /* in UTC */
	WHEN_MICROSECONDS = 1 << 1, /* with six digits after the seconds */
	WHEN_SHORT = 1 << 2,	    /* date, hour and minute only: "2027-01-01 09:00" */
};

/*
 * Writes an instant as systemd does: "Fri 2027-01-01 09:00:30 CET", which when_parse() reads again. Seconds are cut, not rounded. "-" stands for WHEN_INFINITY and
 * "--- XXXX-XX-XX XX:XX:XX" for anything else after WHEN_TIMESTAMP_LAST. The instant 0 is one like
 * any other (to systemd it means that none is set).
 *
 * @us: microseconds since the epoch. @style: of enum when_style, or-ed. @buffer, @size: as above,
 * with WHEN_TIMESTAMP_MAX; a zone that does not fit is left out.
 * Return: @buffer.
 */
char *when_format_timestamp(char *buffer, size_t size, uint64_t us, unsigned int style);

/* Whether the time zone in $TZ exists. If it does not, the C library uses UTC without an error. True
 * if $TZ is not set. */
bool when_local_zone_is_known(void);
