/* SPDX-License-Identifier: MIT */
/*
 * Time zones; see when_zone.h.
 *
 * From local time to an instant goes by trying: take the local time as if it were UTC, see what the
 * zone's clocks show then, correct by the difference, again. It ends at once where the offset is
 * the same on the way. It swings between two instants if the local time is skipped; then the one in
 * summer time is meant, which is the skipped time moved on by the gap. mktime() does much the same,
 * but from its last answer on, so that what it was asked before shows in the next one.
 */
#include "when_zone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ZONE_DIRECTORY "/usr/share/zoneinfo/"
#define ZONE_NAME_MAX  63 /* bytes; the longest in the database has 38 */

/* Two steps settle it if the offset changes once nearby; more would be offsets changing by the
 * day, which no zone has. The limit is against endless swinging alone. */
#define GUESSES_MAX 8

/* In seconds. Seasons shorter than a week are not found, nor those more than eight years off. */
#define SEASON_STRIDE	(7 * 86400)
#define SEASON_AWAY_MAX (8 * 366 * 86400)
#define ONE_HOUR	3600

/* Days from 1970-01-01 to the first of a month. */
static int64_t days_to_month(int64_t year, int64_t month)
{
	static const int before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	/* Leap days up to the end of the last February. Years are never negative here. */
	int64_t leap_year = month > 2 ? year : year - 1;
	int64_t leap_days = leap_year / 4 - leap_year / 100 + leap_year / 400;
	int64_t leap_days_1970 = 1969 / 4 - 1969 / 100 + 1969 / 400;

	return (year - 1970) * 365 + leap_days - leap_days_1970 + before[month - 1];
}

/* The instant at which the clocks of UTC show it. */
static int64_t civil_utc_s(const struct when_civil *civil)
{
	int64_t days = days_to_month(civil->year, civil->month) + civil->day - 1;

	return ((days * 24 + civil->hour) * 60 + civil->minute) * 60 + civil->second;
}

static struct when_civil civil_from_tm(const struct tm *tm)
{
	return (struct when_civil){
		.year = (int64_t)tm->tm_year + 1900,
		.month = tm->tm_mon + 1,
		.day = tm->tm_mday,
		.hour = tm->tm_hour,
		.minute = tm->tm_min,
		.second = tm->tm_sec,
	};
}

struct when_zone when_zone_local(void)
{
	tzset();
	return (struct when_zone){.is_dst = -1};
}

/* Whether the name stays inside the directory of zones: letters, digits, "-_+", and single slashes
 * between; no dot at all, so none that leads upwards. */
static bool zone_name_is_clean(struct when_text name)
{
	char previous = '/';

	for (; !when_text_done(&name); name.at++) {
		char c = *name.at;

		if (c == '/' ? previous == '/'
			     : !when_is_letter(c) && !when_is_digit(c) && !strchr("-_+", c))
			return false;
		previous = c;
	}
	return previous != '/';
}

/* Whether a file holds a compiled time zone, going by its first four bytes. */
static bool zone_file_is_valid(const char *path)
{
	char magic[4];
	bool valid;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return false;
	valid = read(fd, magic, sizeof(magic)) == (ssize_t)sizeof(magic) &&
		memcmp(magic, "TZif", sizeof(magic)) == 0;
	close(fd);
	return valid;
}

/* The abbreviation's place in tzname[], which is the value for tm_isdst; -1 if it has none. That
 * array holds the names in use around the instant last converted, thus the conversion of now. */
static int abbreviation_is_dst(struct when_text word, int64_t now_s, bool caseless)
{
	time_t t = now_s;
	struct tm tm;

	tzset();
	localtime_r(&t, &tm);
	for (int i = 0; i < 2; i++) {
		if (caseless ? when_text_is_caseless(word, tzname[i])
			     : when_text_is(word, tzname[i]))
			return i;
	}
	return -1;
}

/* Return: 1; 0 if there is no such zone in the database; -ENOMEM. */
static int enter_named(struct when_text word, int64_t now_s, struct when_zone *ret_zone)
{
	/* With its full path, so that what was looked at is what will be loaded, whatever $TZDIR
	 * says; the colon tells that it is a file and not a rule. */
	char tz[1 + sizeof(ZONE_DIRECTORY) + ZONE_NAME_MAX] = ":" ZONE_DIRECTORY;
	size_t length = (size_t)(word.end - word.at);
	struct when_zone zone = {.switched = true};
	const char *old;

	if (length == 0 || length > ZONE_NAME_MAX || !zone_name_is_clean(word))
		return 0;
	memcpy(tz + sizeof(ZONE_DIRECTORY), word.at, length);
	if (!zone_file_is_valid(tz + 1))
		return 0;

	old = getenv("TZ");
	if (old) {
		zone.saved_tz = strdup(old);
		if (!zone.saved_tz)
			return -ENOMEM;
	}
	if (setenv("TZ", tz, 1) < 0) {
		free(zone.saved_tz);
		return -ENOMEM;
	}
	/* "CET" names a zone as well as its time in winter, and then means both. */
	zone.is_dst = abbreviation_is_dst(word, now_s, false);
	*ret_zone = zone;
	return 1;
}

int when_zone_enter(struct when_text word, int64_t now_s, struct when_zone *ret_zone)
{
	int r, is_dst;

	if (when_text_is_caseless(word, "UTC") || when_text_is(word, "Z")) {
		*ret_zone = (struct when_zone){.utc = true, .is_dst = -1};
		return 1;
	}
	r = enter_named(word, now_s, ret_zone);
	if (r != 0)
		return r;
	is_dst = abbreviation_is_dst(word, now_s, true);
	if (is_dst < 0)
		return 0;
	*ret_zone = (struct when_zone){.is_dst = is_dst};
	return 1;
}

void when_zone_leave(struct when_zone *zone)
{
	if (!zone->switched)
		return;
	/* If memory should lack here, the machine's own zone is what is left: no $TZ. */
	if (!zone->saved_tz || setenv("TZ", zone->saved_tz, 1) < 0)
		unsetenv("TZ");
	tzset();
	free(zone->saved_tz);
	zone->saved_tz = NULL;
	zone->switched = false;
}

struct when_civil when_zone_civil(const struct when_zone *zone, int64_t s)
{
	time_t t = s;
	struct tm tm;

	if (zone->utc)
		gmtime_r(&t, &tm);
	else
		localtime_r(&t, &tm);
	return civil_from_tm(&tm);
}

int when_civil_weekday(const struct when_civil *civil)
{
	int64_t s = civil_utc_s(civil);
	int64_t days = s / 86400 - (s % 86400 < 0);

	/* The epoch was a Thursday; weeks back to before the year 0 keep it from being negative. */
	return (int)((days + 4 + INT64_C(7) * 200000) % 7);
}

/* The instant at which the zone's clocks show the local time, whichever season that is in. */
static int64_t instant_by_trying(int64_t wanted)
{
	time_t t = wanted, previous = wanted, before_previous = wanted;
	bool previous_is_dst = false;

	for (int i = 0; i < GUESSES_MAX; i++) {
		struct when_civil shown;
		struct tm tm;
		int64_t off;

		localtime_r(&t, &tm);
		shown = civil_from_tm(&tm);
		off = wanted - civil_utc_s(&shown);
		if (off == 0)
			break;
		if (i >= 2 && t == before_previous && (tm.tm_isdst > 0 || !previous_is_dst))
			break;
		before_previous = previous;
		previous = t;
		previous_is_dst = tm.tm_isdst > 0;
		t += off;
	}
	return t;
}

/* The abbreviation said which season's offset is meant, also out of season: take it from the
 * nearest instant that is in that season; if none is near, summer time is an hour, as almost
 * everywhere. */
static int64_t instant_by_season(int64_t wanted, bool wants_dst)
{
	int64_t near = instant_by_trying(wanted);

	for (int64_t delta = 0; delta <= SEASON_AWAY_MAX; delta += SEASON_STRIDE) {
		for (int sign = -1; sign <= 1; sign += 2) {
			time_t t = near + sign * delta;
			struct tm tm;

			localtime_r(&t, &tm);
			if ((tm.tm_isdst > 0) == wants_dst)
				return wanted - tm.tm_gmtoff;
		}
	}
	return near + (wants_dst ? -ONE_HOUR : ONE_HOUR);
}

int64_t when_zone_instant(const struct when_zone *zone, const struct when_civil *civil)
{
	int64_t wanted = civil_utc_s(civil);

	if (zone->utc)
		return wanted;
	if (zone->is_dst >= 0)
		return instant_by_season(wanted, zone->is_dst > 0);
	return instant_by_trying(wanted);
}
