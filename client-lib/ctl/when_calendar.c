/* SPDX-License-Identifier: MIT */
/* See when_calendar.h. */
#include "when_calendar.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The full name, then common abbreviations. */
static const char *const weekdays[7][4] = {
	{"Sunday", "Sun"},
	{"Monday", "Mon"},
	{"Tuesday", "Tue", "Tues"},
	{"Wednesday", "Wed", "Weds"},
	{"Thursday", "Thu", "Thur", "Thurs"},
	{"Friday", "Fri"},
	{"Saturday", "Sat"},
};

static const char *const months[12][3] = {
	{"January", "Jan"},
	{"February", "Feb"},
	{"March", "Mar"},
	{"April", "Apr"},
	{"May"},
	{"June", "Jun"},
	{"July", "Jul"},
	{"August", "Aug"},
	{"September", "Sep", "Sept"},
	{"October", "Oct"},
	{"November", "Nov"},
	{"December", "Dec"},
};

static bool is_leap_year(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int when_month_days(int64_t year, int64_t month)
{
	static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && is_leap_year(year));
}

/* Days from 1970-01-01 to the first day of a month. */
static int64_t days_to_month(int64_t year, int64_t month)
{
	static const int before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	/* Counts leap days up to the last February. */
	int64_t leap_year = month > 2 ? year : year - 1;
	int64_t leap_days = leap_year / 4 - leap_year / 100 + leap_year / 400;
	int64_t leap_days_1970 = 1969 / 4 - 1969 / 100 + 1969 / 400;

	return (year - 1970) * 365 + leap_days - leap_days_1970 + before[month - 1];
}

int64_t when_civil_seconds(const struct when_civil *civil)
{
	int64_t days = days_to_month(civil->year, civil->month) + civil->day - 1;

	return ((days * 24 + civil->hour) * 60 + civil->minute) * 60 + civil->second;
}

int when_civil_weekday(const struct when_civil *civil)
{
	int64_t days = days_to_month(civil->year, civil->month) + civil->day - 1;

	/* 1970-01-01 was a Thursday. Adding weeks keeps the sum positive for every year from 0. */
	return (int)((days + 4 + INT64_C(7) * 200000) % 7);
}

const char *when_weekday_name(int weekday)
{
	return weekdays[weekday][0];
}

const char *when_month_name(int64_t month)
{
	return months[month - 1][0];
}

int when_weekday_from_word(struct when_text word)
{
	for (int day = 0; day < 7; day++) {
		for (size_t i = 0; i < COUNT(weekdays[day]) && weekdays[day][i]; i++) {
			if (when_text_is_caseless(word, weekdays[day][i]))
				return day;
		}
	}
	return -1;
}

int when_month_from_word(struct when_text word)
{
	for (int month = 1; month <= 12; month++) {
		for (size_t i = 0; i < COUNT(months[0]) && months[month - 1][i]; i++) {
			if (when_text_is_caseless(word, months[month - 1][i]))
				return month;
		}
	}
	return 0;
}
