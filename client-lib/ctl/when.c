/* SPDX-License-Identifier: MIT */
/*
 * Tries each parser of spans and times; see when.h. The parsers:
 *
 *     when_relative   offsets from a known instant: "in 5 minutes", "@1800000000"
 *     when_span       spans: "1h 30min"
 *     when_phrase     spans in words: "an hour and a half"
 *     when_timestamp  dates and times of day, with the help of
 *         when_time       "18:00", "5pm", "noon"
 *         when_date       "2027-01-31", "31 Jan 2027"
 *         when_word       "tomorrow", "friday"
 *         when_zone       "UTC", "+01:00", "Europe/Berlin"
 *
 * All of them use when_calendar, when_error and when_text. when_format does the opposite: values to
 * text.
 */
#include "when.h"

#include <errno.h>

#include "when_error.h"
#include "when_phrase.h"
#include "when_relative.h"
#include "when_span.h"
#include "when_timestamp.h"

int when_parse_span(const char *text, uint64_t *ret_us, struct when_error *error)
{
	return when_span_read(when_text(text), ret_us, error);
}

bool when_doubt(const char *text, struct when_error *ret)
{
	return when_span_is_doubtful(when_text(text), ret);
}

/* Whether the text starts like "2027-" or "9:". */
static bool starts_as_time(struct when_text text)
{
	text.at += when_text_digits(text);
	return when_text_starts(&text, '-') || when_text_starts(&text, ':');
}

/* Chooses the error for a text that is neither a span nor a timestamp: the error that is further
 * right in the text. At the same place, a number is more likely the start of a span, unless it is
 * the start of a date or a time of day. */
static bool prefer_span_error(
	struct when_text text, const struct when_error *span, const struct when_error *timestamp)
{
	if (span->word != timestamp->word)
		return span->word > timestamp->word;
	return (when_text_starts_digit(&text) && !starts_as_time(text)) ||
		when_text_starts(&text, '.');
}

int when_parse(const char *string, uint64_t now_us, struct when *ret, struct when_error *error)
{
	const struct when_text text = when_text_trimmed(when_text(string));
	struct when_error span_error, timestamp_error;
	uint64_t us;
	int r, span_r;

	if (when_text_done(&text))
		return when_error_set(error, text, -EINVAL,
			"is empty; say for example 5min, 18:00 or tomorrow 9am");
	r = when_relative_read(text, now_us, ret, error);
	if (r <= 0)
		return r;
	span_r = when_span_or_phrase_read(text, &us, &span_error);
	if (span_r == 0) {
		*ret = (struct when){.kind = WHEN_SPAN, .us = us};
		return 0;
	}
	r = when_timestamp_read(text, now_us, ret, &timestamp_error);
	if (r == 0)
		return 0;
	if (r == -ENOENT) {
		r = -EINVAL;
		if (prefer_span_error(text, &span_error, &timestamp_error)) {
			r = span_r;
			timestamp_error = span_error;
		}
	}
	if (error)
		*error = timestamp_error;
	return r;
}
