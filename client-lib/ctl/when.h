/* SPDX-License-Identifier: MIT */
/*
 * Parses and formats spans and times: "1h 30min", "18:00", "in 5 minutes", "friday 5pm",
 * "2027-01-01 09:00:30 Europe/Berlin", "2027-01-01T09:00:30+01:00", "@1800000000.5". The syntax is
 * that of systemd.time(7) and common English; toytimerctl(1) describes it.
 *
 * All values are microseconds in uint64_t. An instant counts from 1970-01-01 00:00 UTC. These
 * functions read no clock: the caller passes the wall clock (now_us), so that a test can choose the
 * day. They use no floating point, check each arithmetic step on input, and do not depend on the
 * locale.
 *
 * The local time zone is that of the C library ($TZ, else /etc/localtime). To use a zone that the
 * text names, when_parse() sets $TZ and restores it before it returns. So NOT thread-safe: no other
 * thread may use local time or the environment at the same time.
 *
 * The functions accept what systemd 252 accepts, with the same meaning, except:
 *  - A date must exist. For systemd, 2027-02-30 is March 2.
 *  - A weekday with a time of day and without a date means the first such day after today. systemd
 *    accepts it only if today is that weekday.
 *  - A local time that the clocks skip moves forward by the gap. systemd moves it back if the
 *    reason for the gap is not summer time.
 *  - A separator must stand between date and time. systemd 252 reads "2027-01-45:30" as 05:30 on
 *    the 4th; here a typing error is an error.
 *  - Vertical tab and form feed are not blanks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "when_values.h"

/*
 * Parses a span: a sum of numbers with units ("5s", "1.5h", "5day4hours", "2 h 30"), or "infinity".
 * A number without a unit is seconds. Fractions of a microsecond are cut off.
 *
 * @ret_us: microseconds; WHEN_INFINITY for "infinity" only; untouched on failure. @error: set on
 * failure only; may be NULL.
 * Return: 0; -EINVAL if text is no span; -ERANGE if the span is negative or too large.
 */
int when_parse_span(const char *text, uint64_t *ret_us, struct when_error *error);

/*
 * Parses a span or a time.
 *
 * Spans count from now: "5s", "+5s", "5s left", "in 5 minutes", "an hour and a half"; and "every 5
 * minutes", which also has a period. All else is an instant: "now"; "@1800000000.5"; "5s ago" and
 * "-5s", since a span cannot be negative; a day, a time of day, or both, with an optional time
 * zone at the end.
 *
 * A month's name with a day and without a year means the next such day after today; today's own
 * date is refused. A time of day without a day means today. A weekday with a date must fit it; a
 * weekday alone means the first such day after today. "midnight" means the next one. A local time
 * that the clocks skip moves forward by the gap. A local time that occurs twice means, as in
 * systemd, the later one east of Greenwich and the earlier one west of it, unless an offset or an
 * abbreviation selects one.
 *
 * @now_us: the wall clock, in microseconds since the epoch. @ret: untouched on failure. Its us is
 * WHEN_INFINITY for "infinity" and "@infinity" only. @error: set on failure only; may be NULL.
 * Return: 0; -EINVAL if text is neither; -ERANGE if a span is negative or too large, or if an
 * instant is before 1970 or after WHEN_TIMESTAMP_LAST ("@" has no such end); -ENOMEM.
 */
int when_parse(const char *text, uint64_t now_us, struct when *ret, struct when_error *error);

/*
 * Whether a text that is a span may be meant as something else: "1h30" is an hour and 30 seconds,
 * and "20270101" and "0900" are seconds. The caller can warn with the word and the advice.
 *
 * @ret: untouched on false.
 */
bool when_doubt(const char *text, struct when_error *ret);

/*
 * Formats a span as systemd does: "1h 30min", "250ms", "5.005000s", "infinity", "0".
 *
 * @accuracy_us: omits parts that are smaller than this, unless the result would be empty. 0 and 1
 * omit nothing. @buffer, @size: at least 1 byte. The text is always terminated; it is cut off if
 * size is less than WHEN_SPAN_MAX and the text is longer.
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
 * Formats an instant as systemd does: "Fri 2027-01-01 09:00:30 CET". when_parse() accepts this
 * text. Fractions of a second are cut off. WHEN_INFINITY becomes "-", any other instant after
 * WHEN_TIMESTAMP_LAST "--- XXXX-XX-XX XX:XX:XX". The instant 0 is an instant like any other, unlike
 * in systemd.
 *
 * @us: microseconds since the epoch. @style: flags of enum when_style. @buffer, @size: as above,
 * with WHEN_TIMESTAMP_MAX. A zone's name that does not fit is omitted.
 * Return: @buffer.
 */
char *when_format_timestamp(char *buffer, size_t size, uint64_t us, unsigned int style);
