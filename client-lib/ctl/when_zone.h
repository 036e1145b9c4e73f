/* SPDX-License-Identifier: MIT */
/*
 * Time zones, for the when_*.c files only: which one a word means, and which instant a local time
 * is in it. The rules of zones are the C library's; this is what it lacks: a zone by name that
 * does not outlive the call, and the same answer to the same question every time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "when_text.h"

/* Date and time of day as a zone's clocks show them. Fields past their range carry over. */
struct when_civil {
	int64_t year;
	int64_t month; /* 1 to 12, this one is always in range */
	int64_t day;
	int64_t hour;
	int64_t minute;
	int64_t second;
};

/* The zone that a text is read in; when_zone_enter() or when_zone_local() begins it, and
 * when_zone_leave() must end it. */
struct when_zone {
	bool utc;
	int is_dst;	/* -1: find out; else as in struct tm, since an abbreviation told */
	bool switched;	/* $TZ is to be put back, */
	char *saved_tz; /* to this, or to nothing if NULL; owned */
};

/* Begins with the zone of the process. Return: the zone, not switched. */
struct when_zone when_zone_local(void);

/*
 * Begins with the zone that the word names: UTC, one of the IANA database, or an abbreviation of
 * the local one that is in use around the instant now_s, in seconds since the epoch.
 * @ret_zone: only on 1; the caller must when_zone_leave() it.
 * Return: 1; 0 if it names none; -ENOMEM.
 */
int when_zone_enter(struct when_text word, int64_t now_s, struct when_zone *ret_zone);

/* Puts $TZ back. Harmless if it was not changed, and when done twice. */
void when_zone_leave(struct when_zone *zone);

/* What the zone's clocks show at an instant, in seconds since the epoch. Its year must be one that
 * the C library holds, an int: that of any number of microseconds is. */
struct when_civil when_zone_civil(const struct when_zone *zone, int64_t s);

/* The day of the week of a date, 0 for Sunday to 6. It must not be before the year 0. */
int when_civil_weekday(const struct when_civil *civil);

/* The instant at which they show it, in seconds since the epoch (negative before it). */
int64_t when_zone_instant(const struct when_zone *zone, const struct when_civil *civil);
