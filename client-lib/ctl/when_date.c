/* SPDX-License-Identifier: MIT */
/* Parses dates; see when_fields.h. */
#include <errno.h>

#include "when_calendar.h"
#include "when_fields.h"

static int bad_date(struct when_fields *fields, struct when_text start, struct when_text text)
{
	return when_error_set(fields->error, when_text_word_at(start, text.at), -EINVAL,
		"is not a date; say for example 2027-01-31");
}

/* Checks the date and stores its words, from start to text. Return: 1, or -EINVAL. */
static int finish(struct when_fields *fields, struct when_text start, struct when_text text)
{
	const struct when_text words = {start.at, text.at};
	int days = when_month_days(fields->year, fields->month);

	if (!when_text_done(&fields->day_words))
		return when_error_set(
			fields->error, words, -EINVAL, "is a second day; say only one");
	if (fields->day_of_month > days)
		return when_error_set(fields->error, words, -EINVAL,
			"is not a date; %s %04d has %d days", when_month_name(fields->month),
			(int)fields->year, days);
	fields->day = WHEN_DAY_DATE;
	fields->day_words = words;
	return 1;
}

/* "T09:00" directly after the date that begins at start. */
static int read_iso_time(struct when_text *text, struct when_text start, struct when_fields *fields)
{
	if (!when_text_starts(text, 'T') && !when_text_starts(text, 't'))
		return 1;
	text->at++;
	if (!when_text_starts_digit(text))
		return when_error_set(fields->error, when_text_word_at(start, start.at), -EINVAL,
			"lacks a time of day after its T; say for example 2027-01-31T18:00");
	return when_time_read_iso(text, fields);
}

/* "year-month-day[Ttime]". A year of two digits means 1969 to 2068, as in POSIX. */
static int read_separated(struct when_text *text, size_t year_digits, struct when_fields *fields)
{
	const struct when_text start = *text;
	char separator;
	int r;

	if (!when_number_read(text, 4, 0, 9999, &fields->year))
		return bad_date(fields, start, *text);
	if (year_digits <= 2)
		fields->year += fields->year < 69 ? 2000 : 1900;
	separator = *text->at++;
	/* "01/02/2027" has two meanings; "2027/01/02" has one. */
	if (separator == '/' && year_digits != 4)
		return bad_date(fields, start, *text);
	if (!when_number_read(text, 2, 1, 12, &fields->month) || !when_text_starts(text, separator))
		return bad_date(fields, start, *text);
	text->at++;
	if (!when_number_read(text, 2, 1, 31, &fields->day_of_month))
		return bad_date(fields, start, *text);
	r = finish(fields, start, *text);
	return r < 0 ? r : read_iso_time(text, start, fields);
}

/* "yyyymmddThhmm". Without the T it is a number of seconds. */
static int read_basic(struct when_text *text, struct when_fields *fields)
{
	const struct when_text start = *text;
	int64_t number;
	int r;

	if (!when_number_read(text, 8, 101, 99991231, &number))
		return bad_date(fields, start, *text);
	fields->year = number / 10000;
	fields->month = number / 100 % 100;
	fields->day_of_month = number % 100;
	if (fields->month < 1 || fields->month > 12 || fields->day_of_month < 1)
		return bad_date(fields, start, start);
	r = finish(fields, start, *text);
	return r < 0 ? r : read_iso_time(text, start, fields);
}

static int error_month(struct when_fields *fields, struct when_text word)
{
	return when_error_set(fields->error, word, -EINVAL,
		"needs a day of the month; say for example 31 Jan 2027");
}

/* The year after a month and a day. Without it, the date is the next such day. */
static int read_year(struct when_text *text, struct when_text start, struct when_fields *fields)
{
	struct when_text rest = *text;

	when_text_skip_blanks(&rest);
	if (when_number_read(&rest, 4, 1000, 9999, &fields->year) &&
		!when_text_starts(&rest, ':')) {
		*text = rest;
		return finish(fields, start, rest);
	}
	/* Some year has this day: February has 29 days in a leap year. */
	fields->year = 2000;
	if (finish(fields, start, *text) < 0)
		return -EINVAL;
	fields->day = WHEN_DAY_YEARLY;
	return 1;
}

/* A day of the month, as "31" or "31st". The suffix must fit the number. */
static bool read_day_of_month(struct when_text *text, int64_t *ret)
{
	static const char *const suffixes[] = {"th", "st", "nd", "rd"};
	struct when_text suffix;
	int64_t day;

	when_text_take_word(text, "the");
	if (!when_number_read(text, 2, 1, 31, &day))
		return false;
	suffix = when_text_letters(*text);
	if (!when_text_done(&suffix)) {
		int64_t ones = day % 10 <= 3 && day / 10 != 1 ? day % 10 : 0;

		if (!when_text_is_caseless(suffix, suffixes[ones]))
			return false;
		text->at = suffix.end;
	}
	*ret = day;
	return true;
}

/* "31 Jan 2027", as in RFC 5322; "1st of January". */
static int read_day_first(struct when_text *text, struct when_fields *fields)
{
	const struct when_text start = *text;
	struct when_text rest = start, word;
	int64_t day;
	int month, r;

	if (!read_day_of_month(&rest, &day))
		return 0;
	when_text_skip_blanks(&rest);
	when_text_take_word(&rest, "of");
	word = when_text_letters(rest);
	month = when_month_from_word(word);
	if (month == 0)
		return 0;
	fields->month = month;
	fields->day_of_month = day;
	text->at = word.end;
	r = read_year(text, start, fields);
	fields->is_day_first = fields->day == WHEN_DAY_DATE;
	return r;
}

/* Removes the year from the end of the text, where date(1) prints it. */
static bool take_last_year(struct when_text *text, int64_t *ret_year)
{
	const struct when_text word = when_text_word_at(*text, text->end);
	struct when_text rest = word;

	if (!when_number_read(&rest, 4, 1000, 9999, ret_year) || !when_text_done(&rest))
		return false;
	text->end = when_text_trimmed((struct when_text){text->at, word.at}).end;
	return true;
}

/* "January 31, 2027", "Jan 31st", "Jan 31 09:00:00 CET 2027" */
static int read_month_first(struct when_text *text, struct when_fields *fields)
{
	const struct when_text start = *text, word = when_text_letters(start);
	struct when_text after_comma;
	int month = when_month_from_word(word);

	if (month == 0)
		return 0;
	fields->month = month;
	text->at = word.end;
	when_text_skip_blanks(text);
	if (!read_day_of_month(text, &fields->day_of_month))
		return error_month(fields, word);
	if (!when_text_starts(text, ',') && take_last_year(text, &fields->year))
		return finish(fields, start, *text);
	after_comma = *text;
	after_comma.at += when_text_starts(text, ',');
	when_text_skip_blanks(&after_comma);
	if (when_text_digits(after_comma) == 4)
		*text = after_comma;
	return read_year(text, start, fields);
}

/* Whether the text starts like "31.12.2027", to report it as a date and not as a number. */
static bool has_dots(struct when_text text)
{
	text.at += when_text_digits(text);
	for (int i = 0; i < 2; i++) {
		if (!when_text_starts(&text, '.'))
			return false;
		text.at++;
		if (i == 0)
			text.at += when_text_digits(text);
	}
	return when_text_digits(text) == 4;
}

int when_date_read(struct when_text *text, struct when_fields *fields)
{
	size_t digits = when_text_digits(*text);
	struct when_text behind = {text->at + digits, text->end};

	if (when_text_is_caseless(when_text_first_word(*text), "the"))
		return read_day_first(text, fields);
	if (digits == 0)
		return read_month_first(text, fields);
	if (when_text_starts(&behind, '-') || when_text_starts(&behind, '/'))
		return read_separated(text, digits, fields);
	if (digits == 8 && (when_text_starts(&behind, 'T') || when_text_starts(&behind, 't')))
		return read_basic(text, fields);
	if (has_dots(*text))
		return bad_date(fields, *text, *text);
	return read_day_first(text, fields);
}
