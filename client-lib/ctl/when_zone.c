/* SPDX-License-Identifier: MIT */
/*
 * Time zones; see when_zone.h.
 *
 * To find the instant of a local time, the code iterates: assume an offset, compute the instant,
 * look up the offset at that instant, and repeat until the offset stays the same.
 *
 * For a skipped local time there is no such instant, and the iteration alternates between an
 * instant before the gap and one after it. The later one is the result. It has the offset from
 * before the gap, so the local time moves forward by the gap. This works without knowing what
 * "summer time" is: Europe/Dublin marks winter time as the exception, and some zones have skipped a
 * whole day.
 *
 * mktime() iterates as well, but starts at its last result, so its result depends on earlier calls.
 */
#include "when_zone.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(time_t) == 8, "time_t holds every due");

#define ZONE_NAME_MAX 63 /* bytes; the longest in the database has 38 */

/* Two iterations suffice if the offset changes once nearby. The limit ends an alternation. */
#define ITERATIONS_MAX 8

/* find_abbreviation() looks once a week, so it may miss an abbreviation in use for less than that.
 */
#define SEARCH_STEP_S (7 * 86400)
#define SEARCH_NOW_S  (54 * SEARCH_STEP_S)
#define SEARCH_DATE_S (8 * 366 * 86400)

/* The C library looks for zones here unless $TZDIR is set: glibc in the first folder, musl in all.
 */
static const char *const zone_folders[] = {
	"/usr/share/zoneinfo",
	"/share/zoneinfo",
	"/etc/zoneinfo",
};
#define ZONE_FOLDERS (sizeof(zone_folders) / sizeof(zone_folders[0]))

/* The n-th folder with zones; NULL after the last one. */
static const char *zone_folder(size_t n)
{
	const char *folder = getenv("TZDIR");

	if (folder && *folder != '\0')
		return n == 0 ? folder : NULL;
	return n < ZONE_FOLDERS ? zone_folders[n] : NULL;
}

bool when_zone_has_database(void)
{
	const char *folder;

	for (size_t i = 0; (folder = zone_folder(i)); i++) {
		if (access(folder, X_OK) == 0)
			return true;
	}
	return false;
}

/* Whether the name has only letters, digits, "-_+" and single slashes inside. Without dots it
 * cannot leave the folder of zones. */
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

/* Whether the file starts with the four bytes of a compiled time zone. */
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

/* Finds the full path of a zone's file. $TZ gets this path, so that the C library loads the same
 * file that was checked here. */
static bool find_zone_file(struct when_text name, char path[static PATH_MAX])
{
	char joined[PATH_MAX];
	const char *folder;

	if (when_text_length(name) > ZONE_NAME_MAX || !zone_name_is_clean(name))
		return false;
	for (size_t i = 0; (folder = zone_folder(i)); i++) {
		int n = snprintf(joined, sizeof(joined), "%s/%.*s", folder,
			(int)when_text_length(name), name.at);

		if ((size_t)n < sizeof(joined) && realpath(joined, path) &&
			zone_file_is_valid(path))
			return true;
	}
	return false;
}

/* Whether the C library finds the file of a zone in $TZ, without its colon. */
static bool tz_file_exists(const char *name)
{
	char path[PATH_MAX];
	const char *folder;

	if (*name == '/')
		return zone_file_is_valid(name);
	for (size_t i = 0; (folder = zone_folder(i)); i++) {
		int n = snprintf(path, sizeof(path), "%s/%s", folder, name);

		if ((size_t)n < sizeof(path) && zone_file_is_valid(path))
			return true;
	}
	return false;
}

/* Whether the text begins as a POSIX rule does: a name of three letters or more, or of any
 * characters in <>, then an offset. "CET-1CEST" does, "CET" does not. */
static bool is_zone_rule(struct when_text rule)
{
	size_t name = when_text_length(when_text_letters(rule));

	if (when_text_starts(&rule, '<')) {
		while (!when_text_done(&rule) && *rule.at != '>')
			rule.at++;
		name = when_text_starts(&rule, '>') ? 1 : 0;
	} else if (name < 3) {
		return false;
	}
	rule.at += name;
	if (when_text_starts(&rule, '+') || when_text_starts(&rule, '-'))
		rule.at++;
	return name > 0 && when_text_starts_digit(&rule);
}

bool when_local_zone_is_known(void)
{
	const char *tz = getenv("TZ");
	struct when_text text;

	if (!tz)
		return true;
	if (*tz == ':')
		tz++;
	text = when_text(tz);
	return when_text_done(&text) || when_text_is(text, "UTC") || when_text_is(text, "UTC0") ||
		is_zone_rule(text) || tz_file_exists(tz);
}

/* Finds the use of this abbreviation in the zone of the process that is nearest to the instant
 * near_s, up to `away` seconds away, and returns its offset. */
static bool find_abbreviation(
	struct when_text word, int64_t near_s, int64_t away, bool caseless, int64_t *ret_offset_s)
{
	for (int64_t delta = 0; delta <= away; delta += SEARCH_STEP_S) {
		for (int sign = -1; sign <= 1; sign += 2) {
			time_t t = near_s + sign * delta;
			struct tm tm;

			localtime_r(&t, &tm);
			if (caseless ? when_text_is_caseless(word, tm.tm_zone)
				     : when_text_is(word, tm.tm_zone)) {
				*ret_offset_s = tm.tm_gmtoff;
				return true;
			}
		}
	}
	return false;
}

struct when_zone when_zone_local(void)
{
	tzset();
	return (struct when_zone){0};
}

/* Takes two digits, with a value of at most max. */
static bool take_two_digits(struct when_text *text, int max, int64_t *ret)
{
	if (when_text_digits(*text) < 2)
		return false;
	*ret = (text->at[0] - '0') * 10 + (text->at[1] - '0');
	text->at += 2;
	return *ret <= max;
}

/* "+01:00", "+0100", "+01", as in ISO 8601: + is east. */
static bool enter_offset(struct when_text word, struct when_zone *ret_zone)
{
	bool east = when_text_starts(&word, '+');
	int64_t hours, minutes = 0, offset_s;

	if (!east && !when_text_starts(&word, '-'))
		return false;
	word.at++;
	if (!take_two_digits(&word, 23, &hours))
		return false;
	if (!when_text_done(&word)) {
		if (when_text_starts(&word, ':'))
			word.at++;
		if (!take_two_digits(&word, 59, &minutes) || !when_text_done(&word))
			return false;
	}
	offset_s = (hours * 60 + minutes) * 60;
	*ret_zone = (struct when_zone){.is_fixed = true, .offset_s = east ? offset_s : -offset_s};
	return true;
}

/* Return: 1; 0 if there is no such zone in the database; -ENOMEM. */
static int enter_named(struct when_text word, int64_t now_s, struct when_zone *ret_zone)
{
	/* The colon marks a file, not a POSIX rule. */
	char tz[1 + PATH_MAX] = ":";
	struct when_zone zone = {.tz_changed = true};
	const char *old;

	if (!find_zone_file(word, tz + 1))
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
	tzset();
	/* "CET" is a zone and also an abbreviation in that zone: then it selects that offset. */
	if (find_abbreviation(word, now_s, SEARCH_NOW_S, false, &zone.offset_s))
		zone.abbreviation = word;
	*ret_zone = zone;
	return 1;
}

int when_zone_enter(struct when_text word, int64_t now_s, struct when_zone *ret_zone)
{
	struct when_zone zone = {0};
	int r;

	if (when_text_is_caseless(word, "UTC") || when_text_is_caseless(word, "Z") ||
		when_text_is_caseless(word, "GMT")) {
		*ret_zone = (struct when_zone){.is_fixed = true};
		return 1;
	}
	if (enter_offset(word, ret_zone))
		return 1;
	r = enter_named(word, now_s, ret_zone);
	if (r != 0)
		return r;
	tzset();
	if (!find_abbreviation(word, now_s, SEARCH_NOW_S, true, &zone.offset_s))
		return 0;
	zone.abbreviation = word;
	*ret_zone = zone;
	return 1;
}

int when_zone_enter_mail(struct when_text word, struct when_zone *ret_zone)
{
	static const struct {
		const char *name;
		int hours;
	} zones[] = {
		{"UT", 0},
		{"EDT", -4},
		{"EST", -5},
		{"CDT", -5},
		{"CST", -6},
		{"MDT", -6},
		{"MST", -7},
		{"PDT", -7},
		{"PST", -8},
	};

	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
		if (!when_text_is_caseless(word, zones[i].name))
			continue;
		*ret_zone = (struct when_zone){
			.is_fixed = true, .offset_s = zones[i].hours * INT64_C(3600)};
		return 1;
	}
	return 0;
}

void when_zone_leave(struct when_zone *zone)
{
	if (!zone->tz_changed)
		return;
	/* Without memory, unset $TZ: the zone of the machine is the best that remains. */
	if (!zone->saved_tz || setenv("TZ", zone->saved_tz, 1) < 0)
		unsetenv("TZ");
	tzset();
	free(zone->saved_tz);
	zone->saved_tz = NULL;
	zone->tz_changed = false;
}

struct when_civil when_zone_civil(const struct when_zone *zone, int64_t s)
{
	time_t t = zone->is_fixed ? s + zone->offset_s : s;
	struct tm tm;

	if (zone->is_fixed)
		gmtime_r(&t, &tm);
	else
		localtime_r(&t, &tm);
	return (struct when_civil){
		.year = (int64_t)tm.tm_year + 1900,
		.month = tm.tm_mon + 1,
		.day = tm.tm_mday,
		.hour = tm.tm_hour,
		.minute = tm.tm_min,
		.second = tm.tm_sec,
	};
}

/* The instant of a local time in the zone of the process; see the top of this file. */
static int64_t instant_by_iteration(int64_t wanted)
{
	const struct when_zone local = {0};
	int64_t t = wanted, latest = INT64_MIN;

	for (int i = 0; i < ITERATIONS_MAX; i++) {
		struct when_civil shown = when_zone_civil(&local, t);
		int64_t off = wanted - when_civil_seconds(&shown);

		if (off == 0)
			return t;
		t += off;
		/* The first iterations may be outside of the alternation. */
		if (i >= ITERATIONS_MAX / 2 && t > latest)
			latest = t;
	}
	return latest;
}

int64_t when_zone_instant(const struct when_zone *zone, const struct when_civil *civil)
{
	int64_t wanted = when_civil_seconds(civil), offset_s = zone->offset_s;

	if (zone->is_fixed)
		return wanted - offset_s;
	if (when_text_done(&zone->abbreviation))
		return instant_by_iteration(wanted);
	/* "CEST" is also valid in winter. The offset of an abbreviation may change over the years,
	 * so use the nearest one; by default the one at now. */
	find_abbreviation(zone->abbreviation, wanted - offset_s, SEARCH_DATE_S, true, &offset_s);
	return wanted - offset_s;
}
