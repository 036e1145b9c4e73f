/* SPDX-License-Identifier: MIT */
/*
 * Time zones, for the when_*.c files only: which zone a word means, and the instant of a local time
 * in it. The C library knows the rules of the zones. This module adds zones by name for one call,
 * and a conversion whose result does not depend on earlier calls.
 */
#pragma once

#include "when_calendar.h"

/* The zone for one text. when_zone_enter() or when_zone_local() sets it; when_zone_leave() must end
 * it. */
struct when_zone {
	bool is_fixed;		       /* the offset is offset_s on every date */
	int64_t offset_s;	       /* east of UTC, in seconds */
	struct when_text abbreviation; /* "CEST": selects its offset; else empty */
	bool tz_changed;	       /* when_zone_leave() must restore $TZ */
	char *saved_tz;		       /* the old $TZ; NULL: it was not set; owned */
};

/* The local zone of the process. Does not change $TZ. */
struct when_zone when_zone_local(void);

/*
 * Enters the zone that the word names: UTC, an offset (+01:00, +0100, +01), a zone of the IANA
 * database, or an abbreviation that the local zone uses within a year of the instant now_s, in
 * seconds since the epoch. It may set $TZ. @ret_zone: set on 1 only. It refers to the text of the
 * word until when_zone_leave().
 * Return: 1; 0 if the word is no zone; -ENOMEM.
 */
int when_zone_enter(struct when_text word, int64_t now_s, struct when_zone *ret_zone);

/* The same for the other names of zones in RFC 5322, such as "EST" and "PST". Outside of mail, such
 * a name can mean another zone. Return: 1, or 0. */
int when_zone_enter_mail(struct when_text word, struct when_zone *ret_zone);

/* Restores $TZ, if it was changed. May be called twice. */
void when_zone_leave(struct when_zone *zone);

/* Whether the folder of zones exists. A small system may not have it. */
bool when_zone_has_database(void);

/* The local time at an instant, in seconds since the epoch. The year must fit an int, which holds
 * for every uint64_t of microseconds. */
struct when_civil when_zone_civil(const struct when_zone *zone, int64_t s);

/*
 * The instant of a local time, in seconds since the epoch; negative before it. A local time that
 * the clocks skip moves forward by the gap. A local time that occurs twice means the later one east
 * of Greenwich and the earlier one west of it.
 */
int64_t when_zone_instant(const struct when_zone *zone, const struct when_civil *civil);

/* Whether the time zone in $TZ exists. If it does not, the C library uses UTC without an error.
 * True if $TZ is not set. */
bool when_local_zone_is_known(void);
