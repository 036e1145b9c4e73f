/* SPDX-License-Identifier: MIT */
/* The calendar and its English words, without time zones. For the when_*.c files only. */
#pragma once

#include <stdint.h>

#include "when_text.h"

/* A local date and time of day. Fields other than the month may be out of range: day 32 of January
 * is February 1. The year is never negative. */
struct when_civil {
	int64_t year;
	int64_t month; /* 1 to 12 */
	int64_t day;
	int64_t hour;
	int64_t minute;
	int64_t second;
};

/* Seconds since 1970-01-01 00:00 of the same local clock. */
int64_t when_civil_seconds(const struct when_civil *civil);

/* The day of the week: 0 is Sunday, 6 is Saturday. */
int when_civil_weekday(const struct when_civil *civil);

/* How many days the month has. */
int when_month_days(int64_t year, int64_t month);

/* Names for error messages: "Friday", "February". weekday: 0 to 6; month: 1 to 12. */
const char *when_weekday_name(int weekday);
const char *when_month_name(int64_t month);

/* Parses a weekday ("Fri", "friday", "thurs"). Return: 0 to 6; -1 if the word is none. */
int when_weekday_from_word(struct when_text word);

/* Parses a month ("Jan", "january", "sept"). Return: 1 to 12; 0 if the word is none. */
int when_month_from_word(struct when_text word);
