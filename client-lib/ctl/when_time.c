/* SPDX-License-Identifier: MIT */
/* Times of day; see when_reading.h. */
#include <errno.h>

#include "when_reading.h"

enum half {
	HALF_NONE,
	HALF_AM,
	HALF_PM,
};

static int bad_time(struct when_reading *reading, struct when_text start, struct when_text text)
{
	struct when_text word = when_text_word_at(start, text.at);

	if (when_text_is(word, "24:00") || when_text_is(word, "24:00:00"))
		return when_blame(reading->error, word, -EINVAL,
			"is not a time of day; say 00:00 and name the next day");
	return when_blame(reading->error, word, -EINVAL,
		"is not a time of day; say for example 18:00, 18:00:30 or 6pm");
}

/* Takes "am", "pm", "a.m." or "p.m.", and the blanks before it, if the text starts with that. */
static enum half take_half(struct when_text *text)
{
	struct when_text rest = *text, word;
	enum half half;

	when_text_skip_blanks(&rest);
	word = when_text_first_word(rest);
	if (when_text_is_caseless(word, "am") || when_text_is_caseless(word, "a.m."))
		half = HALF_AM;
	else if (when_text_is_caseless(word, "pm") || when_text_is_caseless(word, "p.m."))
		half = HALF_PM;
	else
		return HALF_NONE;
	text->at = word.end;
	return half;
}

/* ".25" or ",25": microseconds, rounded by the seventh digit, which may make it a full second. */
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
static bool read_seconds(struct when_text *text, struct when_reading *reading)
{
	/* 60 for a leap second; 61 because the C library, and so systemd, has it. */
	if (!when_number_read(text, 2, 0, 61, &reading->second))
		return false;
	return !starts_fraction(text) || read_fraction(text, &reading->us);
}

/* "hour:minute[:second[.fraction]]". A colon is known to stand behind the first digits. */
static bool read_clock(struct when_text *text, struct when_reading *reading)
{
	if (!when_number_read(text, 2, 0, 23, &reading->hour))
		return false;
	text->at++;
	if (!when_number_read(text, 2, 0, 59, &reading->minute))
		return false;
	if (!when_text_starts(text, ':'))
		return true;
	text->at++;
	return read_seconds(text, reading);
}

/* Notes the words of a time of day, which were read up to text. Return: 1, or -EINVAL. */
static int finish(struct when_reading *reading, struct when_text start, struct when_text text)
{
	const struct when_text words = {start.at, text.at};

	if (!when_text_done(&reading->time_words))
		return when_blame(
			reading->error, words, -EINVAL, "is a second time of day; say one only");
	reading->time_words = words;
	return 1;
}

static int read_word(struct when_text *text, struct when_reading *reading)
{
	const struct when_text start = *text, word = when_text_letters(start);
	bool is_midnight = when_text_is_caseless(word, "midnight");

	if (!is_midnight && !when_text_is_caseless(word, "noon"))
		return 0;
	text->at = word.end;
	reading->is_midnight = is_midnight;
	reading->hour = is_midnight ? 0 : 12;
	reading->minute = reading->second = 0;
	reading->us = 0;
	return finish(reading, start, *text);
}

/* "5pm", or the clock's time that has been read, with its half of the day. 12am is midnight, 12pm is
 * noon, as date(1) and at(1) have it. */
static bool apply_half(struct when_reading *reading, enum half half)
{
	if (reading->hour < 1 || reading->hour > 12)
		return false;
	reading->hour = reading->hour % 12 + (half == HALF_PM ? 12 : 0);
	return true;
}

/* "9 o'clock". Return: -EINVAL; 0 if the number is not followed by that. */
static int refuse_o_clock(
	struct when_text start, struct when_text behind, struct when_reading *reading)
{
	const struct when_text words = {start.at, when_text_word_at(behind, behind.at).end};

	when_text_skip_blanks(&behind);
	if (!when_text_take_word(&behind, "o'clock"))
		return 0;
	return when_blame(
		reading->error, words, -EINVAL, "means two things; say for example 9am or 9pm");
}

int when_time_read(struct when_text *text, struct when_reading *reading)
{
	const struct when_text start = *text;
	size_t digits = when_text_digits(start);
	struct when_text behind = {start.at + digits, start.end};
	enum half half;

	if (digits == 0)
		return read_word(text, reading);
	if (when_text_starts(&behind, ':')) {
		if (!read_clock(text, reading))
			return bad_time(reading, start, *text);
		half = take_half(text);
	} else {
		half = take_half(&behind);
		if (half == HALF_NONE)
			return refuse_o_clock(start, behind, reading);
		if (!when_number_read(text, 2, 1, 12, &reading->hour))
			return bad_time(reading, start, *text);
		reading->minute = reading->second = 0;
		reading->us = 0;
		*text = behind;
	}
	if (half != HALF_NONE && !apply_half(reading, half))
		return when_blame(reading->error, (struct when_text){start.at, text->at}, -EINVAL,
			"is not a time of day; hours before am and pm are 1 to 12");
	return finish(reading, start, *text);
}

/* The basic form, "hhmm[ss[.fraction]]", and the hour alone, which `date -Ihours` prints. */
static bool read_basic(struct when_text *text, size_t digits, struct when_reading *reading)
{
	int64_t number;

	if (digits != 2 && digits != 4 && digits != 6)
		return false;
	if (!when_number_read(text, 6, 0, 235961, &number))
		return false;
	for (; digits < 6; digits += 2)
		number *= 100;
	reading->hour = number / 10000;
	reading->minute = number / 100 % 100;
	reading->second = number % 100;
	if (reading->hour > 23 || reading->minute > 59 || reading->second > 61)
		return false;
	return !starts_fraction(text) || read_fraction(text, &reading->us);
}

int when_time_read_iso(struct when_text *text, struct when_reading *reading)
{
	const struct when_text start = *text;
	size_t digits = when_text_digits(start);
	struct when_text behind = {start.at + digits, start.end};
	bool ok = when_text_starts(&behind, ':') ? read_clock(text, reading)
						 : read_basic(text, digits, reading);

	if (!ok)
		return bad_time(reading, start, *text);
	return finish(reading, start, *text);
}
