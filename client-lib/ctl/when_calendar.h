/* SPDX-License-Identifier: MIT */
/* The calendar, and its English words, for the when_*.c files only. It knows no time zone. */
#pragma once

#include <stdint.h>

#include "when_text.h"

/* Date and time of day as a zone's clocks show them. All fields but the month may be out of range:
 * day 32 of a month is the first one of the next. Years are never negative. */
struct when_civil {
	int64_t year;
	int64_t month; /* 1 to 12 */
	int64_t day;
	int64_t hour;
	int64_t minute;
	int64_t second;
};

/* Seconds from 1970-01-01 00:00 to that date and time on the same clock. */
int64_t when_civil_seconds(const struct when_civil *civil);

/* The day of the week: 0 is Sunday, 6 is Saturday. */
int when_civil_weekday(const struct when_civil *civil);

/* How many days the month has. */
int when_month_days(int64_t year, int64_t month);

/* The names as an error shows them: "Friday", "February". weekday: 0 to 6; month: 1 to 12. */
const char *when_weekday_name(int weekday);
const char *when_month_name(int64_t month);

/* The weekday that the word names ("Fri", "friday", "thurs"): 0 to 6; -1 if it names none. */
int when_weekday_from_word(struct when_text word);

/* The month that the word names ("Jan", "january", "sept"): 1 to 12; 0 if it names none. */
int when_month_from_word(struct when_text word);
