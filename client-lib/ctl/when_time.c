/* SPDX-License-Identifier: MIT */
/* Parses times of day; see when_fields.h. */
#include <errno.h>

#include "when_fields.h"

enum meridiem {
	MERIDIEM_NONE,
	MERIDIEM_AM,
	MERIDIEM_PM,
};

static int bad_time(struct when_fields *fields, struct when_text start, struct when_text text)
{
	struct when_text word = when_text_word_at(start, text.at);

	if (when_text_is(word, "24:00") || when_text_is(word, "24:00:00"))
		return when_error_set(fields->error, word, -EINVAL,
			"is not a time of day; say 00:00 and name the next day");
	return when_error_set(fields->error, word, -EINVAL,
		"is not a time of day; say for example 18:00, 18:00:30 or 6pm");
}

/* Takes "am", "pm", "a.m." or "p.m." off the start of the text, with the blanks before it. */
static enum meridiem take_meridiem(struct when_text *text)
{
	struct when_text rest = *text, word;
	enum meridiem meridiem;

	when_text_skip_blanks(&rest);
	word = when_text_first_word(rest);
	if (when_text_is_caseless(word, "am") || when_text_is_caseless(word, "a.m."))
		meridiem = MERIDIEM_AM;
	else if (when_text_is_caseless(word, "pm") || when_text_is_caseless(word, "p.m."))
		meridiem = MERIDIEM_PM;
	else
		return MERIDIEM_NONE;
	text->at = word.end;
	return meridiem;
}

/* ".25" or ",25" in microseconds, rounded at the seventh digit. The result may be a full second. */
static bool read_fraction(struct when_text *text, uint64_t *ret_us)
{
	uint64_t us = 0;
	int digits = 0;

	text->at++;
	if (!when_text_starts_digit(text))
		return false;
	for (; when_text_starts_digit(text); text->at++) {
		if (digits < 6)
			us = us * 10 + (unsigned int)(*text->at - '0');
		else if (digits == 6 && *text->at >= '5')
			us++;
		if (digits < 7)
			digits++;
	}
	for (; digits < 6; digits++)
		us *= 10;
	*ret_us = us;
	return true;
}

static bool starts_fraction(const struct when_text *text)
{
	return when_text_starts(text, '.') ||
		(when_text_starts(text, ',') && text->at + 1 < text->end &&
			when_is_digit(text->at[1]));
}

/* "second[.fraction]" */
static bool read_seconds(struct when_text *text, struct when_fields *fields)
{
	/* 60 is a leap second. The C library, and therefore systemd, accepts 61. */
	if (!when_number_read(text, 2, 0, 61, &fields->second))
		return false;
	return !starts_fraction(text) || read_fraction(text, &fields->us);
}

/* "hour:minute[:second[.fraction]]". The caller has checked that a colon follows the hour. */
static bool read_clock(struct when_text *text, struct when_fields *fields)
{
	if (!when_number_read(text, 2, 0, 23, &fields->hour))
		return false;
	text->at++;
	if (!when_number_read(text, 2, 0, 59, &fields->minute))
		return false;
	if (!when_text_starts(text, ':'))
		return true;
	text->at++;
	return read_seconds(text, fields);
}

/* Stores the words of a time of day, from start to text. Return: 1, or -EINVAL. */
static int finish(struct when_fields *fields, struct when_text start, struct when_text text)
{
	const struct when_text words = {start.at, text.at};

	if (!when_text_done(&fields->time_words))
		return when_error_set(
			fields->error, words, -EINVAL, "is a second time of day; say only one");
	fields->time_words = words;
	return 1;
}

static int read_word(struct when_text *text, struct when_fields *fields)
{
	const struct when_text start = *text, word = when_text_letters(start);
	bool is_midnight = when_text_is_caseless(word, "midnight");

	if (!is_midnight && !when_text_is_caseless(word, "noon") &&
		!when_text_is_caseless(word, "midday"))
		return 0;
	text->at = word.end;
	fields->is_midnight = is_midnight;
	fields->hour = is_midnight ? 0 : 12;
	fields->minute = fields->second = 0;
	fields->us = 0;
	return finish(fields, start, *text);
}

/* The word after the 12 of "12 noon" and "12 midnight". Return: as when_time_read(). */
static int read_word_after_12(
	struct when_text *text, struct when_text number, struct when_fields *fields)
{
	struct when_text rest = {number.end, text->end};
	int r;

	if (!when_text_is(number, "12"))
		return 0;
	when_text_skip_blanks(&rest);
	r = read_word(&rest, fields);
	if (r > 0)
		*text = rest;
	return r;
}

/* Converts 1 to 12 am or pm to 0 to 23. 12am is midnight and 12pm is noon, as in date(1). */
static bool apply_meridiem(struct when_fields *fields, enum meridiem meridiem)
{
	if (fields->hour < 1 || fields->hour > 12)
		return false;
	fields->hour = fields->hour % 12 + (meridiem == MERIDIEM_PM ? 12 : 0);
	return true;
}

/* Refuses "9 o'clock". Return: -EINVAL; 0 if no such words follow the number. */
static int refuse_o_clock(struct when_text start, struct when_text rest, struct when_fields *fields)
{
	const struct when_text words = {start.at, when_text_word_at(rest, rest.at).end};

	when_text_skip_blanks(&rest);
	if (!when_text_take_word(&rest, "o'clock"))
		return 0;
	return when_error_set(
		fields->error, words, -EINVAL, "means two things; say for example 9am or 9pm");
}

int when_time_read(struct when_text *text, struct when_fields *fields)
{
	const struct when_text start = *text;
	size_t digits = when_text_digits(start);
	struct when_text rest = {start.at + digits, start.end};
	enum meridiem meridiem;

	if (digits == 0)
		return read_word(text, fields);
	if (when_text_starts(&rest, ':')) {
		if (!read_clock(text, fields))
			return bad_time(fields, start, *text);
		meridiem = take_meridiem(text);
	} else {
		int r = read_word_after_12(text, (struct when_text){start.at, rest.at}, fields);

		if (r != 0)
			return r;
		meridiem = take_meridiem(&rest);
		if (meridiem == MERIDIEM_NONE)
			return refuse_o_clock(start, rest, fields);
		if (!when_number_read(text, 2, 1, 12, &fields->hour))
			return bad_time(fields, start, *text);
		fields->minute = fields->second = 0;
		fields->us = 0;
		*text = rest;
	}
	if (meridiem != MERIDIEM_NONE && !apply_meridiem(fields, meridiem))
		return when_error_set(fields->error, (struct when_text){start.at, text->at},
			-EINVAL, "is not a time of day; hours before am and pm are 1 to 12");
	return finish(fields, start, *text);
}

/* The basic format "hhmm[ss[.fraction]]", and the hour alone, which `date -Ihours` prints. */
static bool read_basic(struct when_text *text, size_t digits, struct when_fields *fields)
{
	int64_t number;

	if (digits != 2 && digits != 4 && digits != 6)
		return false;
	if (!when_number_read(text, 6, 0, 235961, &number))
		return false;
	for (; digits < 6; digits += 2)
		number *= 100;
	fields->hour = number / 10000;
	fields->minute = number / 100 % 100;
	fields->second = number % 100;
	if (fields->hour > 23 || fields->minute > 59 || fields->second > 61)
		return false;
	return !starts_fraction(text) || read_fraction(text, &fields->us);
}

int when_time_read_iso(struct when_text *text, struct when_fields *fields)
{
	const struct when_text start = *text;
	size_t digits = when_text_digits(start);
	struct when_text rest = {start.at + digits, start.end};
	bool ok = when_text_starts(&rest, ':') ? read_clock(text, fields)
					       : read_basic(text, digits, fields);

	if (!ok)
		return bad_time(fields, start, *text);
	return finish(fields, start, *text);
}
