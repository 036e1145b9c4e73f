/* SPDX-License-Identifier: MIT */
/*
 * What a text says of an instant, before it is known which one that is: a day, a time of day and a
 * zone, each of them perhaps missing. For the when_*.c files only. when_date.c, when_time.c and
 * when_word.c fill it; when_timestamp.c puts the parts together.
 */
#pragma once

#include <stdint.h>

#include "when_error.h"

enum when_day {
	WHEN_DAY_NONE,
	WHEN_DAY_DATE,	   /* year, month and day */
	WHEN_DAY_RELATIVE, /* so many days after today */
};

struct when_fields {
	enum when_day day;
	struct when_text day_words; /* empty if there is no day */
	int64_t year;
	int64_t month;
	int64_t day_of_month;
	int64_t day_offset; /* WHEN_DAY_RELATIVE: -1, 0 or 1 */

	struct when_text weekday_word; /* empty if there is none */
	int weekday;		       /* 0 is Sunday */

	struct when_text time_words; /* empty if there is no time of day */
	bool is_midnight;	     /* by that word, which says nothing about the day */
	int64_t hour;
	int64_t minute;
	int64_t second;
	uint64_t us; /* the fraction of the second, up to and including a whole one */

	struct when_text zone_word; /* empty if there is none */

	struct when_error *error;
};

/* Each of these reads one item that the text may start with, at a byte that is no blank.
 * Return: 1, with text behind the item; 0 if the text starts with no such item; -EINVAL, with the
 * error written. */

/* A time of day: "18:00:30.5", "5pm", "noon". */
int when_time_read(struct when_text *text, struct when_fields *fields);

/* The time of day behind the T of ISO 8601: "09:00:30", "090030", "09". */
int when_time_read_iso(struct when_text *text, struct when_fields *fields);

/* A date: "2027-01-31", "2027-01-31T09:00", "31 Jan 2027", "January 31, 2027". */
int when_date_read(struct when_text *text, struct when_fields *fields);

/* A word for a day: "tomorrow", "friday"; and the words that are refused with a reason. */
int when_word_read(struct when_text *text, struct when_fields *fields);

/* A number of one to digits_max digits, blanks before it allowed. Return: whether it is there, and
 * from low to high; else text is in the number that is not, if there is one. */
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
