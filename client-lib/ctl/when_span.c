/* SPDX-License-Identifier: MIT */
/*
 * Parses spans; see when.h.
 *
 * A span is a sum of terms, and a term is a number with an optional unit. The limits are those of
 * systemd: a whole number fits int64_t; the next whole number still fits uint64_t in microseconds,
 * so that adding a fraction cannot overflow; the sum is less than infinity.
 */
#include "when_span.h"

#include <errno.h>

#define US_PER_MINUTE (60 * WHEN_US_PER_SECOND)
#define US_PER_HOUR   (60 * US_PER_MINUTE)
#define US_PER_DAY    (24 * US_PER_HOUR)
#define US_PER_WEEK   (7 * US_PER_DAY)
#define US_PER_MONTH  (UINT64_C(2629800) * WHEN_US_PER_SECOND)	/* 30.4375 days */
#define US_PER_YEAR   (UINT64_C(31557600) * WHEN_US_PER_SECOND) /* 365.25 days */

/* "m" is a minute, "M" a month. The micro sign and the Greek letter mu look the same, so both are
 * accepted. */
static const struct {
	const char *name;
	uint64_t us;
} units[] = {
	{"us", 1},
	{"usec", 1},
	{"\xc2\xb5s", 1},
	{"\xce\xbcs", 1},
	{"ms", 1000},
	{"msec", 1000},
	{"s", WHEN_US_PER_SECOND},
	{"sec", WHEN_US_PER_SECOND},
	{"secs", WHEN_US_PER_SECOND},
	{"second", WHEN_US_PER_SECOND},
	{"seconds", WHEN_US_PER_SECOND},
	{"m", US_PER_MINUTE},
	{"min", US_PER_MINUTE},
	{"mins", US_PER_MINUTE},
	{"minute", US_PER_MINUTE},
	{"minutes", US_PER_MINUTE},
	{"h", US_PER_HOUR},
	{"hr", US_PER_HOUR},
	{"hrs", US_PER_HOUR},
	{"hour", US_PER_HOUR},
	{"hours", US_PER_HOUR},
	{"d", US_PER_DAY},
	{"day", US_PER_DAY},
	{"days", US_PER_DAY},
	{"w", US_PER_WEEK},
	{"week", US_PER_WEEK},
	{"weeks", US_PER_WEEK},
	{"M", US_PER_MONTH},
	{"month", US_PER_MONTH},
	{"months", US_PER_MONTH},
	{"y", US_PER_YEAR},
	{"year", US_PER_YEAR},
	{"years", US_PER_YEAR},
};

/* Sets an error about the first word, which should be a number with a unit. */
static int error_number(struct when_text text, int code, struct when_error *error)
{
	struct when_text word = when_text_first_word(text);

	if (code != -ERANGE)
		return when_error_set(error, word, code,
			"is not a number with a unit; say a span such as 1h 30min");
	if (when_text_starts(&word, '-'))
		return when_error_set(error, word, code, "is negative; a span is 0 or more");
	return when_error_set(
		error, word, code, "is too long a span; the longest is about 584000y");
}

/* A whole number up to INT64_MAX, with an optional plus sign. */
static int scan_whole(struct when_text *text, uint64_t *ret)
{
	uint64_t value = 0;

	if (when_text_starts(text, '-'))
		return -ERANGE;
	if (when_text_starts(text, '+'))
		text->at++;
	if (!when_text_starts_digit(text))
		return -EINVAL;
	for (; when_text_starts_digit(text); text->at++) {
		if (__builtin_mul_overflow(value, 10u, &value) ||
			__builtin_add_overflow(value, (unsigned int)(*text->at - '0'), &value) ||
			value > INT64_MAX)
			return -ERANGE;
	}
	*ret = value;
	return 0;
}

/* Takes the letters at the start of the text, also letters beyond ASCII. May be empty. */
static struct when_text take_letters(struct when_text *text)
{
	struct when_text word = *text;

	while (!when_text_done(text) && (when_is_letter(*text->at) || (*text->at & 0x80)))
		text->at++;
	word.end = text->at;
	return word;
}

int when_unit_read(struct when_text word, uint64_t *ret_us)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (when_text_is(word, units[i].name)) {
			*ret_us = units[i].us;
			return 0;
		}
	}
	return -EINVAL;
}

int when_unit_take(struct when_text *text, uint64_t *ret_us)
{
	struct when_text rest = *text;
	const struct when_text word = take_letters(&rest);

	if (when_unit_read(word, ret_us) < 0)
		return -EINVAL;
	*text = rest;
	return 0;
}

/* Sets an error about a word that is no unit. As for systemd, the case matters: "M" is not "m". */
static int error_unit(struct when_text word, struct when_error *error)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strlen(units[i].name) >= 3 && when_text_is_caseless(word, units[i].name))
			return when_error_set(error, word, -EINVAL,
				"is not a unit; units have small letters: %s", units[i].name);
	if (when_text_is_caseless(word, "am") || when_text_is_caseless(word, "pm"))
		return when_error_set(error, word, -EINVAL,
			"must follow a time of day, such as 8%.*s or 8:30%.*s",
			(int)when_text_length(word), word.at, (int)when_text_length(word), word.at);
	return when_error_set(error, word, -EINVAL,
		"is not a unit; the units are us, ms, s, min, h, d, w, M and y");
}

/* The value of the digits after the decimal point. Each digit is rounded down to microseconds, as
 * in systemd, so that 64 bits suffice. */
static uint64_t fraction_us(struct when_text digits, uint64_t unit)
{
	uint64_t us = 0;

	for (; !when_text_done(&digits) && unit > 0; digits.at++) {
		unit /= 10;
		us += unit * (unsigned int)(*digits.at - '0');
	}
	return us;
}

int when_term_read(struct when_text *text, struct when_term *ret, struct when_error *error)
{
	const struct when_text whole_text = *text;
	struct when_text fraction = {text->end, text->end}, word;
	uint64_t whole = 0, unit = WHEN_US_PER_SECOND, ceiling;
	const char *number_end;
	int r;

	if (!when_text_starts(text, '.')) {
		r = scan_whole(text, &whole);
		if (r < 0)
			return error_number(whole_text, r, error);
	}
	if (when_text_starts(text, '.')) {
		text->at++;
		fraction.at = text->at;
		while (when_text_starts_digit(text))
			text->at++;
		fraction.end = text->at;
		if (when_text_done(&fraction))
			return error_number(whole_text, -EINVAL, error);
	}

	number_end = text->at;
	when_text_skip_blanks(text);
	word = take_letters(text);
	if (!when_text_done(&word) && when_unit_read(word, &unit) < 0)
		return error_unit(word, error);
	/* A number without a unit must end at a blank: "1.5.5" is not two numbers. */
	if (text->at == number_end && !when_text_done(text))
		return error_number(whole_text, -EINVAL, error);
	/* whole + 1 does not overflow, since whole is at most INT64_MAX. */
	if (__builtin_mul_overflow(whole + 1, unit, &ceiling))
		return error_number(whole_text, -ERANGE, error);
	*ret = (struct when_term){
		.us = whole * unit + fraction_us(fraction, unit),
		.unit = when_text_done(&word) ? 0 : unit,
	};
	return 0;
}

int when_span_read(struct when_text text, uint64_t *ret_us, struct when_error *error)
{
	struct when_term term = {0};
	uint64_t sum = 0;
	int r;

	text = when_text_trimmed(text);
	if (when_text_done(&text))
		return when_error_set(
			error, text, -EINVAL, "is empty; say a span such as 1h 30min");
	if (when_text_is(text, "infinity")) {
		*ret_us = WHEN_INFINITY;
		return 0;
	}
	while (!when_text_done(&text)) {
		const struct when_text start = text;

		r = when_term_read(&text, &term, error);
		if (r < 0)
			return r;
		if (__builtin_add_overflow(sum, term.us, &sum) || sum == WHEN_INFINITY)
			return error_number(start, -ERANGE, error);
		when_text_skip_blanks(&text);
	}
	*ret_us = sum;
	return 0;
}

/* The number that two digits stand for. */
static unsigned int two_digits(const char *digits)
{
	return (unsigned int)(digits[0] - '0') * 10 + (unsigned int)(digits[1] - '0');
}

/* "20270101" and "0900" may be meant as a date and as a time of day. */
static bool is_like_a_timestamp(struct when_text number, struct when_error *ret)
{
	const char *d = number.at;
	size_t digits = when_text_digits(number);

	if (digits != when_text_length(number))
		return false;
	if (digits == 8 && (two_digits(d) == 19 || two_digits(d) == 20) &&
		two_digits(d + 4) - 1 < 12 && two_digits(d + 6) - 1 < 31) {
		when_error_set(ret, number, 0, "is a number of seconds; a date is %.4s-%.2s-%.2s",
			d, d + 4, d + 6);
		return true;
	}
	if (digits == 4 && *d == '0' && two_digits(d + 2) < 60) {
		when_error_set(ret, number, 0, "is a number of seconds; a time of day is %.2s:%.2s",
			d, d + 2);
		return true;
	}
	return false;
}

bool when_span_is_doubtful(struct when_text text, struct when_error *ret)
{
	struct when_text start, number;
	struct when_term term;
	size_t terms = 0;

	text = when_text_trimmed(text);
	if (is_like_a_timestamp(text, ret))
		return true;
	for (; !when_text_done(&text); terms++) {
		start = text;
		if (when_term_read(&text, &term, NULL) < 0)
			return false;
		number = when_text_trimmed((struct when_text){start.at, text.at});
		when_text_skip_blanks(&text);
		if (term.unit == 0 && (terms > 0 || !when_text_done(&text))) {
			when_error_set(ret, number, 0,
				"is a number of seconds here; say %.*ss, or %.*smin if you mean "
				"minutes",
				(int)when_text_length(number), number.at,
				(int)when_text_length(number), number.at);
			return true;
		}
	}
	return false;
}
