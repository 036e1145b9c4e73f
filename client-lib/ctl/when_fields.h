/* SPDX-License-Identifier: MIT */
/*
 * The parsed parts of a timestamp: day, weekday, time of day, zone. Each part is optional.
 * when_date.c, when_time.c and when_word.c parse the parts, and when_timestamp.c computes the
 * instant. For the when_*.c files only.
 */
#pragma once

#include <stdint.h>

#include "when_error.h"

enum when_day {
	WHEN_DAY_NONE,
	WHEN_DAY_DATE,	   /* year, month and day */
	WHEN_DAY_YEARLY,   /* month and day: the next such day after today */
	WHEN_DAY_RELATIVE, /* today + day_offset */
};

struct when_fields {
	enum when_day day;
	struct when_text day_words; /* for errors; empty: no day */
	int64_t year;
	int64_t month;
	int64_t day_of_month;
	bool is_day_first;  /* "31 Jan 2027", as in mail: a zone of RFC 5322 may follow */
	int64_t day_offset; /* WHEN_DAY_RELATIVE: -1 to 2 */

	struct when_text weekday_word; /* empty: no weekday */
	int weekday;		       /* 0 is Sunday */

	struct when_text time_words; /* for errors; empty: no time of day */
	bool is_midnight;	     /* the word "midnight", which means the next one */
	int64_t hour;
	int64_t minute;
	int64_t second;
	uint64_t us; /* the fraction, 0 to 1000000 */

	struct when_text zone_word; /* empty: the local zone */

	struct when_error *error;
};

/* Each of these parses one part at the start of the text, which does not start with a blank.
 * Return: 1, and text starts after the part; 0 if the text does not start with such a part;
 * -EINVAL, and the error is set. */

/* A time of day: "18:00:30.5", "5pm", "noon". */
int when_time_read(struct when_text *text, struct when_fields *fields);

/* The time of day after the T of ISO 8601: "09:00:30", "090030", "09". */
int when_time_read_iso(struct when_text *text, struct when_fields *fields);

/* A date: "2027-01-31", "2027-01-31T09:00", "31 Jan 2027", "January 31, 2027". */
int when_date_read(struct when_text *text, struct when_fields *fields);

/* A word for a day: "tomorrow", "friday". Refuses ambiguous words with an error. */
int when_word_read(struct when_text *text, struct when_fields *fields);

/* Parses a number of 1 to digits_max digits, after optional blanks. Return: false if there is no
 * such number from low to high; text then starts at the wrong number, for the error. */
static inline bool when_number_read(
	struct when_text *text, size_t digits_max, int64_t low, int64_t high, int64_t *ret)
{
	int64_t value = 0;
	size_t digits;

	when_text_skip_blanks(text);
	digits = when_text_digits(*text);
	if (digits == 0 || digits > digits_max)
		return false;
	for (size_t i = 0; i < digits; i++)
		value = value * 10 + (text->at[i] - '0');
	if (value < low || value > high)
		return false;
	text->at += digits;
	*ret = value;
	return true;
}
