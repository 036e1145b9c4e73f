/* SPDX-License-Identifier: MIT */
/*
 * Timestamps; see when.h.
 *
 * In three layers: what counts from an instant that is known already (now, or the epoch), which
 * needs no calendar; the zone at the end, taken off first because "today" depends on it; and the
 * rest, a word for a day or a date, and a time of day, turned into an instant by the zone.
 */
#include <errno.h>

#include "when_text.h"
#include "when_zone.h"

#define SECONDS_LAST ((int64_t)(WHEN_TIMESTAMP_LAST / WHEN_US_PER_SECOND))

/* A text under the eyes of the parser. */
struct reading {
	struct when_text all;	  /* to find the bad word in */
	struct when_text weekday; /* empty if there is none */
	struct when_civil civil;
	uint64_t us; /* the fraction of the second, up to and including a whole one */
	struct when_error *error;
};

/* In the order of struct tm's tm_wday. */
static const char *const weekdays[][2] = {
	{"Sun", "Sunday"},
	{"Mon", "Monday"},
	{"Tue", "Tuesday"},
	{"Wed", "Wednesday"},
	{"Thu", "Thursday"},
	{"Fri", "Friday"},
	{"Sat", "Saturday"},
};

static const struct {
	const char *name;
	int offset; /* in days */
} day_words[] = {
	{"yesterday", -1},
	{"today", 0},
	{"tomorrow", 1},
};

/* A number of one to digits_max digits, blanks before it allowed.
 * Return: 0; -EINVAL, with text at what is wrong. */
static int scan_number(struct when_text *text, int digits_max, int64_t low, int64_t high,
	int64_t *ret, int *ret_digits)
{
	int64_t value = 0;
	int digits = 0;

	when_text_skip_blanks(text);
	for (; when_text_starts_digit(text) && digits < digits_max; text->at++, digits++)
		value = value * 10 + (*text->at - '0');
	if (digits == 0 || when_text_starts_digit(text) || value < low || value > high) {
		/* Back into the number, so that its word is blamed and not the next. */
		if (digits > 0)
			text->at--;
		return -EINVAL;
	}
	*ret = value;
	if (ret_digits)
		*ret_digits = digits;
	return 0;
}

static int scan_character(struct when_text *text, char c)
{
	if (!when_text_starts(text, c))
		return -EINVAL;
	text->at++;
	return 0;
}

/* ".25": microseconds, rounded by the seventh digit, which may make it a full second. */
static int scan_fraction(struct when_text *text, uint64_t *ret_us)
{
	uint64_t us = 0;
	int digits = 0;

	text->at++;
	if (!when_text_starts_digit(text))
		return -EINVAL;
	for (; when_text_starts_digit(text); text->at++, digits++) {
		if (digits < 6)
			us = us * 10 + (unsigned int)(*text->at - '0');
		else if (digits == 6 && *text->at >= '5')
			us++;
	}
	for (; digits < 6; digits++)
		us *= 10;
	*ret_us = us;
	return 0;
}

/* The rest of "hour:minute[:second[.fraction]]", from the first colon to the end of the text. */
static int scan_after_hour(struct when_text *text, struct reading *reading)
{
	struct when_civil *civil = &reading->civil;
	int r;

	r = scan_character(text, ':');
	if (r < 0)
		return r;
	r = scan_number(text, 2, 0, 59, &civil->minute, NULL);
	if (r < 0)
		return r;
	if (when_text_starts(text, ':')) {
		text->at++;
		/* 60 for a leap second; 61 because the C library, and so systemd, has it. */
		r = scan_number(text, 2, 0, 61, &civil->second, NULL);
		if (r < 0)
			return r;
		if (when_text_starts(text, '.')) {
			r = scan_fraction(text, &reading->us);
			if (r < 0)
				return r;
		}
	}
	return when_text_done(text) ? 0 : -EINVAL;
}

static int scan_time(struct when_text *text, struct reading *reading)
{
	int r;

	r = scan_number(text, 2, 0, 23, &reading->civil.hour, NULL);
	if (r < 0)
		return r;
	return scan_after_hour(text, reading);
}

/* The rest of "year-month-day[ time]", from the first hyphen to the end of the text. */
static int scan_after_year(struct when_text *text, struct reading *reading)
{
	struct when_civil *civil = &reading->civil;
	int r;

	r = scan_character(text, '-');
	if (r < 0)
		return r;
	r = scan_number(text, 2, 1, 12, &civil->month, NULL);
	if (r < 0)
		return r;
	r = scan_character(text, '-');
	if (r < 0)
		return r;
	/* A day that its month lacks is one of the next month's, as to systemd. */
	r = scan_number(text, 2, 1, 31, &civil->day, NULL);
	if (r < 0)
		return r;
	if (when_text_done(text))
		return 0;
	if (when_text_starts(text, 'T')) {
		text->at++;
		if (!when_text_starts_digit(text))
			return -EINVAL;
	} else if (!when_is_blank(*text->at)) {
		return -EINVAL;
	}
	return scan_time(text, reading);
}

/* A date, a time of day, or both; which of them it is shows after the first number. */
static int scan_date_or_time(struct when_text *text, struct reading *reading)
{
	struct when_civil *civil = &reading->civil;
	const struct when_text start = *text;
	int64_t year;
	int r, digits;

	civil->hour = civil->minute = civil->second = 0;
	r = scan_number(text, 4, 0, 9999, &year, &digits);
	if (r < 0)
		return r;
	if (when_text_starts(text, ':')) {
		*text = start;
		return scan_time(text, reading);
	}
	/* Two digits are those of 1969 to 2068, as in POSIX. */
	if (digits <= 2)
		year += year < 69 ? 2000 : 1900;
	civil->year = year;
	return scan_after_year(text, reading);
}

/* The letters, if any, that a text starts with. */
static struct when_text first_word(struct when_text text)
{
	const char *at = text.at;

	while (at < text.end && when_is_letter(*at))
		at++;
	return (struct when_text){text.at, at};
}

/* "tomorrow[ time]". Return: 1; 0 if it starts with another word; -EINVAL. */
static int scan_day_word(struct when_text *text, struct reading *reading)
{
	struct when_text word = first_word(*text);

	for (size_t i = 0; i < sizeof(day_words) / sizeof(day_words[0]); i++) {
		if (!when_text_is(word, day_words[i].name))
			continue;
		text->at = word.end;
		/* The zone's clocks know how to carry a day over, or under. */
		reading->civil.day += day_words[i].offset;
		reading->civil.hour = reading->civil.minute = reading->civil.second = 0;
		if (when_text_done(text))
			return 1;
		if (!when_is_blank(*text->at))
			return -EINVAL;
		return scan_time(text, reading) < 0 ? -EINVAL : 1;
	}
	return 0;
}

/* Takes a weekday and the space after it off the text, if there is one. */
static void scan_weekday(struct when_text *text, struct reading *reading)
{
	struct when_text word = first_word(*text);

	for (size_t i = 0; i < sizeof(weekdays) / sizeof(weekdays[0]); i++) {
		if (!when_text_is_caseless(word, weekdays[i][0]) &&
			!when_text_is_caseless(word, weekdays[i][1]))
			continue;
		if (word.end == text->end || *word.end != ' ')
			return;
		text->at = word.end;
		reading->weekday = word;
		return;
	}
}

static bool weekday_is(struct when_text word, int weekday)
{
	return when_text_is_caseless(word, weekdays[weekday][0]) ||
		when_text_is_caseless(word, weekdays[weekday][1]);
}

/* From what was read to the instant. */
static int conclude(const struct reading *reading, const struct when_zone *zone, uint64_t *ret_us)
{
	uint64_t us;
	int64_t s;

	if (!when_text_done(&reading->weekday) &&
		!weekday_is(reading->weekday, when_civil_weekday(&reading->civil)))
		return when_blame(reading->weekday, -EINVAL, reading->error);
	s = when_zone_instant(zone, &reading->civil);
	if (s < 0 || s > SECONDS_LAST)
		return when_blame(reading->all, -ERANGE, reading->error);
	us = (uint64_t)s * WHEN_US_PER_SECOND + reading->us;
	if (us > WHEN_TIMESTAMP_LAST)
		return when_blame(reading->all, -ERANGE, reading->error);
	*ret_us = us;
	return 0;
}

/* All but the zone. */
static int parse_in_zone(struct when_text text, const struct when_zone *zone, int64_t now_s,
	uint64_t *ret_us, struct when_error *error)
{
	struct reading reading = {.all = text, .weekday = {text.at, text.at}, .error = error};
	int r;

	reading.civil = when_zone_civil(zone, now_s);
	r = scan_day_word(&text, &reading);
	if (r == 0) {
		scan_weekday(&text, &reading);
		r = scan_date_or_time(&text, &reading);
	}
	if (r < 0)
		return when_blame_word(reading.all, text.at, r, error);
	return conclude(&reading, zone, ret_us);
}

/* Finds the zone at the end of the text and takes it off; else it is the local one.
 * Return: 0, and the caller must when_zone_leave() the zone; -ENOMEM. */
static int take_zone(struct when_text *text, int64_t now_s, struct when_zone *ret_zone)
{
	struct when_text word = {text->end, text->end};
	int r;

	while (word.at > text->at && word.at[-1] != ' ')
		word.at--;
	if (word.at > text->at) {
		r = when_zone_enter(word, now_s, ret_zone);
		if (r < 0)
			return r;
		if (r > 0) {
			text->end = word.at - 1;
			return 0;
		}
	}
	/* RFC 3339 has its Z without a space. */
	if (text->end - text->at >= 2 && text->end[-1] == 'Z' && when_is_digit(text->end[-2])) {
		text->end--;
		*ret_zone = (struct when_zone){.utc = true, .is_dst = -1};
		return 0;
	}
	*ret_zone = when_zone_local();
	return 0;
}

/* A span before or after base. The word blamed for a range is all of it. */
static int offset_from(uint64_t base_us, bool back, struct when_text span, struct when_text all,
	uint64_t *ret_us, struct when_error *error)
{
	uint64_t us;
	int r;

	r = when_span_from_text(span, &us, error);
	if (r < 0)
		return when_blame_if_none(all, r, error);
	if (back ? __builtin_sub_overflow(base_us, us, &us)
		 : __builtin_add_overflow(base_us, us, &us))
		return when_blame(all, -ERANGE, error);
	if (us > WHEN_TIMESTAMP_LAST)
		return when_blame(all, -ERANGE, error);
	*ret_us = us;
	return 0;
}

/* What needs no calendar. Return: 1 if it was none of that, else as when_parse_timestamp(). */
static int parse_relative(
	struct when_text all, uint64_t now_us, uint64_t *ret_us, struct when_error *error)
{
	struct when_text text = all;
	int r;

	if (when_text_is(text, "now")) {
		*ret_us = now_us;
		return 0;
	}
	text.at++;
	if (when_text_starts(&all, '+'))
		return offset_from(now_us, false, text, all, ret_us, error);
	if (when_text_starts(&all, '-'))
		return offset_from(now_us, true, text, all, ret_us, error);
	if (when_text_starts(&all, '@')) {
		r = when_span_from_text(text, ret_us, error);
		return r < 0 ? when_blame_if_none(all, r, error) : 0;
	}
	text = all;
	if (when_text_cut_tail(&text, " ago"))
		return offset_from(now_us, true, text, all, ret_us, error);
	if (when_text_cut_tail(&text, " left"))
		return offset_from(now_us, false, text, all, ret_us, error);
	return 1;
}

int when_parse_timestamp(
	const char *text, uint64_t now_us, uint64_t *ret_us, struct when_error *error)
{
	struct when_text all = when_text(text), body = all;
	int64_t now_s = (int64_t)(now_us / WHEN_US_PER_SECOND);
	struct when_zone zone;
	int r;

	if (when_text_done(&all))
		return when_blame(all, -EINVAL, error);
	r = parse_relative(all, now_us, ret_us, error);
	if (r <= 0)
		return r;
	r = take_zone(&body, now_s, &zone);
	if (r < 0)
		return when_blame(all, r, error);
	r = parse_in_zone(body, &zone, now_s, ret_us, error);
	when_zone_leave(&zone);
	return r;
}
