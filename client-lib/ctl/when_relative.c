/* SPDX-License-Identifier: MIT */
/* See when_relative.h. */
#include "when_relative.h"

#include <errno.h>

#include "when_phrase.h"
#include "when_span.h"

static int error_missing(struct when_text all, struct when_error *error)
{
	return when_error_set(error, all, -EINVAL, "needs a span, such as 5min");
}

/* A span after a sign or a word. If there is no span, the error is about all of the text. */
static int read_required_span(
	struct when_text span, struct when_text all, uint64_t *ret_us, struct when_error *error)
{
	span = when_text_trimmed(span);
	if (when_text_done(&span))
		return error_missing(all, error);
	return when_span_or_phrase_read(span, ret_us, error);
}

/* A span from now. It stays a span, so that setting the wall clock does not change it. */
static int read_forward(
	struct when_text span, struct when_text all, struct when *ret, struct when_error *error)
{
	uint64_t us;
	int r;

	r = read_required_span(span, all, &us, error);
	if (r < 0)
		return r;
	if (us == WHEN_INFINITY)
		return when_error_set(error, all, -ERANGE, "never comes");
	*ret = (struct when){.kind = WHEN_SPAN, .us = us};
	return 0;
}

/* A span before now. The result is an instant, since a span cannot be negative. */
static int read_past(struct when_text span, struct when_text all, uint64_t now_us, struct when *ret,
	struct when_error *error)
{
	uint64_t us;
	int r;

	r = read_required_span(span, all, &us, error);
	if (r < 0)
		return r;
	if (__builtin_sub_overflow(now_us, us, &us))
		return when_error_set(error, all, -ERANGE, "is before 1970");
	*ret = (struct when){.kind = WHEN_INSTANT, .us = us};
	return 0;
}

static int read_epoch(
	struct when_text span, struct when_text all, struct when *ret, struct when_error *error)
{
	uint64_t us;
	int r;

	span = when_text_trimmed(span);
	if (when_text_done(&span))
		return error_missing(all, error);
	/* Nobody counts from 1970 in words. */
	r = when_span_read(span, &us, error);
	if (r < 0)
		return r;
	*ret = (struct when){.kind = WHEN_INSTANT, .us = us};
	return 0;
}

/* The span after "in" or "every": "5 minutes", "an hour", "hour". A number without a unit is
 * refused: elsewhere it means seconds, but for most people "in 5" means minutes. */
static int read_phrase(struct when_text span, struct when_text all, const char *advice,
	uint64_t *ret_us, struct when_error *error)
{
	struct when_error phrase;
	int r;

	if (when_text_done(&span))
		return error_missing(all, error);
	if (when_unit_read(span, ret_us) == 0)
		return 0;
	r = when_phrase_read(span, ret_us, &phrase);
	if (r == 0)
		return 0;
	if (phrase.word == span.at && when_is_letter(*span.at))
		return when_error_set(error, when_text_first_word(span), -EINVAL, "%s", advice);
	if (error)
		*error = phrase;
	return r;
}

static int read_in(
	struct when_text span, struct when_text all, struct when *ret, struct when_error *error)
{
	uint64_t us;
	int r;

	r = read_phrase(span, all, "is not a span; say for example in 5min", &us, error);
	if (r < 0)
		return r;
	*ret = (struct when){.kind = WHEN_SPAN, .us = us};
	return 0;
}

static int read_every(
	struct when_text span, struct when_text all, struct when *ret, struct when_error *error)
{
	uint64_t us;
	int r;

	r = read_phrase(span, all,
		"is not a span; say every 5min, or a time with --every, such as --every 7d friday",
		&us, error);
	if (r < 0)
		return r;
	if (us == 0)
		return when_error_set(
			error, span, -ERANGE, "is no period; say for example every 5min");
	*ret = (struct when){.kind = WHEN_SPAN, .us = us, .every_us = us};
	return 0;
}

/* "now + 5 minutes", as in at(1) */
static bool take_now_plus(struct when_text *text)
{
	struct when_text rest = *text;
	const struct when_text now = when_text_letters(rest);

	if (!when_text_is_caseless(now, "now"))
		return false;
	rest.at = now.end;
	when_text_skip_blanks(&rest);
	if (!when_text_starts(&rest, '+'))
		return false;
	text->at = rest.at + 1;
	return true;
}

int when_relative_read(
	struct when_text text, uint64_t now_us, struct when *ret, struct when_error *error)
{
	const struct when_text all = text, after_sign = {text.at + 1, text.end};

	if (when_text_is_caseless(text, "now")) {
		*ret = (struct when){.kind = WHEN_INSTANT, .us = now_us};
		return 0;
	}
	if (take_now_plus(&text))
		return read_forward(text, all, ret, error);
	if (when_text_starts(&text, '+'))
		return read_forward(after_sign, all, ret, error);
	if (when_text_starts(&text, '-'))
		return read_past(after_sign, all, now_us, ret, error);
	if (when_text_starts(&text, '@'))
		return read_epoch(after_sign, all, ret, error);
	if (when_text_take_word(&text, "in"))
		return read_in(text, all, ret, error);
	if (when_text_take_word(&text, "every"))
		return read_every(text, all, ret, error);
	if (when_text_take_last_word(&text, "ago"))
		return read_past(text, all, now_us, ret, error);
	if (when_text_take_last_word(&text, "left"))
		return read_forward(text, all, ret, error);
	if (when_text_take_last_word(&text, "now") && when_text_take_last_word(&text, "from"))
		return read_forward(text, all, ret, error);
	return 1;
}
