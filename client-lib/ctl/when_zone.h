/* SPDX-License-Identifier: MIT */
/*
 * Time zones, for the when_*.c files only: which one a word means, and which instant a local time
 * is in it. The rules of zones are the C library's; this is what it lacks: a zone by name that
 * does not outlive the call, and the same answer to the same question every time.
 */
#pragma once

#include "when_calendar.h"

/* The zone that a text is read in; when_zone_enter() or when_zone_local() begins it, and
 * when_zone_leave() must end it. */
struct when_zone {
	bool is_fixed;		       /* always offset_s, whatever the date */
	int64_t offset_s;	       /* east of UTC, in seconds */
	struct when_text abbreviation; /* "CEST": the offset that has this name; else empty */
	bool tz_changed;	       /* $TZ is to be put back, */
	char *saved_tz;		       /* to this, or to nothing if NULL; owned */
};

/* Begins with the zone of the process. Return: the zone, not tz_changed. */
struct when_zone when_zone_local(void);

/*
 * Begins with the zone that the word names: UTC, an offset (+01:00, +0100, +01), a zone of the IANA
 * database, or an abbreviation of the local zone that is in use within a year of the instant now_s,
 * in seconds since the epoch.
 * @ret_zone: only on 1; the caller must when_zone_leave() it, before the word's text goes away.
 * Return: 1; 0 if it names none; -ENOMEM.
 */
int when_zone_enter(struct when_text word, int64_t now_s, struct when_zone *ret_zone);

/* Puts $TZ back. Harmless if it was not changed, and when done twice. */
void when_zone_leave(struct when_zone *zone);

/* Whether there is a folder of zones at all. A small system may have none. */
bool when_zone_has_database(void);

/* What the zone's clocks show at an instant, in seconds since the epoch. Its year must be one that
 * the C library holds, an int: that of any number of microseconds is. */
struct when_civil when_zone_civil(const struct when_zone *zone, int64_t s);

/*
 * The instant at which they show it, in seconds since the epoch (negative before it). A local time
 * that the clocks skip is moved on by what they skip: it is never before the gap. One that they
 * show twice is the later of the two east of Greenwich and the earlier one west of it.
 */
int64_t when_zone_instant(const struct when_zone *zone, const struct when_civil *civil);
