/* SPDX-License-Identifier: MIT */
/*
 * Parses dates and times of day; see when_timestamp.h.
 *
 * First it parses all parts of the text, in any order, each at most once. Then it enters the time
 * zone, which decides what "today" is, and computes the instant. So an invalid text never changes
 * $TZ.
 */
#include "when_timestamp.h"

#include <errno.h>
#include <stdio.h>

#include "when_fields.h"
#include "when_zone.h"

#define SECONDS_LAST ((int64_t)(WHEN_TIMESTAMP_LAST / WHEN_US_PER_SECOND))

static bool has_day(const struct when_fields *fields)
{
	return !when_text_done(&fields->day_words) || !when_text_done(&fields->weekday_word);
}

static bool has_time(const struct when_fields *fields)
{
	return !when_text_done(&fields->time_words);
}

static int error_unknown(const struct when_fields *fields, struct when_text word)
{
	if (when_is_digit(*word.at))
		return when_error_set(fields->error, word, -ENOENT,
			"is neither a time of day nor a date; say for example 9:00, "
			"9am or 2027-01-31");
	return when_error_set(fields->error, word, -ENOENT,
		"is not understood; say for example 5min, 18:00, tomorrow 9am or 2027-01-31");
}

/* Takes a comma between two parts: "Fri, 1 Jan 2027", "tomorrow, 9am"; after a weekday also one
 * without a blank, as RFC 5322 allows. */
static bool take_comma(struct when_text *text, const struct when_fields *fields)
{
	struct when_text rest = {text->at + 1, text->end};

	if (!when_text_starts(text, ',') || when_text_done(&rest))
		return false;
	if (!when_is_blank(*rest.at) &&
		!(fields->weekday_word.end == text->at && when_is_digit(*rest.at)))
		return false;
	when_text_skip_blanks(&rest);
	*text = rest;
	return true;
}

/* Takes the comment that mail programs write after the offset: "+0100 (CET)". */
static void take_comment(struct when_text *text, const struct when_fields *fields)
{
	const char *at = text->end - 1;

	if (!fields->is_day_first || !has_time(fields) || !when_text_starts(text, '(') ||
		*at-- != ')')
		return;
	while (at > text->at && *at != '(' && *at != ')')
		at--;
	if (at == text->at)
		text->at = text->end;
}

/* A word that is nothing else must be a zone, and the last word. */
static int read_zone(struct when_text *text, struct when_fields *fields)
{
	const struct when_text word = when_text_first_word(*text);

	text->at = word.end;
	when_text_skip_blanks(text);
	take_comment(text, fields);
	if (!when_text_done(text) || (!has_day(fields) && !has_time(fields)))
		return error_unknown(fields, word);
	fields->zone_word = word;
	return 1;
}

/* "at" and a time of day, or "on" and a day. Return: as when_time_read(). */
static int read_preposition(struct when_text *text, struct when_fields *fields)
{
	const struct when_text word = when_text_first_word(*text);
	int r;

	if (when_text_take_word(text, "at")) {
		r = when_time_read(text, fields);
	} else if (when_text_take_word(text, "on")) {
		r = when_date_read(text, fields);
		if (r == 0)
			r = when_word_read(text, fields);
	} else {
		return 0;
	}
	if (r == 0)
		return when_error_set(fields->error, word, -EINVAL,
			"must stand before a time or a day, such as \"at 9:00\" or \"on friday\"");
	return r;
}

static int read_item(struct when_text *text, struct when_fields *fields)
{
	static int (*const readers[])(struct when_text *, struct when_fields *) = {
		read_preposition,
		when_time_read,
		when_date_read,
		when_word_read,
	};
	int r;

	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++) {
		r = readers[i](text, fields);
		if (r != 0)
			return r;
	}
	return when_text_starts_digit(text) ? error_unknown(fields, when_text_first_word(*text))
					    : read_zone(text, fields);
}

/* Whether a zone follows without a blank, as in RFC 3339: an offset or "Z" after a time of day. */
static bool zone_is_adjacent(const struct when_text *text, const struct when_fields *fields)
{
	return fields->time_words.end == text->at &&
		(when_text_starts(text, '+') || when_text_starts(text, '-') ||
			when_text_starts(text, 'Z') || when_text_starts(text, 'z'));
}

static int read_items(struct when_text text, struct when_fields *fields)
{
	const struct when_text all = text;
	int r;

	while (!when_text_done(&text)) {
		r = read_item(&text, fields);
		if (r < 0)
			return r;
		if (take_comma(&text, fields))
			continue;
		if (when_text_done(&text) || when_is_blank(*text.at)) {
			when_text_skip_blanks(&text);
			take_comment(&text, fields);
			continue;
		}
		if (!zone_is_adjacent(&text, fields))
			return error_unknown(fields, when_text_word_at(all, text.at));
	}
	return 0;
}

static int check_weekday(const struct when_fields *fields, const struct when_civil *civil)
{
	int weekday = when_civil_weekday(civil);

	if (weekday == fields->weekday)
		return 0;
	return when_error_set(fields->error, fields->weekday_word, -EINVAL,
		"is not the day of that date: %.*s is a %s",
		(int)when_text_length(fields->day_words), fields->day_words.at,
		when_weekday_name(weekday));
}

/* Sets civil, the local time of now, to the next day with the month and the day that the text has.
 */
static int next_of_year(const struct when_fields *fields, struct when_civil *civil)
{
	int64_t day = fields->month * 100 + fields->day_of_month;
	int64_t today = civil->month * 100 + civil->day;
	int days;

	if (day == today)
		return when_error_set(fields->error, fields->day_words, -EINVAL,
			"is today; say today, or name the year");
	civil->year += day < today;
	civil->month = fields->month;
	civil->day = fields->day_of_month;
	days = when_month_days(civil->year, civil->month);
	if (civil->day > days)
		return when_error_set(fields->error, fields->day_words, -EINVAL,
			"is not a date; %s %04d has %d days", when_month_name(civil->month),
			(int)civil->year, days);
	return 0;
}

/* Sets civil to the parsed day and time of day. On entry it is the local time of now. */
static int civil_from_fields(const struct when_fields *fields, struct when_civil *civil)
{
	bool has_weekday = !when_text_done(&fields->weekday_word);
	int days_ahead, r;

	civil->hour = fields->hour;
	civil->minute = fields->minute;
	civil->second = fields->second;
	if (fields->is_midnight && has_day(fields))
		return when_error_set(fields->error, fields->time_words, -EINVAL,
			"means two things with a day; say 00:00 for the start of that day");

	switch (fields->day) {
	case WHEN_DAY_DATE:
		civil->year = fields->year;
		civil->month = fields->month;
		civil->day = fields->day_of_month;
		return has_weekday ? check_weekday(fields, civil) : 0;
	case WHEN_DAY_YEARLY:
		r = next_of_year(fields, civil);
		if (r < 0)
			return r;
		return has_weekday ? check_weekday(fields, civil) : 0;
	case WHEN_DAY_RELATIVE:
		civil->day += fields->day_offset;
		return has_weekday ? check_weekday(fields, civil) : 0;
	case WHEN_DAY_NONE:
	default:
		break;
	}
	if (has_weekday) {
		/* The first one after today, even if today is that weekday. */
		days_ahead = (fields->weekday - when_civil_weekday(civil) + 7) % 7;
		civil->day += days_ahead == 0 ? 7 : days_ahead;
	} else if (fields->is_midnight) {
		/* The midnight of today has always passed. */
		civil->day++;
	}
	return 0;
}

/* Sets the suggestion to the same time tomorrow; to nothing if the text is too long. */
static void suggest_tomorrow(const struct when_fields *fields, struct when *when)
{
	char seconds[16] = "";
	int n;

	if (fields->second != 0)
		snprintf(seconds, sizeof(seconds), ":%02d", (int)fields->second);
	n = snprintf(when->suggestion, sizeof(when->suggestion), "tomorrow %02d:%02d%s%s%.*s",
		(int)fields->hour, (int)fields->minute, seconds,
		when_text_done(&fields->zone_word) ? "" : " ",
		(int)when_text_length(fields->zone_word), fields->zone_word.at);
	if ((size_t)n >= sizeof(when->suggestion))
		when->suggestion[0] = '\0';
}

/* Whether the text has a time of day for today, with or without the word "today". */
static bool is_of_today(const struct when_fields *fields)
{
	return has_time(fields) && when_text_done(&fields->weekday_word) &&
		(fields->day == WHEN_DAY_NONE ||
			(fields->day == WHEN_DAY_RELATIVE && fields->day_offset == 0));
}

static int compute_instant(struct when_text all, const struct when_fields *fields,
	const struct when_zone *zone, uint64_t now_us, struct when *ret)
{
	struct when_civil civil = when_zone_civil(zone, (int64_t)(now_us / WHEN_US_PER_SECOND));
	struct when when = {.kind = WHEN_INSTANT};
	int64_t s;
	int r;

	r = civil_from_fields(fields, &civil);
	if (r < 0)
		return r;
	s = when_zone_instant(zone, &civil);
	if (s < 0)
		return when_error_set(fields->error, all, -ERANGE, "is before 1970");
	/* fields->us is at most one second. */
	if (s <= SECONDS_LAST)
		when.us = (uint64_t)s * WHEN_US_PER_SECOND + fields->us;
	if (s > SECONDS_LAST || when.us > WHEN_TIMESTAMP_LAST)
		return when_error_set(fields->error, all, -ERANGE,
			"is after 9999-12-30, the last day that systemd knows");
	if (when.us < now_us && is_of_today(fields))
		suggest_tomorrow(fields, &when);
	*ret = when;
	return 0;
}

/* Enters the zone in the text, or the local zone. Return: 0; -EINVAL; -ENOMEM. */
static int enter_zone(const struct when_fields *fields, uint64_t now_us, struct when_zone *ret_zone)
{
	struct when_text word = fields->zone_word;
	int r;

	if (when_text_done(&word)) {
		*ret_zone = when_zone_local();
		return 0;
	}
	r = when_zone_enter(word, (int64_t)(now_us / WHEN_US_PER_SECOND), ret_zone);
	if (r == 0 && fields->is_day_first)
		r = when_zone_enter_mail(word, ret_zone);
	if (r > 0)
		return 0;
	if (r < 0)
		return when_error_set(fields->error, word, r, "cannot be looked up: out of memory");
	if (!when_zone_has_database())
		return when_error_set(fields->error, word, -EINVAL,
			"is not found: there are no time zones here; install tzdata or set TZDIR");
	return when_error_set(fields->error, word, -EINVAL,
		"is not a time zone; say for example Europe/Berlin, UTC or +01:00");
}

int when_timestamp_read(
	struct when_text text, uint64_t now_us, struct when *ret, struct when_error *error)
{
	struct when_fields fields = {.error = error};
	struct when_zone zone;
	int r;

	r = read_items(text, &fields);
	if (r < 0)
		return r;
	r = enter_zone(&fields, now_us, &zone);
	if (r < 0)
		return r;
	r = compute_instant(text, &fields, &zone, now_us, ret);
	when_zone_leave(&zone);
	return r;
}
